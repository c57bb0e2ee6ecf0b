"""Images that Pillow decodes in this process (``askpix.core.imaging.decode``): photos and TIFFs."""

from collections.abc import Iterator
from itertools import chain

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import DecodedImage, open_image, open_images
from askpix.core.imaging.decoder_errors import signature
from askpix.ingest.formats.base import UNKNOWN, Document, Format, Page

_EXTENSIONS = """jpg jpeg jpe jfif mpo png apng webp gif bmp dib avif avifs heic heif hif jp2 j2k jpx ppm pgm
    pbm pnm"""
_MEDIA_TYPES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG": "image/png",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"\0\0\0\x0cjP": "image/jp2",
}


class ImageFile(Document):
    """An image file in memory."""

    def picture(self, place: int | None, min_side: int | None) -> DecodedImage:
        """See ``Document``."""
        return open_image(self.data, limits=self.limits, min_side=min_side, page=place or 1)

    def pages(self, min_side: int | None) -> Iterator[Page]:
        """See ``Document``. All with one look at the file."""
        found = open_images(self.data, limits=self.limits, min_side=min_side)
        first = next(found)
        if isinstance(first, BadImageError):
            second = next(found, None)
            if second is None:
                raise first
            yield from _numbered(chain((first, second), found))
        elif first.pages > 1:
            yield Page(1, "page", first)
            del first  # each page may be large
            yield from _numbered(found, start=2)
        else:
            yield Page(None, "photo", first)


def _numbered(found: Iterator[DecodedImage | BadImageError], start: int = 1) -> Iterator[Page]:
    return (Page.of(number, "page", each) for number, each in enumerate(found, start))


def may_move(data: bytes) -> bool:
    """Return whether a file may be an animation, by its first bytes."""
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return data.count(b"\x21\xf9\x04") > 1  # graphic control extensions: one a frame
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X":
        return bool(data[20:21] and data[20] & 2)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return b"acTL" in data[: max(0, data.find(b"IDAT"))]
    return data[4:12] == b"ftypavis"


def media_type(head: bytes) -> str:
    """Return the media type of an image."""
    if head[4:8] == b"ftyp":
        return "image/avif" if head[8:12] in (b"avif", b"avis") else "image/heic"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((name for start, name in _MEDIA_TYPES.items() if head.startswith(start)), UNKNOWN)


IMAGE = Format(
    name="image",
    extensions=frozenset(_EXTENSIONS.split()),
    # Camera raw files may begin as TIFFs do.
    sniff=lambda data: signature(data) not in (None, "TIFF") and not may_move(data),
    sniff_unnamed=lambda head: signature(head) is not None,
    open=ImageFile,
    media_type=media_type,
)
TIFF = Format(
    name="TIFF",
    extensions=frozenset(("tif", "tiff")),
    sniff=lambda data: signature(data) == "TIFF",
    open=ImageFile,
    media_type=media_type,
)
