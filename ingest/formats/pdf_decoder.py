"""PDF: pages as images, at a resolution of one's choice, and the text that lies in them.

PDFium draws untrusted files in C++ and cannot be interrupted, so only child processes load this
(``ingest.formats.sandboxed``).
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import c_double, c_int
from typing import Any

import pypdfium2
from PIL import Image
from pypdfium2 import raw

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import PDF_DPI, DecodedImage, ImageLimits, check_size
from askpix.core.imaging.decoder_errors import one_line
from askpix.core.text.layout import reading_order
from askpix.core.types import Box, TextLine
from askpix.ingest.formats.base import Document

_SCALE = PDF_DPI / 72 * (1 - 1e-9)
"""Pixels a point. A hair less, so that 60 points are 125 pixels and not 125.00000000000001, rounded up."""
_MAX_CHARACTERS = 100_000
"""Most characters of a page: a newspaper's has 30,000."""
_GAP = 1.2
"""Times the height of its letters, between two pieces of one line: columns of a table lie further apart."""
_UNREADABLE = 0.1
"""Share of characters without a meaning that is put up with: fonts need not say which letters they draw."""
_UNREAD_IMAGES = 0.1
"""Share of the page under images without a letter of the text on them, from which words may be in those."""

# It warns of forms it cannot draw: nothing below api/ writes to the console.
logging.getLogger("pypdfium2").addHandler(logging.NullHandler())

_DEPTH = 3
"""Most levels of forms within forms in which images are looked for."""
_HYPHENS = (0x02, 0xAD, 0xFFFE)
_HYPHEN = "-"
"""Characters by which PDFium marks a hyphen at the end of a line."""
_NOWHERE = Box(0.0, 0.0, 0.0, 0.0)

Characters = list[tuple[str, Box]]
Place = Callable[[float, float, float, float], Box]
"""Sides in the page's own points (left, bottom, right, top) into pixels of the drawn page."""


class PdfDecoder(Document):
    """An open PDF. Raises ``BadImageError`` when it cannot be opened or is over a limit."""

    def __init__(self, data: bytes, limits: ImageLimits) -> None:
        super().__init__(data, limits)
        if len(data) > limits.max_bytes:
            raise BadImageError(f"PDF of {len(data)} bytes is over the limit of {limits.max_bytes}")
        try:
            self._document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise BadImageError("the PDF needs a password: save a copy without one") from error
            raise BadImageError("damaged PDF: it cannot be opened") from error
        try:
            self._document.init_forms()  # or what people filled in is not drawn
        except pypdfium2.PdfiumError as error:
            self.close()
            raise BadImageError("damaged PDF: its form cannot be opened") from error
        self.count = len(self._document)

    def close(self) -> None:
        """See ``Document``."""
        self._document.close()

    def picture(self, place: int | None, min_side: int | None) -> DecodedImage:
        """See ``Document``. ``width`` and ``height`` are those at ``PDF_DPI``, also where ``limits.pdf_dpi``
        has the page drawn larger or smaller."""
        with self._sheet(place or 1) as sheet:
            width, height = _size(sheet)
            check_size(width, height, self.limits)
            room = self.limits.max_pixels / (width * height)  # sides are rounded up
            limit = min(self.limits.pdf_dpi / PDF_DPI, max(1.0, 0.99 * math.sqrt(room)))
            scale = limit if min_side is None else min(limit, min_side / min(width, height))
            bitmap = sheet.render(scale=_SCALE * scale)
            try:
                image: Image.Image = bitmap.to_pil()  # from BGR, so with pixels of its own
            finally:
                bitmap.close()
        return DecodedImage(image, width, height, "PDF", self.count, Image.Exif())

    def lines(self, place: int | None) -> list[TextLine] | None:
        """Return the text of a page, boxes in pixels of the whole drawn page, in reading order.

        None where there is none, where it makes no sense, and where images lie on the page that it says
        nothing of: those pages are to be read as images.
        """
        with self._sheet(place or 1) as sheet:
            check_size(*_size(sheet), self.limits)
            placing = _placing(sheet)
            characters = _characters(sheet, placing)
            readable = [character for character, _ in characters if character.strip()]
            odd = sum(not character.isprintable() or character == "\ufffd" for character in readable)
            if not readable or odd > _UNREADABLE * len(readable):
                return None
            lines = list(_lines(characters))
            if _unread(sheet, placing, lines) > _UNREAD_IMAGES:
                return None
            return reading_order(lines, 0, 0.0)

    @contextmanager
    def _sheet(self, number: int) -> Iterator[Any]:
        """A page. What PDFium cannot do with it is a ``BadImageError``."""
        if not 1 <= number <= self.count:
            raise BadImageError(f"no page {number}: it has {self.count}")
        try:
            sheet = self._document[number - 1]
            try:
                yield sheet
            finally:
                sheet.close()
        except (pypdfium2.PdfiumError, ValueError, ArithmeticError, MemoryError) as error:
            raise BadImageError(f"the page cannot be drawn: {one_line(error)}") from error


