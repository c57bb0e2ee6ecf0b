"""``askpix bench decode``: files into pictures beside the bare decoders."""

from pathlib import Path
from typing import Annotated

import typer


def decode_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Pictures to decode; default: the sample pictures."),
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="At most so many files.")] = 64,
    megapixels: Annotated[
        float | None,
        typer.Option(min=0.1, max=100, help="Enlarge each to this size first, as a camera's JPEG."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Bare and real runs take turns this often.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Files into pictures of an embedder's size, by format, beside the bare decoder of each."""
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
