"""Words in an image's file besides XMP and IPTC, and where those stand in it. Hostile values are none.

EXIF ImageDescription, UserComment, the fields of Windows (XPTitle, XPComment, XPSubject, XPKeywords,
XPAuthor, Rating), text chunks of a PNG, and the comment of a GIF or JPEG.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from PIL import ExifTags, Image, ImageFile, IptcImagePlugin

from askpix.core.imaging.decoder_errors import DECODER_ERRORS
from askpix.ingest.metadata.model import About, clean_keywords, clean_text, is_written_by_program, stars

_MAX_BYTES = 2**16
_RATING = 0x4746
_RATING_PERCENT = 0x4749
"""Stars as Windows writes them: 0 to 5, and 1, 25, 50, 75 or 99 (Microsoft's WIC photo metadata)."""
_CODES = {b"ASCII": "utf-8", b"JIS": "iso2022_jp", b"UNICODE": ""}
"""Character codes of a UserComment (Exif 2.32, 4.6.5)."""
_EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENDED_HEAD = 32 + 4 + 4
"""Digest of the whole, its length, and where a segment's part begins (XMP specification part 3, 1.1.3.1)."""
_MAX_EXTENDED = 4 * 2**20
_IPTC_RECORD = re.compile(rb"\x1c([\x01-\x09])(.)(..)", re.DOTALL)
_RAW_PROFILE = "Raw profile type "


def read_exif_words(image: Image.Image) -> About:
    """Title, descriptions, keywords and stars in an image's EXIF; each may be broken on its own."""
    exif = image.getexif()
    details = _safely(lambda: exif.get_ifd(ExifTags.IFD.Exif)) or {}

    def windows(tag: int) -> str | None:
        value = _safely(partial(exif.get, tag))
        if isinstance(value, tuple):
            value = bytes(item & 0xFF for item in value if isinstance(item, int))
        return (
            value[:_MAX_BYTES].decode("utf-16-le", "replace").rstrip("\0")
            if isinstance(value, bytes)
            else None
        )

    comment = _comment(details.get(ExifTags.Base.UserComment), exif.endian)
    written = _by_people(_safely(lambda: exif.get(ExifTags.Base.ImageDescription)))
    described = dict.fromkeys((written, *map(_by_people, (windows(ExifTags.Base.XPComment), comment))))
    texts = [text for text in described if text]
    keywords = windows(ExifTags.Base.XPKeywords) or ""
    subject = _by_people(windows(ExifTags.Base.XPSubject))
    return About(
        title=_by_people(windows(ExifTags.Base.XPTitle)),
        description=texts[0] if texts else None,
        notes=tuple(text for text in (*texts[1:], subject) if text),
        creator=clean_text(windows(ExifTags.Base.XPAuthor))
        or _text(_safely(lambda: exif.get(ExifTags.Base.Artist))),
        keywords=clean_keywords(keywords.split(";")),
        rating=stars(_safely(lambda: exif.get(_RATING)), _safely(lambda: exif.get(_RATING_PERCENT))),
    )


def read_comments(image: Image.Image) -> About:
    """Text chunks of a PNG under the names that its standard gives (11.3.4.2), or the file's comment."""
    chunks = {str(key).casefold(): value for key, value in image.info.items()}
    named = {key: _by_people(chunks.get(key)) for key in ("title", "description", "comment")}
    keywords = _text(chunks.get("keywords")) or ""
    about = About(title=named["title"], description=named["description"] or named["comment"])
    extra = named["comment"] if named["description"] else None
    return About(
        title=about.title,
        description=about.description,
        notes=(extra,) if extra else (),
        creator=_text(chunks.get("author")),
        keywords=clean_keywords(re.split("[,;]", keywords)),
    )


def extended_xmp(image: Image.Image) -> bytes | None:
    """The part of a JPEG's XMP that found no room in its first segment."""
    parts: dict[int, bytes] = {}
    for marker, data in getattr(image, "applist", ()):
        if marker == "APP1" and data.startswith(_EXTENDED) and sum(map(len, parts.values())) < _MAX_EXTENDED:
            body = data[len(_EXTENDED) :]
            parts[int.from_bytes(body[36:_EXTENDED_HEAD], "big")] = body[_EXTENDED_HEAD:]
    return b"".join(data for _, data in sorted(parts.items())) or None


def xmp_packet(image: Image.Image) -> bytes | None:
    """The XMP of an opened image."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or _raw_profile(image, "xmp")
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    return packet if isinstance(packet, bytes) else None


def iptc_fields(image: Image.Image) -> dict[Any, Any] | None:
    """The fields of IPTC-IIM by record and number, as Pillow has them."""
    raw = image.info.get("iptc") or _raw_profile(image, "iptc")
    if isinstance(raw, bytes):
        return parse_iptc(raw)
    return IptcImagePlugin.getiptcinfo(image) if isinstance(image, ImageFile.ImageFile) else None


def parse_iptc(data: bytes) -> dict[Any, Any]:
    """Records of IPTC-IIM (4.2, chapter 1), alone or within Photoshop's resource 0x0404."""
    at = max(0, data.find(b"8BIM\x04\x04"))
    found: dict[Any, Any] = {}
    while match := _IPTC_RECORD.search(data[:_MAX_EXTENDED], at):
        at = match.end() + int.from_bytes(match[3], "big")
        found.setdefault((match[1][0], match[2][0]), []).append(data[match.end() : at])
    return found


def _safely(read: Callable[[], Any]) -> Any:
    """Read one field; None when it is broken. Pillow decodes it on access."""
    try:
        return read()
    except DECODER_ERRORS:
        return None


def _comment(value: Any, endian: str | None) -> str | None:
    """A UserComment, whose first eight bytes name its code."""
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        return None
    name = value[:8].rstrip(b"\0 ").upper()
    body = value[8 : 8 + _MAX_BYTES] if name in _CODES or not name else value[:_MAX_BYTES]
    code = _CODES.get(name, "utf-8")
    if not code:  # UTF-16: of the file by its standard, but not by all programs
        high, low = body[::2].count(0), body[1::2].count(0)
        big = high > low if high != low else endian == ">"
        code = "utf-16-be" if big else "utf-16-le"
        body = body.removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
        body = body[: len(body) // 2 * 2]
    text = body.decode(code, "replace").strip("\0 ")
    return None if "\ufffd" in text or "\0" in text else text  # a maker's own bytes


def _by_people(value: Any) -> str | None:
    text = _text(value)
    return None if text is None or is_written_by_program(text) else text


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value[:_MAX_BYTES].decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    text = str(value)[:_MAX_BYTES].partition("\0")[0]
    try:
        # EXIF text is ASCII by its standard, so Pillow reads it as Latin-1; programs write UTF-8.
        return clean_text(text.encode("latin-1").decode("utf-8"))
    except UnicodeError:
        return clean_text(text)


def _raw_profile(image: Image.Image, name: str) -> bytes | None:
    """A profile in hexadecimal, as ImageMagick and ExifTool write it into a PNG's text."""
    text = image.info.get(_RAW_PROFILE + name)
    if not isinstance(text, str | bytes):
        return None
    lines = (text.decode("latin-1") if isinstance(text, bytes) else text)[: 2 * _MAX_EXTENDED].split("\n")
    try:
        return bytes.fromhex("".join(lines[3:]))
    except ValueError:
        return None
