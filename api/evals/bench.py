"""``askpix bench``: speed on this machine beside the bare libraries in the same run."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from askpix.api.settings import Settings
    from askpix.evaluation.performance.embedding import BatchSpeed
    from askpix.evaluation.performance.speed import IngestSpeed, QuerySpeed

QUERIES = tuple(
    f"{what} {where}"
    for what in (
        "a dog",
        "a red car",
        "two people",
        "an old house",
        "GRAND TOTAL",
        "a boat",
        "a cup",
        "flowers",
    )
    for where in ("on a beach", "in the snow", "at night", "in front of a wall", "from May 2018")
)
"""Distinct queries: a repeated query is not encoded again."""


_Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PATH]...", help="Images to measure with; default: the sample photos."),
]
_ImageCount = Annotated[int, typer.Option(min=16, help="How many images a run indexes.")]
_Megapixels = Annotated[
    float | None,
    typer.Option(min=0.1, max=100, help="Enlarge each image to this size first."),
]
_Rounds = Annotated[int, typer.Option(min=1, help="Bare and real runs take turns this often.")]
_Json = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


class DefaultCommand(TyperGroup):
    """A group whose first command is meant when none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the first command's name before arguments that name none."""
        if not args or args[0] not in (*self.commands, "--help", "-h"):
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


def both_command(
    paths: _Paths = None,
    pictures: _ImageCount = 256,
    megapixels: _Megapixels = None,
    rounds: _Rounds = 3,
    as_json: _Json = False,
) -> None:
    """Indexing (words left unread) and searching."""
    from askpix.api.evals.speed import bench_ingest, bench_queries

    def measure(settings: "Settings", files: list[Path]) -> tuple[dict[str, Any], list[str]]:
        ingest = bench_ingest(settings, files, rounds=rounds)
        queries = bench_queries(settings, files, QUERIES)
        return {"ingest": ingest, "queries": queries}, [*_ingest_lines(ingest), _query_line(queries)]

    _measure(paths, pictures, megapixels, measure, as_json=as_json)


def index_command(
    paths: _Paths = None,
    pictures: _ImageCount = 256,
    megapixels: _Megapixels = None,
    rounds: _Rounds = 3,
    as_json: _Json = False,
) -> None:
    """Indexing, words left unread."""
    from askpix.api.evals.speed import bench_ingest

    def measure(settings: "Settings", files: list[Path]) -> tuple[dict[str, Any], list[str]]:
        ingest = bench_ingest(settings, files, rounds=rounds)
        return {"ingest": ingest}, _ingest_lines(ingest)

    _measure(paths, pictures, megapixels, measure, as_json=as_json)


def search_command(paths: _Paths = None, pictures: _ImageCount = 256, as_json: _Json = False) -> None:
    """Whole searches beside encoding the words and one query of the store."""
    from askpix.api.evals.speed import bench_queries

    def measure(settings: "Settings", files: list[Path]) -> tuple[dict[str, Any], list[str]]:
        queries = bench_queries(settings, files, QUERIES)
        return {"queries": queries}, [_query_line(queries)]

    _measure(paths, pictures, None, measure, as_json=as_json)


def _measure(
    paths: list[Path] | None,
    pictures: int,
    megapixels: float | None,
    measure: Callable[["Settings", list[Path]], tuple[dict[str, Any], list[str]]],
    *,
    as_json: bool,
) -> None:
    import tempfile

    from askpix.api.console.render import print_json, say
    from askpix.api.demo import PICTURES
    from askpix.api.evals.speed import collect
    from askpix.api.settings import load_settings
    from askpix.evaluation.performance.speed import machine
    from askpix.ingest.sources.walk import check_paths

    settings = load_settings()
    sources = paths or [PICTURES / "photos"]
    check_paths(sources)
    with tempfile.TemporaryDirectory(prefix="askpix-bench-") as work:
        files = collect(sources, pictures, Path(work), megapixels=megapixels)
        result, lines = measure(settings, files)
    if as_json:
        print_json({"machine": machine("pillow", "onnxruntime", "qdrant-edge-py", "numpy"), **result})
    else:
        say(*lines)


def _ingest_lines(ingest: "IngestSpeed") -> list[str]:
    return [
        f"indexing {ingest.ratio:.2f} of the bound ({ingest.cpu_ratio:.2f} by CPU time): "
        f"{ingest.achieved_per_s:.1f} of {ingest.bound_per_s:.1f} images/s",
        f"  {ingest.ratio_to_bare:.2f} of the bare parts on all cores, by the clock in turn: "
        f"{ingest.bare_per_s:.1f} images/s",
        f"  bare decode {ingest.decode_ms:.1f} ms + bare embedding {ingest.embed_ms:.1f} ms "
        f"of CPU an image, {ingest.cores} cores",
    ]


