"""JPEG XL by libjxl. Its plugin decodes while it opens, before any limit.

Only ``ingest.rare`` calls this, in a process apart, which has little memory.
"""

import io

import pillow_jxl  # noqa: F401 - registers the format
from PIL import ExifTags, Image

from core.damage import DECODER_ERRORS, one_line
from core.errors import BadImageError
from core.images import ImageLimits, Picture, check_size, upright
from core.rgb import to_rgb


def open_jpeg_xl(data: bytes, *, limits: ImageLimits, min_side: int | None) -> Picture:
    """See ``ingest.rare.open_rare``. Of an animation the first frame; ``min_side`` does not matter."""
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
