"""Untrusted bytes into an upright RGB picture. Limits are checked from the header, before any decoding.

Only formats whose decoders are widely fuzzed are let in (no PostScript, no vector formats, no scientific
containers). Colour profiles are ignored: embedders and OCR were trained on pictures read the same way.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, UnidentifiedImageError

from core.errors import BadImageError

# Our own limits below are checked before decoding and per call. Pillow's is one global that warns at one
# size and raises at twice that, with text nobody can act on.
Image.MAX_IMAGE_PIXELS = None
pillow_heif.register_heif_opener(thumbnails=False)

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "TIFF",
    "BMP",
    "AVIF",
    "HEIF",
    "JPEG2000",
    "PPM",
    "ICO",
    "TGA",
)
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # what brings each EXIF orientation upright (TIFF 6.0, tag 274)
_SWAPS_SIDES = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is refused before it is decoded."""

    max_bytes: int = 256 * 2**20
    max_pixels: int = 120_000_000
    """Of one picture; a decoded pixel takes three to four bytes of memory."""
    max_side: int = 100_000
    max_pages: int = 2_000
    """Of one document."""


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture. ``image`` is upright RGB and may be smaller than the original; ``width`` and
    ``height`` are always pixels of the upright original."""

    image: Image.Image
    width: int
    height: int
    format: str
    pages: int
    """More than one only for a multi-page TIFF; an animation is one picture, its first frame."""
    exif: Image.Exif


def open_image(
    source: bytes | Path, *, limits: ImageLimits = DEFAULT_LIMITS, min_side: int | None = None, page: int = 1
) -> Picture:
    """Decode a picture of any allowed format, by its content and not by its name.

    ``min_side`` lets the decoder shrink the picture as long as its shorter side keeps at least that many
    pixels (JPEG decodes at 1/2, 1/4 or 1/8 at a fraction of the cost). ``page`` is 1-based. Transparency
    becomes white, 16-bit and float greys are scaled to their range, orientation is applied.

    Raises ``BadImageError``: unreadable, truncated, not allowed, over a limit, no such page.
    """
    data = source if isinstance(source, bytes) else read_bytes(source, limits=limits)
    if len(data) > limits.max_bytes:
        raise BadImageError(f"file of {len(data)} bytes is over the limit of {limits.max_bytes}")
    if not data:
        raise BadImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            return _decode(opened, limits=limits, min_side=min_side, page=page)
    except UnidentifiedImageError as error:
        raise BadImageError(_why_unknown(data)) from error
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError) as error:
        raise BadImageError(f"damaged picture: {_one_line(error)}") from error
    except (Image.DecompressionBombError, MemoryError, RuntimeError, AttributeError) as error:
        # Decoders in C raise these for damaged input too; none of them is about our own code.
        raise BadImageError(f"cannot be decoded: {_one_line(error)}") from error
    except Exception as error:
        # struct.error and the plugins' own classes have no common base below Exception.
        if type(error).__module__.split(".")[0] in ("struct", "PIL", "pillow_heif", "zlib", "_zlib"):
            raise BadImageError(f"damaged picture: {_one_line(error)}") from error
        raise


def read_bytes(path: Path, *, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """The file's bytes; never more than the limit is read. Raises ``BadImageError``."""
    try:
        with path.open("rb") as file:
            data = file.read(limits.max_bytes + 1)
    except OSError as error:
        raise BadImageError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    if len(data) > limits.max_bytes:
        raise BadImageError(f"{path.name!r} is over the limit of {limits.max_bytes} bytes")
    return data


def check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Raise ``BadImageError`` when a picture of this size is not to be decoded."""
    if width < 1 or height < 1:
        raise BadImageError(f"a picture of {width} x {height} pixels has no content")
    if width * height > limits.max_pixels:
        raise BadImageError(
            f"{width} x {height} pixels are over the limit of {limits.max_pixels} (ASKPIX_MAX_IMAGE_PIXELS)"
        )
    if max(width, height) > limits.max_side:
        raise BadImageError(f"{width} x {height}: a side is over the limit of {limits.max_side} pixels")


def _decode(opened: Image.Image, *, limits: ImageLimits, min_side: int | None, page: int) -> Picture:
    width, height = opened.size
    check_size(width, height, limits)
    file_format = opened.format or "unknown"
    pages = getattr(opened, "n_frames", 1) if file_format == "TIFF" else 1
    if pages > limits.max_pages:
        raise BadImageError(f"{pages} pages are over the limit of {limits.max_pages}")
    if not 1 <= page <= pages:
        raise BadImageError(f"no page {page}: it has {pages}")
    if page > 1:
        opened.seek(page - 1)
        width, height = opened.size
        check_size(width, height, limits)
    exif = opened.getexif()
    orientation = exif.get(_ORIENTATION, 1)
    if min_side is not None and file_format in ("JPEG", "MPO"):  # MPO: JPEGs behind one another
        # draft() keeps both sides at or above what is asked: ask for the size whose shorter side is min_side.
        scale = min_side / min(width, height)
        if scale < 1:
            opened.draft(None, (max(1, int(width * scale)), max(1, int(height * scale))))
    opened.load()
    image = _to_rgb(opened)
    upright = image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
    if orientation in _SWAPS_SIDES:
        width, height = height, width
    return Picture(upright, width, height, file_format, pages, exif)


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB on white, whatever the mode."""
    if image.mode == "RGB":
        return image
    if image.mode in ("I", "F", "I;16", "I;16B", "I;16L", "I;16N"):
        return _from_deep_grey(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        white.alpha_composite(layer)
        flat = white.convert("RGB")
    else:
        flat = image.convert("RGB")
    return flat


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """16-bit and float grey: full 16-bit range where it is used, else stretched from least to most."""
    grey = np.asarray(image, dtype=np.float32)
    finite = np.isfinite(grey)
    if not finite.any():
        raise BadImageError("no finite pixel value in it")
    low, high = float(grey[finite].min()), float(grey[finite].max())
    if image.mode.startswith("I") and low >= 0 and 255 < high <= 65535:
        low, high = 0.0, 65535.0
    span = high - low
    scaled = (np.where(finite, grey, low) - low) * (255.0 / span) if span > 0 else np.zeros_like(grey)
    return Image.fromarray(scaled.astype(np.uint8), mode="L").convert("RGB")


def _why_unknown(data: bytes) -> str:
    """What the bytes look like, so that a person knows what to do."""
    head = data[:512].lstrip().lower()
    if b"<svg" in head or b"<!doctype svg" in head:
        return "SVG drawings are not supported; export it as PNG"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page, not a picture"
    if head.startswith(b"%pdf"):
        return "a PDF is a document, not a picture"
    return "not a picture in a format that is read here"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
