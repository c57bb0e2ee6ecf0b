"""The words in images: OCR lines with boxes, and the passages that their meaning is searched by."""

import math
import re
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from PIL import Image

from askpix.core.machine import usable_cores
from askpix.core.text.layout import MIN_TILT, Turn, is_sideways, reading_order, rows
from askpix.core.types import Box, TextLine
from askpix.ingest.ocr.engine import Found, OcrEngine, engine_id
from askpix.ingest.ocr.resolution import DETECT_SIDE, detect_side, is_page, regions

READ_SIDE = 2048
"""Longer sides are shrunk to this before lines are cut out of the image, except on pages of small print."""
_GLANCE_SIDE = 640
"""Longer side, in pixels, at which an image that is no page is searched for any text: found in 42 of 42
documents, charts and screens and in 10 of 10 photos of 1280 pixels with one sign of 10-pixel letters, at a
third of the cost of full size.
"""
_MIN_CONFIDENCE = 0.6
"""Below is what texture taken for letters gets; of 2120 right words on receipts and forms one was below."""
_DOUBTFUL = 0.8
"""Pages read upside down had a mean confidence of 0.55 to 0.77, upright ones 0.94 and more, or 0.84 when
written by hand."""
_MIN_LETTERS = 4
"""Fewest letters by which the turn of a page is judged: none of 150 photos was read differently than at 12,
and upside-down signs are read.
"""
_TALL = 3
_MAX_PIECES = 150
"""Estimated word pieces of a passage, about 60 words; on receipts at most 181 of the text embedder's 256."""


class TextReader(Protocol):
    """Reads the words in images."""

    @property
    def engine_id(self) -> str:
        """Engine, version and models: another one may read other words."""
        ...

    @property
    def workers(self) -> int:
        """Number of threads that may call ``read`` at once to keep the cores busy."""
        ...

    def read(self, image: Image.Image, /) -> list[TextLine]:
        """Lines in reading order, boxes in pixels of ``image``. Thread-safe.

        What stands in one visual row stays together, left to right, as separate lines where there is a gap
        between them ("GRAND TOTAL", then "67.85"): ``core.text.layout.rows`` gives the rows back. Raises
        ``BadImageError`` when this image makes the engine fail.
        """
        ...


class RapidOcrReader:
    """PP-OCR through ``rapidocr``, with the weights its wheel carries. A ``TextReader``.

    Each thread that reads has an engine on one core: two of them read twice as much as one on two cores.
    Pages that lie on their side or their head are read; single lines that do on an upright page are not.
    """

    def __init__(
        self, engine: OcrEngine, another: Callable[[], OcrEngine], *, name: str, workers: int, max_side: int
    ) -> None:
        self._another = another
        self.engine_id = name
        self.workers = workers
        self._max_side = max_side
        self._idle = deque([engine])

    @classmethod
    def load(
        cls,
        *,
        workers: int | None = None,
        max_side: int = READ_SIDE,
        models: str | None = None,
        openvino: bool = False,
    ) -> "RapidOcrReader":
        """``workers`` is one per core unless given; ``models`` is a folder with those of another language.

        Raises ``ModelUnavailableError``.
        """
        folder = Path(models) if models else None
        load = partial(OcrEngine.load, folder, openvino=openvino)
        return cls(
            load(),
            load,
            name=engine_id(folder),
            workers=workers or usable_cores(),
            max_side=max_side,
        )

    def read(self, image: Image.Image, /) -> list[TextLine]:
        """See ``TextReader.read``. A blank or tiny image has no lines."""
        if min(image.size) < 8 or max(image.size) > 100 * min(image.size):
            return []
        try:
            engine = self._idle.pop()
        except IndexError:
            engine = self._another()
        try:
            return self._read(engine, image)
        finally:
            self._idle.append(engine)

    def _read(self, engine: OcrEngine, image: Image.Image) -> list[TextLine]:
        found = _read_tiles(engine, image, self._max_side)
        flipped = False
        if sum(len(each.line.text) for each in found) >= _MIN_LETTERS and _confidence(found) < _DOUBTFUL:
            other = _read_tiles(engine, image.transpose(Image.Transpose.ROTATE_180), self._max_side)
            if _confidence(other) > _confidence(found) + 0.1:
                found = [_flipped(each, image.size) for each in other]
                flipped = True
        found = [each for each in found if each.line.confidence >= _MIN_CONFIDENCE]
        lines = [each.line for each in found]
        # The engine turns tall boxes so that text running downwards is read.
        turn: Turn = 1 if is_sideways(lines) else 0
        tilt = 0.0 if turn else _tilt(found)
        if flipped:
            turn = 3 if turn else 2
        return reading_order(lines, turn, tilt)


def _read_tiles(engine: OcrEngine, image: Image.Image, max_side: int) -> list[Found]:
    """Long receipts and scrolled screens in pieces, which would lose their letters when shrunk whole."""
    kept: list[Found] = []
    for top, bottom in _tiles(*image.size):
        tile = image if bottom - top == image.height else image.crop((0, top, image.width, bottom))
        for each in _read_tile(engine, tile, max_side):
            x0, y0, x1, y1 = each.line.box
            box = Box(x0, y0 + top, x1, y1 + top)
            cut = (top > 0 and box.y0 < top + 3) or (bottom < image.height and box.y1 > bottom - 3)
            # What an edge cuts through is whole in the next tile, unless it is taller than their overlap.
            if cut and y1 - y0 < _overlap(image.width):
                continue
            if not any(_same_place(box, other.line.box) for other in kept):
                kept.append(_moved(each, box))
    return kept


