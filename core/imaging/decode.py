"""Untrusted bytes into an upright RGB image. Limits are checked from the header, before any decoding.

Only formats whose decoders are widely fuzzed and that begin with a signature are let in: no PostScript, no
vector formats, no scientific containers, no TGA (any bytes may pass for one), no ICO (Pillow decodes it while
it reads the header, before any limit). Colour profiles are ignored: embedders and OCR were trained on
images read the same way.

All threads together decode at most ``MAX_DECODING_PIXELS`` at a time (a larger image alone), and what they
are given where ``min_side`` allows it is at most an eighth as wide and high, as long as it is over
``LARGE_PIXELS``. So memory is 4 bytes for each pixel of that bound (with transparency or progressive 8 to
10), and small images.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pillow_heif
from PIL import ExifTags, Image

from askpix.core.errors import BadImageError
from askpix.core.files import read_whole
from askpix.core.imaging.color import to_rgb
from askpix.core.imaging.decoder_errors import DECODER_ERRORS, as_bad_image
from askpix.core.imaging.pixel_budget import LARGE_PIXELS, PixelBudget
from askpix.core.imaging.repair import repaired

# Our own limits below are checked before decoding and per call. Pillow's is one global that warns at one
# size and raises at twice that, with text nobody can act on.
Image.MAX_IMAGE_PIXELS = None
# What is odd about a file is in our error or does not matter: nothing below api/ writes to the console.
warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")
_log = logging.getLogger(__name__)
logging.getLogger("PIL").addHandler(logging.NullHandler())
pillow_heif.register_heif_opener(thumbnails=False)

PDF_DPI = 150
"""Resolution for sizes and boxes of PDF pages, and for drawing them unless another is chosen: enough for OCR
of 8-point print. An A4 page is 1240 x 1755 pixels.
"""
MAX_DECODING_PIXELS = 128_000_000
DECODING = PixelBudget(MAX_DECODING_PIXELS)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM")

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
_SUBFILE = 254
_TILE_WIDTH = 322
_TILE_LENGTH = 323  # TIFF 6.0
_REDUCED_OR_MASK = 1 | 4
_MAX_SCANS = 32
"""Most scans of a progressive JPEG of ``max_pixels``, more for smaller ones; encoders write 10 or fewer."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on what is decoded, and on what may be used to decode it."""

    max_bytes: int = 256 * 2**20
    max_pixels: int = 120_000_000
    """Most pixels of one image; a JPEG that can be halved as it is decoded may have four times as many.
    Decoding takes 4 bytes of memory a pixel; with transparency or progressive scans 8 to 10.
    """
    max_side: int = 100_000
    max_pages: int = 2_000
    """Most pages of one document."""
    office: str | None = None
    """The program that makes office documents into PDF, LibreOffice's; None: they are refused."""
    pdf_dpi: int = PDF_DPI
    """Resolution at which PDF pages are drawn for a closer look. Sizes and boxes always refer to ``PDF_DPI``,
    so that this may change at any time.
    """
    develop: bool = False
    """Camera raw files from the sensor, not from the preview that the camera wrote."""
    decode_seconds: float = 60.0
    """CPU time of one page, drawing or raw file in its decoder's process (``core.sandbox``); twice that for a
    scene of a video, ten times to find its scenes. A map of a hundred thousand lines takes two."""


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded image. ``image`` is upright RGB and may be smaller than the original (a PDF's page larger);
    ``width`` and ``height`` are always pixels of the upright original."""

    image: Image.Image
    width: int
    height: int
    format: str
    pages: int
    """Number of pages of the document it belongs to; an animation is one image, its first frame."""
    exif: Image.Exif


def open_image(
    source: bytes | Path, *, limits: ImageLimits = DEFAULT_LIMITS, min_side: int | None = None, page: int = 1
) -> DecodedImage:
    """Decode an image of any allowed format, by its content and not by its name.

    ``min_side`` lets the decoder shrink the image to 1/2, 1/4 or 1/8 as long as its shorter side keeps at
    least that many pixels (JPEG at a fraction of the cost; other formats where it is over ``LARGE_PIXELS``).
    ``page`` is 1-based. Transparency becomes white, 16-bit and float greys are scaled to their range,
    orientation is applied.

    Raises ``BadImageError``: unreadable, truncated, not allowed, over a limit, no such page.
    """
    data = source if isinstance(source, bytes) else read_bytes(source, limits=limits)
    try:
        return _open_page(data, limits, min_side, page)
    except BadImageError as error:
        return _open_page(_sound_part(data, error), limits, min_side, page)


def _open_page(data: bytes, limits: ImageLimits, min_side: int | None, page: int) -> DecodedImage:
    with as_bad_image(data), _opened(data, limits) as opened:
        frames = _frames(opened, limits)
        if not 1 <= page <= len(frames):
            raise BadImageError(f"no page {page}: it has {len(frames)}")
        return _decode(opened, data, frames, page, limits=limits, min_side=min_side)


def _sound_part(data: bytes, error: BadImageError) -> bytes:
    """The file without what is wrong with it, where its pixels are there; raises the error elsewhere."""
    # Without a cause it is a limit of ours.
    found = None if error.__cause__ is None or isinstance(error.__cause__, MemoryError) else repaired(data)
    if found is None:
        raise error
    _log.info("decoded all the same: %s (%s)", found[1], error)
    return found[0]


def open_images(
    data: bytes, *, limits: ImageLimits = DEFAULT_LIMITS, min_side: int | None = None
) -> Iterator[DecodedImage | BadImageError]:
    """Every page as ``open_image`` decodes it, with one look at the file; of a broken page its error.

    Raises ``BadImageError`` when the file as a whole cannot be opened.
    """
    try:
        with as_bad_image(data):
            opened = _opened(data, limits)
            frames = _frames(opened, limits)
    except BadImageError as error:
        yield _open_page(_sound_part(data, error), limits, min_side, 1)
        return
    with opened:
        for page in range(1, len(frames) + 1):
            try:
                with as_bad_image(data):
                    found: DecodedImage | BadImageError = _decode_next(
                        opened, data, frames, page, limits=limits, min_side=min_side
                    )
            except BadImageError as error:
                try:
                    found = _open_page(_sound_part(data, error), limits, min_side, page)
                except BadImageError as final:
                    found = final
            yield found


def upright(image: Image.Image, orientation: object) -> Image.Image:
    """Turn an image upright by its EXIF orientation (TIFF 6.0, tag 274); invalid values change nothing."""
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def read_bytes(path: Path, *, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """The file's bytes; never more than the limit is read. Raises ``BadImageError``."""
    try:
        with path.open("rb", buffering=0) as file:
            data = read_whole(file, limits.max_bytes)
    except OSError as error:
        raise BadImageError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    if len(data) > limits.max_bytes:
        raise BadImageError(f"{path.name!r} is over the limit of {limits.max_bytes} bytes")
    return data


def check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Raise ``BadImageError`` when an image of this size is not to be decoded."""
    if width < 1 or height < 1:
        raise BadImageError(f"an image of {width} x {height} pixels has no content")
    if width * height > limits.max_pixels:
        raise BadImageError(
            f"{width} x {height} pixels are over the limit of {limits.max_pixels} (ASKPIX_MAX_IMAGE_PIXELS)"
        )
    if max(width, height) > limits.max_side:
        raise BadImageError(f"{width} x {height}: a side is over the limit of {limits.max_side} pixels")


def _opened(data: bytes, limits: ImageLimits) -> Image.Image:
    """The header only."""
    if len(data) > limits.max_bytes:
        raise BadImageError(f"file of {len(data)} bytes is over the limit of {limits.max_bytes}")
    if not data:
        raise BadImageError("the file is empty")
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _frames(opened: Image.Image, limits: ImageLimits) -> list[int]:
    """Return the indices of the frames that are pages. Thumbnails, masks and smaller copies in a TIFF are no
    pages.
    """
    if opened.format != "TIFF":
        return [0]
    frames: list[int] = []
    frame = 0
    while True:
        try:
            opened.seek(frame)
            kind = opened.tag_v2.get(_SUBFILE, 0)  # type: ignore[attr-defined]
        except EOFError:
            return frames or [0]
        except DECODER_ERRORS:
            kind = 0  # a page all the same: its error is told when its turn comes
        if frame >= limits.max_pages:
            # Pillow's own count would go on for as long as the file pretends, in quadratic time.
            raise BadImageError(f"more than {limits.max_pages} pages, which is the limit: split the file")
        if not (isinstance(kind, int) and kind & _REDUCED_OR_MASK):
            frames.append(frame)
        frame += 1


def _decode_next(
    opened: Image.Image,
    data: bytes,
    frames: list[int],
    page: int,
    *,
    limits: ImageLimits,
    min_side: int | None,
) -> DecodedImage:
    """Decode the next page like ``_decode``, without keeping the pixels of a large page in ``opened``."""
    opened.seek(frames[page - 1])
    if opened.width * opened.height <= LARGE_PIXELS:
        return _decode(opened, data, frames, page, limits=limits, min_side=min_side)
    with _opened(data, limits) as again:
        return _decode(again, data, frames, page, limits=limits, min_side=min_side)


def _decode(
    opened: Image.Image,
    data: bytes,
    frames: list[int],
    page: int,
    *,
    limits: ImageLimits,
    min_side: int | None,
) -> DecodedImage:
    if opened.format == "TIFF":
        opened.seek(frames[page - 1])
    width, height = opened.size
    file_format = opened.format or "unknown"
    is_jpeg = file_format in ("JPEG", "MPO")  # MPO: JPEGs behind one another
    short = min(width, height)
    side = min_side or short
    if is_jpeg and width * height > limits.max_pixels and _has_one_scan(opened, data):
        # Shrunk as it is decoded: a phone's 200 megapixels take the memory of 50.
        side = min(side, short // 2)
        check_size(-(-width // 2), -(-height // 2), limits)
        check_size(width, 1, limits)
        check_size(1, height, limits)
    else:
        check_size(width, height, limits)
    if is_jpeg:
        _check_scans(opened, data, limits)
        if side < short:
            # draft() keeps both sides at or above what is asked.
            opened.draft(None, (side * width // short, side * height // short))
    elif file_format == "TIFF":
        _check_tile(opened, limits)
    pixels = width * height if opened.info.get("progressive") else opened.width * opened.height
    with DECODING.held(pixels):
        opened.load()
        # Only now: Pillow turns a TIFF upright in load(), and takes the orientation out of its EXIF.
        exif, orientation = _exif(opened)
        image = to_rgb(opened)
        image = upright(image, orientation)
        if not is_jpeg:
            width, height = image.size
        elif orientation in _SWAPS_SIDES:
            width, height = height, width
        if file_format == "TIFF":
            exif = _own(exif)
            if image is opened and len(frames) > 1:
                image = image.copy()  # the next page is decoded into the same pixels
        reduced = _reduced(image, min_side)
        if reduced is not image:
            image = reduced
            opened.close()  # its pixels go now, not when the caller lets go of it
    return DecodedImage(image, width, height, file_format, len(frames), exif)


def _reduced(image: Image.Image, min_side: int | None) -> Image.Image:
    """A large image as ``draft`` makes a JPEG: each side at a half, a quarter or an eighth."""
    if min_side is None or image.width * image.height <= LARGE_PIXELS:
        return image
    factor = next((factor for factor in (8, 4, 2) if min(image.size) >= factor * min_side), 1)
    return image if factor == 1 else image.reduce(factor)


def _exif(opened: Image.Image) -> tuple[Image.Exif, int]:
    """Return the EXIF block and the orientation. Broken EXIF counts as none: the image itself may be fine."""
    try:
        exif = opened.getexif()
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except DECODER_ERRORS:
        return Image.Exif(), 1
    return exif, orientation if isinstance(orientation, int) else 1


def _own(exif: Image.Exif) -> Image.Exif:
    """A copy that does not change with the next page and does not hold the file."""
    own = Image.Exif()
    try:
        parts = {ifd: exif.get_ifd(ifd) for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)}
        own.update({tag: value for tag, value in exif.items() if tag not in parts})
        for ifd, values in parts.items():
            own.get_ifd(ifd).update(values)
    except DECODER_ERRORS:
        return Image.Exif()
    return own


def _has_one_scan(opened: Image.Image, data: bytes) -> bool:
    """Return whether a JPEG is decoded row by row; else all coefficients are in memory, however small it is
    drawn.
    """
    if opened.info.get("progressive"):
        return False
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return data[at + 4 : at + 5] == bytes([len(opened.getbands())])


def _check_scans(opened: Image.Image, data: bytes, limits: ImageLimits) -> None:
    """A scan of 200 bytes passes over all pixels: 400 KB of scans would take minutes."""
    if opened.info.get("progressive"):
        scans = data.count(b"\xff\xda")  # never inside the compressed pixels: there a zero follows 0xff
        if scans * opened.width * opened.height > _MAX_SCANS * limits.max_pixels:
            raise BadImageError(f"a JPEG of {scans} scans is not decoded: save it anew, not progressive")


def _check_tile(opened: Image.Image, limits: ImageLimits) -> None:
    """A tile is decoded whole, however small the image it is a part of."""
    tags = opened.tag_v2  # type: ignore[attr-defined]
    sides = tags.get(_TILE_WIDTH, 1), tags.get(_TILE_LENGTH, 1)
    if all(isinstance(side, int) and side > 0 for side in sides):
        check_size(*sides, limits)
