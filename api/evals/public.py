"""``askpix eval bench``: public benchmarks from their published files, scored officially."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from askpix.api.evals.retrieval import evaluation

if TYPE_CHECKING:
    from collections.abc import Callable

    from askpix.api.workspace.workspace import Workspace
    from askpix.core.types import Evidence, TextLine, Vectors
    from askpix.evaluation.public.captions import Captioned
    from askpix.evaluation.public.runner import Benchmark, Item, Response

NAMES = (
    "mmbench", "ocrbench", "chartqa", "docvqa", "mmmu", "videomme", "flickr30k", "coco", "vidore",
)  # fmt: skip


@evaluation.command("bench")
def bench_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(NAMES)}.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where its published files are.")],
    generator: Annotated[
        str | None, typer.Option(metavar="ID", help="Who answers; see `askpix models`.")
    ] = None,
    embedder: Annotated[str, typer.Option(metavar="ID", help="For flickr30k, coco and vidore.")] = "auto",
    frames: Annotated[
        int, typer.Option(min=1, max=64, help="Of each video, for videomme; they lie equally far apart.")
    ] = 8,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where replies and report are kept; default: DIR/askpix-results."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N questions or images.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on standard output.")] = False,
) -> None:
    """A public benchmark with its own prompt and scoring. Ctrl-C stops it; the same command goes on.

    Every reply is a line of a file in the results folder, and the report lies beside it as JSON.
    """
    import json

    from askpix.api.console.render import hint, print_json, table
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import AskpixError, BadQueryError, NotFoundError

    wanted = name.lower()
    if wanted not in NAMES:
        raise BadQueryError(f"no benchmark {name!r}; there are {', '.join(NAMES)}")
    if not folder.exists():
        raise NotFoundError(f"no folder {str(folder)!r}; put the benchmark's published files there")
    kept = results or (folder.parent if folder.is_file() else folder) / "askpix-results"
    workspace = Workspace(load_settings())
    columns: tuple[str, ...]
    if wanted in ("flickr30k", "coco"):
        from askpix.evaluation.public.captions import COLUMNS

        report, model = _captions(workspace, wanted, folder, embedder, kept, limit)
        columns = COLUMNS
        rows = report.rows()
    elif wanted == "vidore":
        from askpix.evaluation.public.vidore import COLUMNS

        report, model = _pages(workspace, folder, embedder, kept, limit)
        columns = COLUMNS
        rows = report.rows()
    else:
        report, model = _answers(workspace, wanted, folder, generator, kept, limit, frames)
        columns = ("group", "n", f"{report.measure} %")
        rows = [
            (row.group, str(row.items), f"{100 * s.value:.1f} ({100 * s.low:.1f}-{100 * s.high:.1f})")
            for row in report.rows
            for s in (row.score,)
        ]
    part = f"-first-{limit}" if limit else ""
    written = kept / f"{wanted}-{_plain(model)}{part}.report.json"
    try:
        written.write_text(json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise AskpixError(
            f"cannot write {str(written)!r}: {error.strerror}; name another --results"
        ) from error
    if as_json:
        print_json(report.to_json())
        return
    hint(f"{wanted} by {model}; replies or vectors and the report are in {str(kept)!r}")
    table(columns, rows)


def _answers(
    workspace: "Workspace",
    name: str,
    folder: Path,
    generator: str | None,
    kept: Path,
    limit: int | None,
    frames: int,
) -> tuple[Any, str]:
    from askpix.evaluation.public.runner import run

    benchmark = _benchmarks(frames)[name]
    model, _ = workspace.choose_generator(generator)
    items = benchmark.load(folder)
    if limit is not None:
        # Whole questions: all rotations of each.
        wholes = list(dict.fromkeys(item.whole or item.id for item in items))[:limit]
        items = [item for item in items if (item.whole or item.id) in set(wholes)]
    report = run(
        benchmark,
        items,
        _responder(workspace, generator, frames),
        kept / f"{name}{f'-{frames}' if name == 'videomme' else ''}-{_plain(model.model_id)}.jsonl",
        generator=model.model_id,
        on_progress=_progress,
    )
    return report, model.model_id


def _benchmarks(frames: int) -> "dict[str, Benchmark]":
    from askpix.evaluation.data.parquet import parquet_files
    from askpix.evaluation.public import choices, document_qa, mmmu_videomme, multiple_choice
    from askpix.evaluation.public.runner import Benchmark, Item

    read = document_qa
    hub = mmmu_videomme

    def load_mmmu(folder: Path) -> list[Item]:
        return (hub.load_mmmu_parquet if parquet_files(folder) else multiple_choice.load_mmmu)(folder)

    every = (
        Benchmark("mmbench", "circular accuracy", multiple_choice.load_mmbench, choices.score_choice),
        Benchmark("mmmu", "accuracy", load_mmmu, choices.score_mmmu),
        Benchmark("videomme", f"accuracy, {frames} frames,", hub.load_videomme, hub.score_videomme),
        Benchmark("ocrbench", "accuracy", read.load_ocrbench, read.score_ocrbench),
        Benchmark("chartqa", "relaxed accuracy", read.load_chartqa, read.score_chartqa),
        Benchmark("docvqa", "ANLS", read.load_docvqa, read.score_docvqa),
    )
    return {each.name: each for each in every}


def _responder(workspace: "Workspace", generator: str | None, frames: int) -> "Callable[[Item], Response]":
    """Shows the images and the prompt as published, and nothing else; a model that only quotes gets the
    words that were read."""
    import tempfile

    from askpix.core.errors import GenerationError
    from askpix.core.types import Message, Usage
    from askpix.evaluation.public.runner import Response
    from askpix.generation.prompting.prompt import parse_answer

    model, _ = workspace.choose_generator(generator)
    blind = not model.follows_instructions
    read: dict[str, tuple[TextLine, ...]] = {}

    def respond(item: "Item") -> Response:
        # The images of TSV files have no file of their own, and a generator opens files.
        with tempfile.TemporaryDirectory(prefix="askpix-bench-") as work:
            evidence = [
                _evidence(workspace, number, picture, Path(work), read=read if blind else None)
                for number, picture in enumerate(_shown(workspace, item, frames), start=1)
            ]
            written: list[str] = []
            usage = Usage()
            for piece in model.generate([Message("user", item.prompt, tuple(evidence))]):
                written.append(piece.text)
                usage = piece.usage or usage
        text = "".join(written).strip()
        if blind:
            from askpix.api.evals.answers import without_markers

            parsed = parse_answer(text, evidence)
            text = without_markers(parsed.text) if parsed.answered else ""
        elif not text:
            raise GenerationError(
                f"{model.model_id!r} wrote nothing for {item.id!r}; run again to go on there"
            )
        return Response(text, usage.input_tokens, usage.output_tokens, usage.cost_usd)

    return respond


def _shown(workspace: "Workspace", item: "Item", frames: int) -> "tuple[Path | bytes, ...]":
    """The images of an item, or frames of its film, from the middles of equally long parts of it."""
    if item.film is None:
        return item.pictures
    import io

    from askpix.core.errors import BadImageError
    from askpix.ingest.formats.content import place_at
    from askpix.ingest.formats.pages import read_content
    from askpix.ingest.formats.video import SandboxedVideo

    found = []
    with SandboxedVideo(read_content(item.film, limits=workspace.limits), workspace.limits) as film:
        if not film.seconds:
            raise BadImageError(f"{item.film.name!r} does not say how long it is")
        for number in range(frames):
            held = io.BytesIO()
            picture = film.picture(place_at(film.seconds * (number + 0.5) / frames), None)
            picture.image.save(held, "PNG")
            found.append(held.getvalue())
    return tuple(found)


def _evidence(
    workspace: "Workspace",
    number: int,
    picture: "Path | bytes",
    work: Path,
    *,
    read: "dict[str, tuple[TextLine, ...]] | None",
) -> "Evidence":
    from dataclasses import replace

    from askpix.api.services.single_file import look

    if isinstance(picture, bytes):
        path = work / f"{number}"
        path.write_bytes(picture)
        picture = path
    looked = look(workspace, picture, read=False)
    if read is None:
        return replace(looked.evidence, number=number, read=False)
    # Many questions are about one image, and reading takes a second.
    if looked.record.id not in read:
        read[looked.record.id] = tuple(workspace.reader.read(looked.picture.image))
    return replace(looked.evidence, number=number, lines=read[looked.record.id])


def _captions(
    workspace: "Workspace", name: str, folder: Path, embedder: str, kept: Path, limit: int | None
) -> tuple[Any, str]:
    from dataclasses import replace

    import numpy as np

    from askpix.core.imaging.decode import open_image
    from askpix.evaluation.public import captions

    found: Captioned = (captions.load_flickr30k if name == "flickr30k" else captions.load_coco)(folder)
    if limit is not None:
        few = [
            (text, owner) for text, owner in zip(found.captions, found.owners, strict=True) if owner < limit
        ]
        texts, owners = zip(*few, strict=True)
        found = replace(found, pictures=found.pictures[:limit], captions=texts, owners=owners)
    model = workspace.embedder(embedder)

    def embed(paths: Any) -> "Vectors":
        pictures = [
            open_image(path, limits=workspace.limits, min_side=model.image_side).image for path in paths
        ]
        return model.embed_images(pictures)

    vectors = captions.embed_image_files(
        found.pictures,
        embed,
        kept / f"{name}-{_plain(model.model_id)}-{len(found.pictures)}",
        about=f"{name} {model.model_id} {len(found.pictures)}",
        on_progress=_progress,
    )
    texts_of = found.captions
    parts = [model.embed_texts(texts_of[start : start + 256]) for start in range(0, len(texts_of), 256)]
    report = captions.judge_captions(name, found, vectors, np.concatenate(parts), embedder=model.model_id)
    return report, model.model_id


def _pages(
    workspace: "Workspace", folder: Path, embedder: str, kept: Path, limit: int | None
) -> tuple[Any, str]:
    """Evaluate the whole search: images, their text and, where it is set up, patch by patch."""
    import hashlib
    from dataclasses import replace

    from askpix.api.console.progress import ProgressLine
    from askpix.api.services.index import run_index
    from askpix.api.services.search import open_searcher
    from askpix.evaluation.public.vidore import TOP, judge_pages, load_vidore

    pages = load_vidore(folder, kept / "pages")
    if limit is not None:
        pages = replace(pages, queries=pages.queries[:limit], relevant=pages.relevant[:limit])
    of = hashlib.sha256("".join([embedder, *map(str, pages.pictures)]).encode()).hexdigest()[:12]
    target = workspace.open_or_create(f"vidore-{of}", None if embedder == "auto" else embedder)
    with ProgressLine() as progress:
        run_index(workspace, target, list(pages.pictures), ocr="on", prune=False, on_progress=progress)
    with open_searcher(workspace, target) as searcher:
        read = searcher.read_caption(literal=True)

        def retrieve(query: str) -> list[Path]:
            result = searcher.retriever.retrieve(
                read(query), top_k=TOP, mode="auto", show_all=True, collapse=False
            )
            return [Path(hit.record.uri) for hit in result.hits]

        report = judge_pages("vidore", pages, retrieve, embedder=target.embedder, on_progress=_progress)
    return report, target.embedder


def _plain(model_id: str) -> str:
    """A model's id as part of a file's name."""
    return "".join(each if each.isalnum() or each in "-._" else "_" for each in model_id)[:100].lstrip(".")


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty() and (done % 10 == 0 or done == total):
        typer.echo(f"\r{done} of {total}", nl=done == total, err=True)


def register(app: typer.Typer) -> None:
    """The command stands in the group ``eval`` already; named here so that every group has one door."""
