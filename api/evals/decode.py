"""Decoding speed beside the bare decoder of each format, in turn on the same bytes.

Ours is what indexing does: the format by its bytes, limits before decoding, EXIF, the turn it asks for, and a
process apart for PDF, SVG, JPEG XL and camera raw files. Bare is the shortest program for the same pixels.
"""

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import pypdfium2
import rawpy
import resvg_py
from PIL import Image

from askpix.core.errors import BadImageError, NotFoundError
from askpix.core.imaging.decode import DEFAULT_LIMITS, ImageLimits, read_bytes
from askpix.core.imaging.decoder_errors import signature
from askpix.ingest.formats.pages import format_of, open_pages
from askpix.ingest.formats.svg_decoder import LONGEST

Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class DecodeSpeed:
    """Result for one format. Milliseconds an image, the medians of the rounds; ``ratio`` is bare over
    ours: above 1 is faster than the bare decoder. ``megapixels`` of the originals, on average.
    """

    format: str
    pictures: int
    megapixels: float
    ms: float
    bare_ms: float
    ratio: float


def measure_decode(
    contents: Sequence[bytes], *, side: int, rounds: int = 5, limits: ImageLimits = DEFAULT_LIMITS
) -> list[DecodeSpeed]:
    """Every file by both, in turn; formats by falling number of images. ``side``: the shorter one that an
    embedder needs, pixels. What is damaged, and videos, are left out."""
    groups: dict[str, list[tuple[bytes, list[Size]]]] = {}
    pixels: dict[str, int] = {}
    for data in contents:
        try:
            found = _ours(data, side, limits)
        except BadImageError:
            continue
        name = _format(data)
        groups.setdefault(name, []).append((data, [drawn for _, drawn in found]))
        pixels[name] = pixels.get(name, 0) + sum(width * height for (width, height), _ in found)
    if not groups:
        raise NotFoundError("there is no image to decode under these paths")
    rows = [
        _measured(name, files, pixels[name], side=side, rounds=rounds, limits=limits)
        for name, files in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.pictures, row.format))


def _measured(
    name: str,
    files: Sequence[tuple[bytes, list[Size]]],
    pixels: int,
    *,
    side: int,
    rounds: int,
    limits: ImageLimits,
) -> DecodeSpeed:
    bare = _BARE.get(name, _pillow)
    count = sum(len(drawn) for _, drawn in files)
    both: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        order: list[tuple[int, Callable[[], Any]]] = [
            (0, lambda: [_ours(data, side, limits) for data, _ in files]),
            # Sizes alone are kept: images that pile up would cost fresh memory.
            (1, lambda: [[image.size for image in bare(data, side, drawn)] for data, drawn in files]),
        ]
        for place, work in order if turn % 2 else reversed(order):
            began = time.perf_counter()
            work()
            if turn:  # the first one loads libraries and starts processes
                both[place].append(1000 * (time.perf_counter() - began) / count)
    ratio = median(theirs / mine for mine, theirs in zip(*both, strict=True))
    return DecodeSpeed(name, count, pixels / count / 1e6, median(both[0]), median(both[1]), ratio)


def _ours(data: bytes, side: int, limits: ImageLimits) -> list[tuple[Size, Size]]:
    """Decode each image of a file; return its size, and the size it was decoded at. Raises
    ``BadImageError``.
    """
    found = []
    for page in open_pages(data, limits=limits, min_side=side):
        if page.picture is None:
            raise BadImageError(page.error or "damaged")
        found.append(((page.picture.width, page.picture.height), page.picture.image.size))
    return found


def _format(data: bytes) -> str:
    if (name := format_of(data).name) in _BARE:
        return name
    with Image.open(io.BytesIO(data)) as opened:
        return "JPEG" if opened.format == "MPO" else opened.format or str(signature(data))


def _pillow(data: bytes, side: int, drawn: Sequence[Size]) -> Iterator[Image.Image]:
    for page in range(len(drawn)):
        with Image.open(io.BytesIO(data)) as opened:
            if page:
                opened.seek(page)
            if opened.format in ("JPEG", "MPO"):
                short = min(opened.size)
                opened.draft("RGB", (side * opened.width // short, side * opened.height // short))
            opened.load()
            yield opened if opened.mode == "RGB" else opened.convert("RGB")


def _pdfium(data: bytes, side: int, drawn: Sequence[Size]) -> Iterator[Image.Image]:
    document = pypdfium2.PdfDocument(data)
    for number, (width, _) in enumerate(drawn):
        page = document[number]
        yield page.render(scale=width / page.get_width()).to_pil()
    document.close()


def _resvg(data: bytes, side: int, drawn: Sequence[Size]) -> Iterator[Image.Image]:
    (width, height) = drawn[0]
    wide = width >= height
    made = resvg_py.svg_to_bytes(
        svg_string=data.decode("utf-8"),
        width=LONGEST if wide else None,
        height=None if wide else LONGEST,
        background="#ffffff",
    )
    yield Image.open(io.BytesIO(made)).convert("RGB")


def _libraw(data: bytes, side: int, drawn: Sequence[Size]) -> Iterator[Image.Image]:
    with rawpy.imread(io.BytesIO(data)) as raw:
        try:
            yield from _pillow(bytes(raw.extract_thumb().data), side, drawn)
        except (rawpy.LibRawError, OSError):
            yield Image.fromarray(raw.postprocess(use_camera_wb=True, half_size=True))


def _libjxl(data: bytes, side: int, drawn: Sequence[Size]) -> Iterator[Image.Image]:
    import pillow_jxl  # noqa: F401 - registers the format, in this process only when it is measured

    yield from _pillow(data, side, drawn)


_Bare: TypeAlias = Callable[[bytes, int, Sequence[Size]], Iterator[Image.Image]]
_BARE: Mapping[str, _Bare] = {"PDF": _pdfium, "SVG": _resvg, "RAW": _libraw, "JPEG XL": _libjxl}


def contents_of(files: Sequence[Path]) -> list[bytes]:
    """Return the files' bytes, without videos and files that are too large."""
    found = []
    for path in files:
        try:
            data = read_bytes(path)
        except BadImageError:
            continue
        if not format_of(data).on_disk:
            found.append(data)
    return found
