"""How fast words are read beside the bare engine with a thread on every core, on the same pictures."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec

from PIL import Image

from askpix.core.machine import usable_cores
from askpix.ingest.ocr.engine import OcrEngine
from askpix.ingest.ocr.reader import READ_SIDE
from askpix.ingest.ocr.worker import ApartTextReader


@dataclass(frozen=True, slots=True)
class OcrSpeed:
    """Pictures a second, the best of the rounds: ours, and ``OcrEngine.find_lines`` on pictures shrunk
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
    best, least = min(a for a, _ in pairs), min(b for _, b in pairs)
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
