"""JPEG XL by libjxl. Its plugin decodes while it opens, before any limit.

Only child processes load this (``askpix.ingest.formats.sandboxed``), which have little memory.
"""

import io

import pillow_jxl  # noqa: F401 - registers the format
from PIL import ExifTags, Image

from askpix.core.imaging.color import to_rgb
from askpix.core.imaging.decode import DecodedImage, check_size, upright
from askpix.ingest.formats.base import Document


class JpegXlDecoder(Document):
    """A JPEG XL image; of an animation the first frame."""

    def picture(self, place: int | None, min_side: int | None) -> DecodedImage:
        """See ``Document``; ``min_side`` does not matter."""
        del place, min_side
        with Image.open(io.BytesIO(self.data), formats=("JXL",)) as opened:
            check_size(*opened.size, self.limits)
            opened.load()
            exif = opened.getexif()
            image = to_rgb(opened)
            if getattr(opened, "jpeg", False):
                # libjxl turns what it decodes; a JPEG that was packed comes out as it went in.
                image = upright(image, exif.get(ExifTags.Base.Orientation, 1))
        return DecodedImage(image, *image.size, "JPEG XL", 1, exif)
