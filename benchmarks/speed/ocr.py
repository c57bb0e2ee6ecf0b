"""Speed of OCR beside the bare engine with a thread on every core, on the same images."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from askpix.core.machine import usable_cores
from askpix.ingest.ocr.engine import OcrEngine
from askpix.ingest.ocr.reader import READ_SIDE
from askpix.ingest.ocr.worker import ApartTextReader


@dataclass(frozen=True, slots=True)
class OcrSpeed:
    """Images a second, the best of the rounds: ours, and ``OcrEngine.find_lines`` on images shrunk
    beforehand. ``with_text`` of ``pictures`` had some."""

    engine: str
    cores: int
    pictures: int
    with_text: int
    per_s: float
    bare_per_s: float
    ratio: float


def measure_ocr(images: Sequence[Image.Image], *, rounds: int = 3, openvino: bool = False) -> OcrSpeed:
    """Read ``images`` with ``ApartTextReader``, and with bare engines in threads, in turns; both on OpenVINO
    where that is wanted and installed, else on ONNX Runtime."""
    cores = usable_cores()
    reader = ApartTextReader.load(workers=cores, openvino=openvino)
    engines = [OcrEngine.load(openvino=openvino) for _ in range(cores)]
    shrunk = [image.copy() for image in images]
    for image in shrunk:
        image.thumbnail((READ_SIDE, READ_SIDE))
    idle = list(engines)

    def bare(image: Image.Image) -> int:
        engine = idle.pop()
        try:
            return len(engine.find_lines(image))
        finally:
            idle.append(engine)

    def ours(image: Image.Image) -> int:
        return len(reader.read(image))

    with ThreadPoolExecutor(cores) as pool:
        _timed(pool, ours, images[:cores])
        _timed(pool, bare, shrunk[:cores])
        pairs = [(_timed(pool, ours, images), _timed(pool, bare, shrunk)) for _ in range(rounds)]
        with_text = sum(count > 0 for count in pool.map(ours, images))
    reader.close()
    best = min(a for a, _ in pairs)
    least = min(b for _, b in pairs)
    runtime = "openvino" if openvino and find_spec("openvino") else "onnxruntime"
    return OcrSpeed(
        f"{reader.engine_id} on {runtime}",
        cores,
        len(images),
        with_text,
        len(images) / best,
        len(images) / least,
        least / best,
    )


def _timed(
    pool: ThreadPoolExecutor, read: Callable[[Image.Image], int], images: Sequence[Image.Image]
) -> float:
    began = time.perf_counter()
    list(pool.map(read, images))
    return time.perf_counter() - began


def ocr_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Images to read; default: the sample images."),
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

    found = [item.path for item in walk(paths or [PICTURES]) if isinstance(item, Source)]
    files = [path for path in found if path.suffix.lower() != ".pdf"][:pictures]
    if not files:
        raise NotFoundError("there is no image to read under these paths")
    speed = measure_ocr(
        [open_image(path, min_side=1280).image for path in files], rounds=rounds, openvino=openvino
    )
    if as_json:
        print_json({"machine": machine("rapidocr", "onnxruntime"), "ocr": speed})
        return
    say(
        f"{speed.engine}: {speed.pictures} images, {speed.with_text} with words, {speed.cores} cores: "
        f"{speed.per_s:.2f}/s, {speed.ratio:.2f} of the bare engine ({speed.bare_per_s:.2f}/s)"
    )
