"""``askpix eval sweep``: the same manifest at several sizes, by several embedders and generators."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from askpix.api.evals.answers import Manifests, _asker, _records, _spread
from askpix.api.evals.retrieval import evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from askpix.api.services.search import Searcher
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.types import TextLine
    from askpix.evaluation.data.manifest import Dataset
    from askpix.evaluation.data.questions import Question
    from askpix.evaluation.suites.retrieval import RetrievalReport
    from askpix.evaluation.suites.sweep import SweepRow
    from askpix.ingest.catalog.catalog import Collection


@evaluation.command("sweep")
def sweep_command(
    manifests: Manifests,
    sides: Annotated[
        str,
        typer.Option("--sides", metavar="N,N,...", help="Longer sides to shrink images to; 0: as they are."),
    ] = "0",
    embedders: Annotated[
        list[str] | None, typer.Option("--embedder", metavar="ID", help="Again for each; default: auto.")
    ] = None,
    generators: Annotated[
        list[str] | None,
        typer.Option("--generator", metavar="ID", help="Again for each; default: the one `ask` takes."),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=50, help="How many images may be consulted.")] = 5,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only N queries and questions, spread over each manifest.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on standard output.")] = False,
) -> None:
    """Compare every combination of size, embedder and generator on the queries and questions of a manifest.

    Shrunk images and their collections (`sweep-...`) are kept for the next time.
    """
    from askpix.api.console.render import hint, print_json, table
    from askpix.api.evals.resized_copies import shrunk_copies
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import AskpixError
    from askpix.evaluation.data.manifest import merge, read_manifest
    from askpix.evaluation.data.questions import read_questions
    from askpix.evaluation.suites.sweep import COLUMNS, SweepReport

    wanted = _sides(sides)
    questions: list[Question] = []
    for path in manifests:
        try:
            questions += _spread(read_questions(path), limit)
        except AskpixError:
            read_manifest(path)  # a manifest with captions alone has no questions; a broken one is said here
    dataset = merge([read_manifest(path) for path in manifests])
    workspace = Workspace(load_settings())
    writers: list[str | None] = list(generators or []) or [None]
    for each in writers:
        workspace.choose_generator(each)  # one that is not to be had is said before hours of work
    rows: list[SweepRow] = []
    for side in wanted:
        places = {path: path for path in dataset.gallery}
        if side is not None:
            folder = workspace.settings.home / "sweeps" / f"{dataset.name}-{side}"
            places = dict(shrunk_copies(dataset.gallery, side, folder, limits=workspace.limits))
        moved, asked = _moved(dataset, questions, places)
        for embedder in embedders or ["auto"]:
            target = _collection(workspace, moved, side, embedder)
            rows += _rows(workspace, target, moved, asked, side, writers, top_k=top_k, limit=limit)
    report = SweepReport(dataset.name, len(questions), tuple(rows))
    if as_json:
        print_json(report.to_json())
        return
    hint(f"{dataset.name}: {len(dataset.gallery)} images, {len(questions)} questions")
    table(COLUMNS, report.cells())


def _sides(text: str) -> list[int | None]:
    """Raises ``BadQueryError`` for what is no list of sides."""
    from askpix.core.errors import BadQueryError

    try:
        sides = [int(each) for each in text.split(",")]
    except ValueError:
        sides = [-1]
    if any(side != 0 and not 16 <= side <= 65_535 for side in sides):
        raise BadQueryError(f"--sides {text!r} must be pixels with commas between them, like 320,640,1280,0")
    return [side or None for side in dict.fromkeys(sides)]


def _moved(
    dataset: "Dataset", questions: "Sequence[Question]", places: "dict[Path, Path]"
) -> "tuple[Dataset, list[Question]]":
    """The same with the images at another place."""
    from dataclasses import replace

    cases = tuple(replace(case, image=places[case.image]) for case in dataset.cases)
    gallery = tuple(dict.fromkeys(places[path] for path in dataset.gallery))
    asked = [
        replace(question, image=places[question.image]) for question in questions if question.image in places
    ]
    return replace(dataset, cases=cases, gallery=gallery), asked


def _collection(workspace: "Workspace", dataset: "Dataset", side: int | None, embedder: str) -> "Collection":
    """Return the collection of a gallery, size and embedder."""
    import hashlib
    import json

    from askpix.api.console.progress import ProgressLine
    from askpix.api.services.index import run_index

    of = json.dumps([embedder, sorted(map(str, dataset.gallery))])
    name = f"sweep-{_plain(dataset.name)[:36]}-{side or 'full'}-{hashlib.sha256(of.encode()).hexdigest()[:8]}"
    target = workspace.open_or_create(name, None if embedder == "auto" else embedder)
    with ProgressLine() as progress:
        run_index(workspace, target, list(dataset.gallery), ocr="on", prune=False, on_progress=progress)
    return target


def _rows(
    workspace: "Workspace",
    target: "Collection",
    dataset: "Dataset",
    questions: "Sequence[Question]",
    side: int | None,
    generators: "Sequence[str | None]",
    *,
    top_k: int,
    limit: int | None,
) -> "list[SweepRow]":
    from askpix.api.services.search import open_searcher
    from askpix.core.types import join_lines
    from askpix.evaluation.suites.answering import ask_all
    from askpix.evaluation.suites.sweep import Choice, gold_read, sweep_row

    rows = []
    with open_searcher(workspace, target) as searcher:
        found = _found(workspace, target, searcher, dataset, limit)
        records = {
            uri: record.id for record in _records(searcher.store) for uri in (record.uri, *record.copies)
        }
        lines_of = workspace.lines_of(target)

        def text_of(image: Path) -> str:
            record_id = records.get(str(image), "")
            lines: Sequence[TextLine] = lines_of([record_id]).get(record_id, ())
            return join_lines(lines)

        read = gold_read(questions, text_of)
        for generator in generators:
            model, _ = workspace.choose_generator(generator)
            asked = None
            if questions:
                ask = _asker(workspace, target, searcher, generator, given=False, top_k=top_k)
                asked = ask_all(
                    questions,
                    ask,
                    gallery=len(records),
                    generator=model.model_id,
                    on_progress=_progress,
                )
            choice = Choice(side, target.embedder, model.model_id if questions else None)
            rows.append(sweep_row(choice, pictures=len(dataset.gallery), found=found, read=read, asked=asked))
    return rows


def _found(
    workspace: "Workspace",
    target: "Collection",
    searcher: "Searcher",
    dataset: "Dataset",
    limit: int | None,
) -> "RetrievalReport":
    from askpix.evaluation.suites.retrieval import evaluate

    read = searcher.read_caption(literal=False)

    def retrieve(query: str) -> tuple[bool, list[tuple[str, ...]]]:
        result = searcher.retriever.retrieve(
            read(query), top_k=10, mode="auto", show_all=True, collapse=False
        )
        return result.matched, [(hit.record.uri, *hit.record.copies) for hit in result.hits]

    cases = _spread(dataset.cases, limit)
    gallery = workspace.catalog.count_images(target)
    return evaluate(dataset.name, cases, retrieve, gallery=gallery, on_progress=_progress)


def _plain(name: str) -> str:
    """A folder's name as a collection may be called."""
    return "".join(each if each.isascii() and each.isalnum() else "-" for each in name.lower()).strip("-")


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty() and (done % 20 == 0 or done == total):
        typer.echo(f"\r{done} of {total}", nl=done == total, err=True)


def register(app: typer.Typer) -> None:
    """The command stands in the group ``eval`` already; named here so that every group has one door."""
