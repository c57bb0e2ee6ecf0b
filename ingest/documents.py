"""Files into pages: a photo is one, a PDF or a multi-page TIFF several.

PDF pages are pictures here, rendered at a fixed resolution, so that a box on a page means the same pixels at
every call.
"""

import logging
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import pypdfium2
from PIL import Image

from core.damage import one_line, signature
from core.errors import BadImageError
from core.images import ImageLimits, Picture, check_size, open_image, open_images
from core.types import Kind

PDF_DPI = 150
"""Enough for OCR of 8-point print; an A4 page becomes 1240 x 1755 pixels."""
_SCALE = PDF_DPI / 72 * (1 - 1e-9)
"""Pixels a point. A hair less, so that 60 points are 125 pixels and not 125.00000000000001, rounded up."""

# PDFium keeps state for the whole process and is not thread-safe (pypdfium2 README), whoever uses it.
# A thread may come twice: the garbage collector closes what a caller has dropped.
_PDFIUM = threading.RLock()
# It warns of forms it cannot draw: nothing below api/ writes to the console.
logging.getLogger("pypdfium2").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Page:
    """One retrievable picture of a file, or why it could not be made."""

    page: int | None
    kind: Kind
    picture: Picture | None
    error: str | None = None


def open_pages(data: bytes, *, limits: ImageLimits, min_side: int | None = None) -> Iterator[Page]:
    """The pictures of a file, decoded one after another. ``min_side`` as in ``open_image``.

    One broken page is a ``Page`` with an error. Raises ``BadImageError`` when nothing can be opened.
    """
    if is_pdf(data):
        yield from _numbered(_pdf_pages(data, limits, min_side))
        return
    found = open_images(data, limits=limits, min_side=min_side)
    first, second = next(found), next(found, None)
    if second is not None:
        yield from _numbered(chain((first, second), found))
    elif isinstance(first, BadImageError):
        raise first
    else:
        yield Page(None, "photo", first)


def open_page(data: bytes, page: int | None, *, limits: ImageLimits, min_side: int | None = None) -> Picture:
    """One picture of a file; ``page`` is 1-based, None for a plain picture. Raises ``BadImageError``."""
    if not is_pdf(data):
        return open_image(data, limits=limits, min_side=min_side, page=page or 1)
    with _PDFIUM:
        document = _open_pdf(data, limits)
        try:
            return _render(document, page or 1, limits=limits, min_side=min_side)
        finally:
            document.close()


def is_pdf(data: bytes) -> bool:
    """Whether the bytes claim to be a PDF. Writers may put some bytes before its header, and a picture may
    have those letters among its metadata."""
    return b"%PDF-" in data[:1024] and signature(data) is None


def _numbered(found: Iterator[Picture | BadImageError]) -> Iterator[Page]:
    for number, picture in enumerate(found, start=1):
        if isinstance(picture, BadImageError):
            yield Page(number, "page", None, str(picture))
        else:
            yield Page(number, "page", picture)


def _pdf_pages(data: bytes, limits: ImageLimits, min_side: int | None) -> Iterator[Picture | BadImageError]:
    """The lock is held while PDFium works, not while the caller looks at a page."""
    with _PDFIUM:
        document = _open_pdf(data, limits)
        count = len(document)
    try:
        for number in range(1, count + 1):
            try:
                with _PDFIUM:
                    found: Picture | BadImageError = _render(
                        document, number, limits=limits, min_side=min_side
                    )
            except BadImageError as error:
                found = error
            yield found
    finally:
        with _PDFIUM:
            document.close()


def _open_pdf(data: bytes, limits: ImageLimits) -> "pypdfium2.PdfDocument":
    if len(data) > limits.max_bytes:
        raise BadImageError(f"PDF of {len(data)} bytes is over the limit of {limits.max_bytes}")
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise BadImageError("the PDF needs a password: save a copy without one") from error
        raise BadImageError("damaged PDF: it cannot be opened") from error
    try:
        document.init_forms()  # or what people filled in is not drawn
    except pypdfium2.PdfiumError as error:
        document.close()
        raise BadImageError("damaged PDF: its form cannot be opened") from error
    count = len(document)
    if 0 < count <= limits.max_pages:
        return document
    document.close()
    if count == 0:
        raise BadImageError("damaged PDF: it has no pages")
    raise BadImageError(f"PDF of {count} pages is over the limit of {limits.max_pages}: split it")


def _render(
    document: "pypdfium2.PdfDocument", number: int, *, limits: ImageLimits, min_side: int | None
) -> Picture:
    if not 1 <= number <= len(document):
        raise BadImageError(f"no page {number}: it has {len(document)}")
    try:
        sheet = document[number - 1]
        try:
            # As PDFium rounds, so that a whole page has exactly this size.
            width, height = (max(1, math.ceil(side * _SCALE)) for side in sheet.get_size())
            check_size(width, height, limits)
            scale = _SCALE * (1.0 if min_side is None else min(1.0, min_side / min(width, height)))
            bitmap = sheet.render(scale=scale)
            try:
                image: Image.Image = bitmap.to_pil()  # from BGR, so with pixels of its own
            finally:
                bitmap.close()
        finally:
            sheet.close()
    except (pypdfium2.PdfiumError, ValueError, ArithmeticError, MemoryError) as error:
        raise BadImageError(f"the page cannot be drawn: {one_line(error)}") from error
    return Picture(image, width, height, "PDF", len(document), Image.Exif())
