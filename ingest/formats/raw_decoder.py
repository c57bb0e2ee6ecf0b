"""Camera raw files by LibRaw: the preview that the camera wrote, or the image developed from its sensor.

The preview has the camera's own colours and costs a hundredth; nearly all cameras write one of full size,
some older ones one of 1,620 pixels or less: those are developed, and all are with ``ImageLimits.develop``.
Only child processes load this (``askpix.ingest.formats.sandboxed``).
"""

import io
import logging

import numpy as np
import rawpy
from PIL import ExifTags, Image

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import DecodedImage, ImageLimits, check_size, open_image
from askpix.core.imaging.decoder_errors import DECODER_ERRORS, one_line
from askpix.ingest.formats.base import Document

_ENOUGH = 1000
"""Pixels of the shorter side that a preview needs where nobody says how many: words can be read then."""
_TURNS = {3: Image.Transpose.ROTATE_180, 5: Image.Transpose.ROTATE_90, 6: Image.Transpose.ROTATE_270}
"""LibRaw's ``flip``; it is clockwise 90 degrees for 6."""
_FIRST = 1990
"""Digital cameras begin; a file without a date says 1970."""
_ERRORS = (rawpy.LibRawError, *DECODER_ERRORS)

_log = logging.getLogger(__name__)


class RawDecoder(Document):
    """A camera raw file. Its preview counts where it is large enough."""

    def picture(self, place: int | None, min_side: int | None) -> DecodedImage:
        """See ``Document``."""
        try:
            return _open(self.data, self.limits, min_side)
        except _ERRORS as error:
            raise BadImageError(f"damaged raw file: {one_line(error)}") from error


def _open(data: bytes, limits: ImageLimits, min_side: int | None) -> DecodedImage:
    with rawpy.imread(io.BytesIO(data)) as raw:
        flip = int(raw.sizes.flip)
        width = int(raw.sizes.width)
        height = int(raw.sizes.height)
        if flip in (5, 6):
            width, height = height, width
        check_size(width, height, limits)
        short = min(width, height)
        preview = _preview(raw, flip, width >= height, limits, min_side)
        shown = None if limits.develop else preview
        if shown and min(shown.image.size) >= min(min_side or _ENOUGH, short):
            image = shown.image
        else:
            half = min_side is not None and 2 * min_side <= short
            image = Image.fromarray(raw.postprocess(use_camera_wb=True, half_size=half, output_bps=8))
        exif = _exif(data, preview)
        taken = raw.other.timestamp
        if ExifTags.Base.DateTimeOriginal not in exif.get_ifd(ExifTags.IFD.Exif) and taken.year >= _FIRST:
            # LibRaw reads the camera's time as if it were this machine's.
            here = taken.astimezone().strftime("%Y:%m:%d %H:%M:%S")
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = here
    return DecodedImage(image, width, height, "RAW", 1, exif)


def _preview(
    raw: rawpy.RawPy, flip: int, wide: bool, limits: ImageLimits, min_side: int | None
) -> DecodedImage | None:
    """Upright; None where there is none that can be read."""
    try:
        found = raw.extract_thumb()
        if found.format == rawpy.ThumbFormat.JPEG:
            picture = open_image(bytes(found.data), limits=limits, min_side=min_side)
            turned = picture.exif.get(ExifTags.Base.Orientation, 1) not in (0, 1)
        else:
            image = Image.fromarray(np.asarray(found.data))
            picture = DecodedImage(image, *image.size, "RAW", 1, Image.Exif())
            turned = False
    except (BadImageError, *_ERRORS) as error:
        _log.info("a raw file without a preview: %s", error)
        return None
    image = picture.image
    # Some cameras write it upright, some as the sensor lay; a tag of its own was applied, where it has one.
    if not turned and flip in _TURNS and (flip == 3 or (image.width >= image.height) != wide):
        image = image.transpose(_TURNS[flip])
    return DecodedImage(image, *image.size, "RAW", 1, picture.exif)


def _exif(data: bytes, preview: DecodedImage | None) -> Image.Exif:
    """Return the EXIF block of the preview where that has a date, else of the file, where that is a TIFF."""
    candidates = [preview.exif] if preview else []
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as opened:
            candidates.append(opened.getexif())
    except DECODER_ERRORS:
        pass
    for exif in candidates:
        if exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal):
            return _few(exif)
    return _few(candidates[-1]) if candidates else Image.Exif()


def _few(exif: Image.Exif) -> Image.Exif:
    """The tags that are read later, without previews and makers' notes of megabytes."""
    few = Image.Exif()
    for tag in (ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.DateTime):
        if tag in exif:
            few[tag] = exif[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        kept = {
            tag: value
            for tag, value in exif.get_ifd(ifd).items()
            if not isinstance(value, bytes) or len(value) <= 64
        }
        few.get_ifd(ifd).update(kept)
    return few