def _query_line(queries: "QuerySpeed") -> str:
    return (
        f"search {queries.ratio_p50:.2f} times its bare parts: p50 {queries.search_p50:.1f} ms, "
        f"p95 {queries.search_p95:.1f} ms; encoding + one store query {queries.bare_p50:.1f} ms"
    )


def embed_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Images to measure with; default: the sample photos."),
    ] = None,
    embedder: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="An embedder to measure; may be given again."),
    ] = None,
    random: Annotated[
        list[str] | None,
        typer.Option(
            metavar="vit-b-32|vit-l-14|siglip-b-16",
            help="One with random weights: needs no download, and speed does not see weights.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Bare and real runs take turns this often.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.01, help="Each turn takes about this long at least.")] = 1.0,
    limit: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="About so long for each embedder, or model."),
    ] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Embedders beside a hand-written loop over their library: images/s, texts/s at batch 1, 16, 64."""
    import tempfile
    from dataclasses import asdict

    from askpix.api.console.render import print_json, say
    from askpix.api.demo import PICTURES
    from askpix.api.evals.embed import measure_embedder, save_random
    from askpix.api.evals.speed import collect
    from askpix.api.settings import load_settings
    from askpix.core.errors import BadQueryError
    from askpix.core.imaging.decode import open_image
    from askpix.evaluation.performance.speed import machine
    from askpix.ingest.sources.walk import check_paths

    settings = load_settings()
    if not embedder and not random:
        raise BadQueryError("name what to measure: --embedder ID, or --random vit-b-32")
    sources = paths or [PICTURES / "photos"]
    check_paths(sources)
    report: dict[str, Any] = {"machine": machine("torch", "pillow"), "embedders": {}}
    with tempfile.TemporaryDirectory(prefix="askpix-bench-") as work:
        (Path(work) / "pictures").mkdir()
        files = collect(sources, 16, Path(work) / "pictures", megapixels=None)
        images = [open_image(path).image for path in files]
        wanted = {name: name for name in embedder or []}
        wanted |= {f"random {kind}": save_random(Path(work) / kind, kind) for kind in random or []}
        for name, embedder_id in wanted.items():
            if not as_json:
                say(name)
            rows = measure_embedder(
                embedder_id,
                settings,
                images,
                rounds=rounds,
                seconds=seconds,
                limit_s=limit,
                on_row=None if as_json else _say_row,
            )
            report["embedders"][name] = [asdict(row) for row in rows]
    if as_json:
        print_json(report)


def _say_row(row: "BatchSpeed") -> None:
    from askpix.api.console.render import say

    if row.ratio is None:
        say(f"  {row.what:8} batch {row.batch:2}: not measured, --limit is too short for it")
        return
    say(
        f"  {row.what:8} batch {row.batch:2}: {row.ratio:.2f} of the bare loop ({row.cpu_ratio:.2f} by CPU "
        f"time; {row.per_s:.1f}/s, bare {row.bare_per_s:.1f}/s; {row.turns} turns)",
    )


def decode_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Images to decode; default: the sample images."),
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="At most so many files.")] = 64,
    megapixels: Annotated[
        float | None,
        typer.Option(min=0.1, max=100, help="Enlarge each to this size first, as a camera's JPEG."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Bare and real runs take turns this often.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Files into images of an embedder's size, by format, beside the bare decoder of each."""
    import tempfile

    from askpix.api.console.render import print_json, table
    from askpix.api.demo import PICTURES
    from askpix.api.evals.decode import contents_of, measure_decode
    from askpix.api.evals.speed import collect
    from askpix.evaluation.performance.speed import machine
    from askpix.ingest.sources.walk import Source, check_paths, walk
    from askpix.retrieval.onnx.mini import SIDE

    sources = paths or [PICTURES]
    check_paths(sources)
    with tempfile.TemporaryDirectory(prefix="askpix-bench-") as work:
        if megapixels is None:
            files = [item.path for item in walk(sources) if isinstance(item, Source)][:pictures]
        else:
            files = collect(sources, pictures, Path(work), megapixels=megapixels)
        rows = measure_decode(contents_of(files), side=SIDE, rounds=rounds)
    if as_json:
        print_json({"machine": machine("pillow", "pypdfium2", "rawpy", "resvg-py"), "decode": rows})
        return
    table(
        ("format", "pictures", "megapixels", "ms", "bare ms", "bare / ours"),
        [
            (
                row.format,
                str(row.pictures),
                f"{row.megapixels:.1f}",
                f"{row.ms:.2f}",
                f"{row.bare_ms:.2f}",
                f"{row.ratio:.2f}",
            )
            for row in rows
        ],
    )


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    bench = typer.Typer(cls=DefaultCommand, help="Speed here beside the bare libraries in the same run.")
    bench.command("all", hidden=True)(both_command)
    bench.command("index")(index_command)
    bench.command("search")(search_command)
    bench.command("embed")(embed_command)
    bench.command("decode")(decode_command)
    app.add_typer(bench, name="bench")