def _read_tile(engine: OcrEngine, image: Image.Image, max_side: int) -> list[Found]:
    if is_page(image):  # a glance misses its small print
        side = detect_side(engine, image)
        if side > DETECT_SIDE:
            return _read_closely(engine, image, side)
    # It pays only where looking closely costs much more.
    elif max(image.size) > 1.25 * _GLANCE_SIDE and not engine.has_text(_shrunk(image, _GLANCE_SIDE)):
        return []
    return _read_part(engine, image, Box(0, 0, *image.size), max_side, DETECT_SIDE)


def _read_closely(engine: OcrEngine, image: Image.Image, side: int) -> list[Found]:
    """A sheet with small print, region by region, as large as on the whole sheet of ``side``."""
    longer = max(image.size)
    found = []
    for region in regions(image):
        share = max(region.x1 - region.x0, region.y1 - region.y0) / longer
        found += _read_part(engine, image, region, round(2 * side * share), max(64, round(side * share)))
    return found


def _read_part(engine: OcrEngine, image: Image.Image, part: Box, max_side: int, side: int) -> list[Found]:
    left, top, right, bottom = (round(edge) for edge in part)
    whole = (right - left, bottom - top) == image.size
    cut = image if whole else image.crop((left, top, right, bottom))
    shrunk = _shrunk(cut, max_side)
    x = cut.width / shrunk.width
    y = cut.height / shrunk.height
    found = []
    for each in engine.find_lines(shrunk, side):
        x0, y0, x1, y1 = each.line.box
        found.append(_moved(each, Box(x0 * x + left, y0 * y + top, x1 * x + left, y1 * y + top)))
    return found


def passages(lines: Sequence[TextLine]) -> list[str]:
    """Pieces of about 60 words for the text embedder, in reading order.

    Rows are kept whole, one to a line, unless one alone is too long. Nothing is lost and nothing said twice.
    """
    found: list[list[str]] = [[]]
    size = 0
    for row in rows(lines):
        for part in _parts(" ".join(line.text for line in row)):
            more = _pieces(part)
            if size and size + more > _MAX_PIECES:
                found.append([])
                size = 0
            found[-1].append(part)
            size += more
    return ["\n".join(parts) for parts in found if parts]


def pieces_of(text: str) -> list[str]:
    """The same for words that stand in no image: a line of theirs is a row."""
    nowhere = Box(0, 0, 0, 0)
    return [piece for line in text.splitlines() for piece in passages([TextLine(line, nowhere)])]


def _pieces(text: str) -> int:
    """Word pieces, roughly: one for two letters of ASCII, one for each character of other scripts."""
    return sum(
        math.ceil((len(word) + sum(not character.isascii() for character in word)) / 2)
        for word in text.split()
    )


def _parts(row: str) -> Iterator[str]:
    if _pieces(row) <= _MAX_PIECES:
        yield row
        return
    part: list[str] = []
    # Scripts without spaces are cut between any two characters.
    for word in re.findall(rf"\s*\S{{1,{_MAX_PIECES // 2}}}", row):
        if part and _pieces("".join(part)) + _pieces(word) > _MAX_PIECES:
            yield "".join(part).strip()
            part = []
        part.append(word)
    yield "".join(part).strip()


def _tiles(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Tops and bottoms, overlapping; one tile unless the image is tall and would have to be shrunk."""
    if height <= _TALL * width or height <= 0.75 * READ_SIDE:
        yield 0, height
        return
    top = 0
    while top + 2 * width < height:
        yield top, top + 2 * width
        top += 2 * width - _overlap(width)
    yield top, height


def _overlap(width: int) -> int:
    return width // 4


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _confidence(found: Sequence[Found]) -> float:
    """Mean over the letters."""
    letters = sum(len(each.line.text) for each in found)
    return sum(len(each.line.text) * each.line.confidence for each in found) / letters if letters else 0.0


def _tilt(found: Sequence[Found]) -> float:
    """Return the tilt of the page: the median of its longer lines, whose slope is not that of a pixel or
    two.
    """
    long = [each.slope for each in found if each.line.box.x1 - each.line.box.x0 > 100]
    tilt = statistics.median(long) if long else 0.0
    return tilt if abs(tilt) >= MIN_TILT else 0.0


def _moved(found: Found, box: Box) -> Found:
    return Found(TextLine(found.line.text, box, found.line.confidence), found.slope)


def _flipped(found: Found, size: tuple[int, int]) -> Found:
    (width, height) = size
    box = found.line.box
    return _moved(found, Box(width - box.x1, height - box.y1, width - box.x0, height - box.y0))


def _same_place(a: Box, b: Box) -> bool:
    """Return whether more than half of the smaller box lies in the other."""
    shared = max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0)) * max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))
    return shared > 0.5 * min((a.x1 - a.x0) * (a.y1 - a.y0), (b.x1 - b.x0) * (b.y1 - b.y0))