def _size(sheet: Any) -> tuple[int, int]:
    """Return the size in pixels, rounded as PDFium rounds, so that a whole page has exactly this size."""
    width, height = sheet.get_size()
    return max(1, math.ceil(width * _SCALE)), max(1, math.ceil(height * _SCALE))


def _placing(sheet: Any) -> Place:
    """Return the transform from the page's own points to pixels, with its rotation and the origin of its
    visible part.
    """
    width, height = _size(sheet)

    def at(x: float, y: float) -> tuple[float, float]:
        # In thousandths, for the engine rounds to whole ones; the mapping is linear.
        found_x = c_int()
        found_y = c_int()
        raw.FPDF_PageToDevice(
            sheet,
            0,
            0,
            1000 * width,
            1000 * height,
            0,
            x,
            y,
            found_x,
            found_y,
        )
        return found_x.value / 1000, found_y.value / 1000

    x0, y0 = at(0, 0)
    (xx, xy), (yx, yy) = ((x - x0, y - y0) for x, y in (at(1, 0), at(0, 1)))

    def place(left: float, bottom: float, right: float, top: float) -> Box:
        xs = sorted(x0 + x * xx + y * yx for x, y in ((left, bottom), (right, top)))
        ys = sorted(y0 + x * xy + y * yy for x, y in ((left, bottom), (right, top)))
        return Box(max(0.0, xs[0]), max(0.0, ys[0]), min(float(width), xs[1]), min(float(height), ys[1]))

    return place


def _characters(sheet: Any, place: Place) -> Characters:
    """Return the characters with their boxes; those added by PDFium (spaces, line ends) and those off the
    page have none.
    """
    found: Characters = []
    text = sheet.get_textpage()
    try:
        count = raw.FPDFText_CountChars(text)
        if count > _MAX_CHARACTERS:
            return []
        sides = [c_double() for _ in range(4)]
        for index in range(count):
            code = raw.FPDFText_GetUnicode(text, index)
            character = _HYPHEN if code in _HYPHENS else chr(code) if code < 0x110000 else "\ufffd"
            if 0xD800 <= code < 0xE000:
                character = "\ufffd"
            box = _NOWHERE
            if character.strip() and raw.FPDFText_GetCharBox(text, index, *sides):
                left, right, bottom, top = (side.value for side in sides)
                box = place(left, bottom, right, top)
                if box.x1 <= box.x0 or box.y1 <= box.y0:
                    continue  # outside of what is shown of the page
            found.append((character, box))
    finally:
        text.close()
    return found


_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _lines(characters: Characters) -> Iterator[TextLine]:
    """Runs of neighbouring letters. A wide gap ends one, as between the columns of a table."""
    text = ""
    box = _NOWHERE
    last = _NOWHERE
    letter = 0.0
    digit = _NOWHERE
    for written, place in characters:
        raised = written.isascii() and written.isdigit() and digit != _NOWHERE and _is_raised(place, digit)
        character = written.translate(_RAISED) if raised else written
        digit = digit if raised else place if written.isdigit() else _NOWHERE
        letter = max(letter, place.x1 - place.x0, place.y1 - place.y0)
        if character in "\r\n" or (_NOWHERE not in (place, last) and _distance(last, place) > _GAP * letter):
            if text.strip():
                yield TextLine(" ".join(text.split()), box)
            text = ""
            box = _NOWHERE
            last = _NOWHERE
            letter = max(place.x1 - place.x0, place.y1 - place.y0)
        text += character if place != _NOWHERE else " "
        if place != _NOWHERE:
            last = place
            box = place if box == _NOWHERE else _around(box, place)
    if text.strip():
        yield TextLine(" ".join(text.split()), box)


def _is_raised(place: Box, digit: Box) -> bool:
    """Return whether a digit is smaller than the one before it and stands above its foot: the cents of a
    price.
    """
    height = digit.y1 - digit.y0
    return place.y1 - place.y0 < 0.8 * height and digit.y1 - place.y1 > 0.2 * height


def _distance(one: Box, other: Box) -> float:
    across = max(other.x0 - one.x1, one.x0 - other.x1)
    along = max(other.y0 - one.y1, one.y0 - other.y1)
    return max(across, along)


def _around(one: Box, other: Box) -> Box:
    return Box(min(one.x0, other.x0), min(one.y0, other.y0), max(one.x1, other.x1), max(one.y1, other.y1))


def _unread(sheet: Any, place: Place, lines: Sequence[TextLine]) -> float:
    """Share of the page under images on which none of the lines lies. A scan that was read has its own
    words on it."""
    width, height = _size(sheet)
    covered = 0.0
    for item in sheet.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=_DEPTH):
        box = place(*item.get_bounds())
        inside = (((o.box.x0 + o.box.x1) / 2, (o.box.y0 + o.box.y1) / 2) for o in lines)
        if not any(box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1 for x, y in inside):
            covered += max(0.0, box.x1 - box.x0) * max(0.0, box.y1 - box.y0)
    return covered / (width * height)
