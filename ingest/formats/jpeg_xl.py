"""JPEG XL by libjxl. Its plugin decodes while it opens, before any limit.

Only ``askpix.ingest.formats.sandboxed`` calls this, in a process apart, which has little memory.
"""

import io

import pillow_jxl  # noqa: F401 - registers the format
from PIL import ExifTags, Image

from askpix.core.errors import BadImageError
from askpix.core.imaging.color import to_rgb
from askpix.core.imaging.decode import ImageLimits, Picture, check_size, upright
from askpix.core.imaging.decoder_errors import DECODER_ERRORS, one_line


def open_jpeg_xl(data: bytes, *, limits: ImageLimits, min_side: int | None) -> Picture:
    """See ``ingest.formats.sandboxed.open_rare``. Of an animation the first frame; ``min_side`` does not
    matter."""
    del min_side
    try:
        with Image.open(io.BytesIO(data), formats=("JXL",)) as opened:
            check_size(*opened.size, limits)
            opened.load()
            exif = opened.getexif()
            image = to_rgb(opened)
            if getattr(opened, "jpeg", False):
                # libjxl turns what it decodes; a JPEG that was packed comes out as it went in.
                image = upright(image, exif.get(ExifTags.Base.Orientation, 1))
    except BadImageError:
        raise
    except DECODER_ERRORS as error:
        raise BadImageError(f"damaged JPEG XL: {one_line(error)}") from error
    return Picture(image, *image.size, "JPEG XL", 1, exif)
