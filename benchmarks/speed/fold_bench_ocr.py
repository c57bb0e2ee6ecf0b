"""``askpix bench ocr``: words read beside the bare engine."""

from pathlib import Path
from typing import Annotated

import typer


def ocr_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Pictures to read; default: the sample pictures."),
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="How many of them.")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="Bare and real runs take turns this often.")] = 3,
    openvino: Annotated[bool, typer.Option(help="On OpenVINO, where it is installed.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Read words with the engines in processes apart, and with bare ones in threads, on all cores."""
    from askpix.api.console.render import print_json, say
    from askpix.api.demo import PICTURES
    from askpix.core.errors import NotFoundError
    from askpix.core.imaging.decode import open_image
    from askpix.evaluation.performance.speed import machine
    from askpix.ingest.sources.walk import Source, walk
    from benchmarks.speed.ocr import measure_ocr

    found = [item.path for item in walk(paths or [PICTURES]) if isinstance(item, Source)]
    files = [path for path in found if path.suffix.lower() != ".pdf"][:pictures]
    if not files:
        raise NotFoundError("there is no picture to read under these paths")
    speed = measure_ocr(
        [open_image(path, min_side=1280).image for path in files], rounds=rounds, openvino=openvino
    )
    if as_json:
        print_json({"machine": machine("rapidocr", "onnxruntime"), "ocr": speed})
        return
    say(
        f"{speed.engine}: {speed.pictures} pictures, {speed.with_text} with words, {speed.cores} cores: "
        f"{speed.per_s:.2f}/s, {speed.ratio:.2f} of the bare engine ({speed.bare_per_s:.2f}/s)"
    )
