"""Words that people or their programs wrote into an image's file. Hostile values are none.

EXIF ImageDescription, XPTitle, XPComment, XPSubject and XPKeywords; XMP dc:title, dc:description and
dc:subject; IPTC headline, caption and keywords.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from xml.etree import ElementTree

from PIL import ExifTags, Image, ImageFile, IptcImagePlugin

from askpix.core.imaging.decoder_errors import DECODER_ERRORS

_log = logging.getLogger(__name__)
_MAX_XMP = 2**20
_XP = (
    ExifTags.Base.XPTitle,
    ExifTags.Base.XPComment,
    ExifTags.Base.XPSubject,
    ExifTags.Base.XPKeywords,
)
_DC = "{http://purl.org/dc/elements/1.1/}"
_IPTC_CAPTIONS = ((2, 105), (2, 120))
_IPTC_KEYWORDS = (2, 25)
"""Headline and caption; keywords (IPTC-IIM 4.2, record 2)."""


def read_descriptions(image: Image.Image) -> list[str]:
    """Titles, descriptions and keywords (joined on one line) of an opened image, not yet decoded."""
    found: list[str] = []
    for part in (_exif, _xmp, _iptc):
        found += _safely(partial(_listed, part, image)) or []
    return [text for text in found if text.strip()]


def _safely(read: Callable[[], Any]) -> Any:
    """Read one field; None when it is broken. Each may be broken on its own, and Pillow decodes it on
    access.
    """
    try:
        return read()
    except DECODER_ERRORS as error:
        _log.debug("a description that cannot be read: %s", error)
        return None


def _listed(part: Callable[[Image.Image], Iterator[str]], image: Image.Image) -> list[str]:
    return list(part(image))


def _exif(image: Image.Image) -> Iterator[str]:
    exif = image.getexif()
    yield _text(_safely(lambda: exif.get(ExifTags.Base.ImageDescription)))
    for tag in _XP:
        value = _safely(partial(exif.get, tag))
        if isinstance(value, tuple):
            value = bytes(item & 0xFF for item in value if isinstance(item, int))
        if isinstance(value, bytes):
            yield value[:_MAX_XMP].decode("utf-16-le", "replace").rstrip("\0").replace(";", ", ")


def _xmp(image: Image.Image) -> Iterator[str]:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(packet, str):
        packet = packet.encode()
    # A packet has no need of a document type, and entities are what XML bombs are made of.
    if not isinstance(packet, bytes) or len(packet) > _MAX_XMP or b"<!" in packet.replace(b"<!--", b""):
        return
    root = ElementTree.fromstring(packet.strip(b"\0 \r\n\t"))  # noqa: S314 - no entities, see above
    for name in ("title", "description"):
        for node in root.iter(_DC + name):
            yield from (text for item in node.iter() if (text := (item.text or "").strip()))
    for node in root.iter(_DC + "subject"):
        yield ", ".join(text for item in node.iter() if (text := (item.text or "").strip()))


def _iptc(image: Image.Image) -> Iterator[str]:
    fields = IptcImagePlugin.getiptcinfo(image) if isinstance(image, ImageFile.ImageFile) else None
    if not fields:
        return
    for key in _IPTC_CAPTIONS:
        yield _text(fields.get(key))
    keywords = fields.get(_IPTC_KEYWORDS)
    yield ", ".join(map(_text, keywords)) if isinstance(keywords, list) else _text(keywords)


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, bytes):
        value = value[:_MAX_XMP].decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    text = value.partition("\0")[0]
    try:
        # EXIF text is ASCII by its standard, so Pillow reads it as Latin-1; programs write UTF-8.
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
