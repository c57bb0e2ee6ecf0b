"""Metadata of containers from which Pillow reads none: films, JPEG XL, JPEG 2000, CR3, GIF and PDF.

Boxes follow ISO/IEC 14496-12; the text in them Apple's QuickTime File Format (user data, metadata items, and
the list that iTunes writes), 3GPP TS 26.244 and Microsoft's ``Xtra``. What is between them is skipped.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, NamedTuple

import brotli
from PIL import Image

from askpix.ingest.metadata.model import About, clean_keywords, clean_text, stars
from askpix.ingest.metadata.pdf_properties import read_pdf
from askpix.ingest.metadata.xmp import MAX_XMP

_MAX_BOXES = 20_000
_MAX_DEPTH = 8
_MAX_VALUE = 2**16
_MAX_GIF = 64 * 2**20
_INSIDE = (b"moov", b"udta", b"meta", b"ilst", b"----")
_XMP_ID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF_ID = b"JpgTiffExif->JP2"
_IPTC_ID = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_NAMES = {
    **dict.fromkeys(("©nam", "titl", "title", "displayname"), "title"),
    **dict.fromkeys(("desc", "ldes", "©des", "dscp", "description", "©inf", "information"), "description"),
    **dict.fromkeys(("©cmt", "comment"), "comment"),
    **dict.fromkeys(("keyw", "©key", "kywd", "keywords", "wm/category"), "keywords"),
    **dict.fromkeys(("©aut", "auth", "author", "©dir", "director"), "creator"),
    **dict.fromkeys(("rating.user", "wm/shareduserrating"), "rating"),
    "wm/subtitle": "comment",
}
_KEY_PREFIX = "com.apple.quicktime."
_ISO_STARTS = (b"ftyp", b"JXL ", b"jP  ", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"uuid")
_STILLS = (b"jxl ", b"jp2 ", b"jpx ", b"jph ", b"crx ", b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix")
_GIF_XMP = b"\x21\xff\x0bXMP DataXMP"
_GIF_XMP_END = b"\x01\xff\xfe\xfd"


class Container(NamedTuple):
    """Content of a container. ``carrier`` is an empty image with its EXIF, XMP and IPTC."""

    carrier: Image.Image
    said: About
    dated: bool
    """False where dates do not tell when an image was taken: of a document, and of a film as a whole."""


def is_container(head: bytes) -> bool:
    """Return whether a file that begins so is looked through for boxes, or for the objects of a PDF."""
    return head[4:8] in _ISO_STARTS or b"%PDF-" in head[:1024]


def read_container(file: IO[bytes]) -> Container | None:
    """Read the metadata of a file; None where it is no such container. Damage ends it, never an error."""
    file.seek(0)
    head = file.read(1024)
    if head.startswith(b"GIF8"):
        return _gif(head + file.read(_MAX_GIF))
    if b"%PDF-" in head:
        packet, said = read_pdf(file)
        return Container(_carrier(xmp=packet), said, dated=False)
    if head[4:8] in _ISO_STARTS:
        boxes = _Boxes(file)
        return boxes.read(dated=head[4:8] in (b"JXL ", b"jP  ") or head[8:12] in _STILLS)
    return None


def _carrier(
    *, exif: bytes | None = None, xmp: bytes | None = None, iptc: bytes | None = None
) -> Image.Image:
    image = Image.new("L", (1, 1))
    image.info = {name: data for name, data in (("exif", exif), ("xmp", xmp), ("iptc", iptc)) if data}
    return image


def _gif(data: bytes) -> Container | None:
    at = data.find(_GIF_XMP)
    if at < 0:
        return None
    at += len(_GIF_XMP)
    end = data.find(_GIF_XMP_END, at, at + MAX_XMP)
    return Container(_carrier(xmp=data[at:end]), About(), dated=True) if end > 0 else None


class _Boxes:
    """The boxes of one file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _MAX_BOXES
        self._raw: dict[str, bytes] = {}
        self._said: dict[str, list[str]] = {}
        self._keys: list[str] = []

    def read(self, *, dated: bool) -> Container:
        """Walk all boxes."""
        end = self._file.seek(0, 2)
        with suppress(struct.error, ValueError, OverflowError):  # what came before the damage holds
            self._walk(0, end, b"", 0)
        said = self._said
        comments = [*said.get("description", ()), *said.get("comment", ())]
        keywords = [word for text in said.get("keywords", ()) for word in text.replace(";", ",").split(",")]
        return Container(
            _carrier(**self._raw),
            About(
                title=next(iter(said.get("title", ())), None),
                description=comments[0] if comments else None,
                notes=tuple(dict.fromkeys((*said.get("title", ())[1:], *comments[1:]))),
                creator=next(iter(said.get("creator", ())), None),
                keywords=clean_keywords(keywords),
                rating=_rating(said.get("rating", ())),
            ),
            dated,
        )

    def _walk(self, at: int, end: int, parent: bytes, depth: int) -> None:
        for kind, start, stop in self._children(at, end):
            if kind in _INSIDE and depth < _MAX_DEPTH:
                self._walk(self._first_child(kind, start, stop), stop, kind, depth + 1)
            elif parent == b"ilst":
                self._item(kind, start, stop)
            else:
                self._leaf(kind, start, stop, parent)

    def _children(self, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        while at + 8 <= end and self._left > 0:
            self._left -= 1
            self._file.seek(at)
            size, kind = struct.unpack(">I4s", self._file.read(8))
            start = at + 8
            if size == 1:
                (size,) = struct.unpack(">Q", self._file.read(8))
                start += 8
            stop = end if size == 0 else at + size
            if stop < start or stop > end:
                # A last box that was cut off may still have its beginning.
                if stop < start:
                    return
                stop = end
            yield kind, start, stop
            at = stop

    def _first_child(self, kind: bytes, start: int, stop: int) -> int:
        """``meta`` begins with a version, save in QuickTime files."""
        if kind != b"meta":
            return start
        head = self._bytes(start, stop, 8)
        return start if head[4:8] in (b"hdlr", b"keys", b"ilst") else start + 4

    def _bytes(self, start: int, stop: int, limit: int) -> bytes:
        self._file.seek(start)
        return self._file.read(min(stop - start, limit))

    def _leaf(self, kind: bytes, start: int, stop: int, parent: bytes) -> None:
        if stop - start > MAX_XMP:
            return
        if kind == b"uuid":
            which = self._bytes(start, stop, 16)
            if name := {_XMP_ID: "xmp", _EXIF_ID: "exif", _IPTC_ID: "iptc"}.get(which):
                self._raw.setdefault(name, self._bytes(start + 16, stop, MAX_XMP))
        elif kind == b"brob":
            self._unpacked(self._bytes(start, stop, MAX_XMP))
        elif kind in (b"xml ", b"XMP_", b"Exif"):
            self._packet(kind, self._bytes(start, stop, MAX_XMP))
        elif kind == b"keys":
            self._keys = list(_keys(self._bytes(start, stop, _MAX_VALUE)))
        elif parent == b"udta":
            self._user_data(kind, self._bytes(start, stop, _MAX_VALUE))

    def _unpacked(self, data: bytes) -> None:
        """A box that is packed with Brotli (ISO/IEC 18181-2), never to more than the limit."""
        try:
            plain = brotli.Decompressor().process(data[4:], output_buffer_limit=MAX_XMP)
        except brotli.error:
            return
        self._packet(data[:4], plain)

    def _packet(self, kind: bytes, data: bytes) -> None:
        if kind in (b"xml ", b"XMP_"):
            self._raw.setdefault("xmp", data)
        elif kind == b"Exif" and len(data) > 4:
            offset = 4 + int.from_bytes(data[:4], "big")
            self._raw.setdefault("exif", b"Exif\0\0" + data[offset:].removeprefix(b"Exif\0\0"))

    def _say(self, name: str, text: str | None) -> None:
        what = _NAMES.get(name.casefold().removeprefix(_KEY_PREFIX))
        if what and (cleaned := clean_text(text)) and len(self._said.setdefault(what, [])) < 64:
            self._said[what].append(cleaned)

    def _item(self, kind: bytes, start: int, stop: int) -> None:
        """An entry of ``ilst``: named by its kind, or by its number in ``keys``."""
        number = int.from_bytes(kind, "big")
        name = self._keys[number - 1] if 0 < number <= len(self._keys) else kind.decode("latin-1")
        for child, begin, end in self._children(start, stop):
            if child == b"data":
                value = self._bytes(begin, end, _MAX_VALUE)
                self._say(name, _typed(int.from_bytes(value[:4], "big") & 0xFFFFFF, value[8:]))

    def _user_data(self, kind: bytes, data: bytes) -> None:
        name = kind.decode("latin-1")
        if name == "Xtra":
            for field, text in _xtra(data):
                self._say(field, text)
        elif name.startswith("©") and len(data) > 4:
            length = int.from_bytes(data[:2], "big")
            self._say(name, data[4 : 4 + length].decode("utf-8", "replace"))
        elif name == "kywd":
            self._say(name, ", ".join(_three_gp_keywords(data)))
        elif name in _NAMES:
            self._say(name, _three_gp(data[6:]))


def _rating(values: "list[str] | tuple[str, ...]") -> int | None:
    for value in values:
        found = (
            stars(value)
            if value.replace(".", "").lstrip("-").isdigit() and float(value) <= 5
            else stars(None, value)
        )
        if found is not None:
            return found
    return None


def _typed(kind: int, data: bytes) -> str | None:
    """A value of a metadata item by its well-known type: UTF-8, UTF-16, a big-endian number or float."""
    if kind == 1:
        return data.decode("utf-8", "replace")
    if kind == 2:
        return data.decode("utf-16-be", "replace")
    if kind in (21, 22) and 0 < len(data) <= 8:
        return str(int.from_bytes(data, "big", signed=kind == 21))
    if kind in (23, 24) and len(data) == 4 * (kind - 22):
        return str(struct.unpack(">f" if kind == 23 else ">d", data)[0])
    return None


def _keys(data: bytes) -> Iterator[str]:
    at = 8
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8:
            return
        yield data[at + 8 : at + size].decode("utf-8", "replace")
        at += size


def _three_gp(data: bytes) -> str:
    if data.startswith((b"\xfe\xff", b"\xff\xfe")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace")


def _three_gp_keywords(data: bytes) -> Iterator[str]:
    at = 7
    for _ in range(data[6] if len(data) > 6 else 0):
        if at >= len(data):
            return
        yield _three_gp(data[at + 1 : at + 1 + data[at]]).rstrip("\0")
        at += 1 + data[at]


def _xtra(data: bytes) -> Iterator[tuple[str, str]]:
    """Fields that Windows Explorer writes: each with a name and values of a size and a type."""
    at = 0
    while at + 12 <= len(data):
        size, length = struct.unpack(">II", data[at : at + 8])
        if size < 12 or at + size > len(data) or length > size - 12:
            return
        name = data[at + 8 : at + 8 + length].decode("latin-1")
        inside = at + 8 + length
        (count,) = struct.unpack(">I", data[inside : inside + 4])
        inside += 4
        for _ in range(min(count, 64)):
            if inside + 6 > at + size:
                break
            value_size, kind = struct.unpack(">IH", data[inside : inside + 6])
            value = data[inside + 6 : inside + value_size]
            if kind == 8:
                yield name, value.decode("utf-16-le", "replace").rstrip("\0")
            elif kind == 19:
                yield name, str(int.from_bytes(value[:8], "little"))
            inside += max(6, value_size)
        at += size
