"""Files into pages: a photo is one, a PDF or a multi-page TIFF several.

PDF pages are pictures here, rendered at a fixed resolution, so that a box on a page means the same pixels at
every call.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pypdfium2
from PIL import Image

from core.errors import BadImageError
from core.images import ImageLimits, Picture, check_size, open_image
from core.types import Kind

PDF_DPI = 150
"""Enough for OCR of 8-point print; an A4 page becomes 1240 x 1754 pixels."""

# PDFium keeps state for the whole process and is not thread-safe (pypdfium2 README), whoever uses it.
_PDFIUM = threading.Lock()


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
        count = _count_pdf_pages(data, limits)
    else:
        first = open_image(data, limits=limits, min_side=min_side)
        if first.pages == 1:
            yield Page(None, "photo", first)
            return
        count = first.pages
    for number in range(1, count + 1):
        try:
            yield Page(number, "page", open_page(data, number, limits=limits, min_side=min_side))
        except BadImageError as error:
            yield Page(number, "page", None, str(error))


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
    """Whether the bytes claim to be a PDF; writers may put some bytes before the header."""
    return b"%PDF-" in data[:1024]


def _open_pdf(data: bytes, limits: ImageLimits) -> "pypdfium2.PdfDocument":
    if len(data) > limits.max_bytes:
        raise BadImageError(f"PDF of {len(data)} bytes is over the limit of {limits.max_bytes}")
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        reason = "it needs a password" if "password" in str(error).lower() else "damaged PDF"
        raise BadImageError(f"PDF cannot be opened: {reason}") from error


def _count_pdf_pages(data: bytes, limits: ImageLimits) -> int:
    with _PDFIUM:
        document = _open_pdf(data, limits)
        try:
            count = len(document)
        finally:
            document.close()
    if count > limits.max_pages:
        raise BadImageError(f"PDF of {count} pages is over the limit of {limits.max_pages}")
    if count == 0:
        raise BadImageError("PDF without pages")
    return count


def _render(
    document: "pypdfium2.PdfDocument", number: int, *, limits: ImageLimits, min_side: int | None
) -> Picture:
    try:
        sheet = document[number - 1]
        try:
            points = sheet.get_size()
            width, height = (max(1, round(side * PDF_DPI / 72)) for side in points)
            check_size(width, height, limits)
            scale = PDF_DPI / 72
            if min_side is not None:
                scale *= min(1.0, min_side / min(width, height))
            image: Image.Image = sheet.render(scale=scale, may_draw_forms=False).to_pil().convert("RGB")
        finally:
            sheet.close()
    except (pypdfium2.PdfiumError, IndexError, ValueError, MemoryError) as error:
        raise BadImageError(f"page {number} cannot be drawn: {' '.join(str(error).split())[:120]}") from error
    return Picture(image, width, height, "PDF", 1, Image.Exif())
