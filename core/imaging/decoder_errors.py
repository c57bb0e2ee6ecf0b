"""Errors of image decoders, as one line that tells a person what is wrong with the file."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from askpix.core.errors import BadImageError

DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)
"""Exceptions that Pillow's plugins, and the C decoders below them, raise for damaged input; warnings too
where those are errors.
"""

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)
_BRANDS = {
    b"avif": "AVIF", b"avis": "AVIF", b"mif1": "HEIC or AVIF", b"msf1": "HEIC or AVIF",
    b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC",
}  # fmt: skip
"""Brands of ISO 23008-12 still images; a film begins with ``ftyp`` too."""


@contextmanager
def as_bad_image(data: bytes) -> Iterator[None]:
    """Around the decoding of ``data``: what decoders raise becomes a ``BadImageError``."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise BadImageError(_why_unknown(data)) from error
    except MemoryError as error:
        raise BadImageError("there is not enough memory to decode it") from error
    except DECODER_ERRORS as error:
        raise BadImageError(f"damaged {signature(data) or 'picture'}: {one_line(error)}") from error


def signature(data: bytes) -> str | None:
    """The image format that the first bytes announce."""
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12])
    if data[:4] == b"RIFF":
        return "WebP" if data[8:12] == b"WEBP" else None
    if data[:2] == b"BM":
        return "BMP" if data[6:10] == b"\0\0\0\0" else None
    return next((name for start, name in _SIGNATURES if data.startswith(start)), None)


def one_line(error: BaseException) -> str:
    """The error's words, or its name when it has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _tiff_samples(data: bytes) -> str | None:
    """Return the kind of a TIFF's samples, where its first directory is sound and Pillow cannot read them."""
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
        bits = directory.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        kinds = directory.get(TiffImagePlugin.SAMPLEFORMAT, (1,))
        kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(kinds[0], "unusual")
        if not all(directory.get(tag) for tag in (TiffImagePlugin.IMAGEWIDTH, TiffImagePlugin.IMAGELENGTH)):
            return None
    except DECODER_ERRORS:
        return None
    return f"{len(bits)} x {bits[0]} bits ({kind})"


def _why_unknown(data: bytes) -> str:
    if known := signature(data):
        if known == "TIFF" and (form := _tiff_samples(data)):
            return f"a TIFF of {form}, which is not read here: save it with 8 or 16 bits, or as JPEG or PNG"
        return f"damaged {known}: its header cannot be read"
    head = data[:512].lstrip().lower()
    if b"<svg" in head or b"<!doctype svg" in head:
        return "an SVG drawing, which is no image of pixels"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page, not an image"
    if head.startswith(b"%pdf"):
        return "a PDF is a document, not an image"
    return "not an image in a format that is read here: save it as JPEG or PNG"
