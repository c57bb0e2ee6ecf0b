"""Title, subject, keywords and author of a PDF, and its XMP, without drawing anything (ISO 32000-1, 14.3).

Untrusted: objects are found by their numbers, never followed further than needed, and nothing is unpacked
beyond a limit. Words of an encrypted document are left out.
"""

import re
import zlib
from collections.abc import Iterator
from typing import IO

from askpix.ingest.metadata.model import About, clean_keywords, clean_text
from askpix.ingest.metadata.xmp import MAX_XMP

_MAX_BYTES = 64 * 2**20
"""Bytes of a file in which objects are looked for; of a longer one its last."""
_MAX_OBJECT = 2**16
_MAX_STREAMS = 2_000
_MAX_LOOKS = 1_000
"""Objects whose number ends as the one that is looked for."""
_MAX_UNPACKED = 64 * 2**20
_REFERENCE = re.compile(rb"\s*(\d{1,8})\s+(\d{1,5})\s+R\b")
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_TOKEN = re.compile(rb"/([^\s()<>\[\]{}/%]*)|(<<)|(>>)|<([0-9A-Fa-f\s]*)>|(\()|(\d+)\s+(\d+)\s+R\b")
_PIECE = re.compile(rb"\\([0-7]{1,3}|\r\n|.)|([()])|[^\\()]+", re.DOTALL)


def read_pdf(file: IO[bytes]) -> tuple[bytes | None, About]:
    """The XMP packet of the document, and what its information dictionary says."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _MAX_BYTES))
    objects = _Objects(file.read(_MAX_BYTES))
    return objects.packet(), objects.information()


class _Objects:
    """The objects of a PDF by number; the last of each counts, as later changes are appended."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._packed: dict[int, bytes] | None = None

    def information(self) -> About:
        """Return the document's title, subject, keywords and author."""
        number = self._named(b"/Info")
        if number is None or self._named(b"/Encrypt") is not None:
            return About()
        found: dict[str, str | None] = {}
        for name, value in _entries(self._object(number) or b""):
            text = value if isinstance(value, bytes) else self._string(value)
            found[name] = clean_text(_decoded(text))
        return About(
            title=found.get("Title"),
            description=found.get("Subject"),
            creator=found.get("Author"),
            keywords=clean_keywords(re.split("[,;]", found.get("Keywords") or "")),
        )

    def packet(self) -> bytes | None:
        """Return the XMP of the document, not that of an image in it."""
        root = self._named(b"/Root")
        catalog = self._object(root) if root is not None else None
        if not catalog or (at := catalog.find(b"/Metadata")) < 0:
            return None
        match = _REFERENCE.match(catalog, at + len(b"/Metadata"))
        start = self._start(int(match[1])) if match else None
        return None if start is None else self._stream(start, MAX_XMP)

    def _string(self, number: int) -> bytes:
        """A string that stands in an object of its own."""
        return next(
            (v for _, v in _entries(b"/Value " + (self._object(number) or b"")) if isinstance(v, bytes)), b""
        )

    def _named(self, key: bytes) -> int | None:
        """The number of the object to which the last trailer refers under this key."""
        at = len(self._data)
        for _ in range(16):
            at = self._data.rfind(key, 0, at)
            if at < 0:
                return None
            if match := _REFERENCE.match(self._data, at + len(key)):
                return int(match[1])
        return None

    def _start(self, number: int) -> int | None:
        """Return where the last object of this number begins."""
        for generation in (0, 1, 2, 3):
            mark = b"%d %d obj" % (number, generation)
            at = self._data.rfind(mark)
            for _ in range(_MAX_LOOKS):
                if at < 0:
                    break
                if not self._data[at - 1 : at].isdigit():
                    return at + len(mark)
                at = self._data.rfind(mark, 0, at)
        return None

    def _object(self, number: int) -> bytes | None:
        start = self._start(number)
        if start is not None:
            end = self._data.find(b"endobj", start, start + _MAX_OBJECT)
            return self._data[start : end if end > 0 else start + _MAX_OBJECT]
        if self._packed is None:
            self._packed = dict(self._unpack())
        return self._packed.get(number)

    def _unpack(self) -> Iterator[tuple[int, bytes]]:
        """The objects in object streams (ISO 32000-1, 7.5.7)."""
        left = _MAX_UNPACKED
        at = 0
        for _ in range(_MAX_STREAMS):
            at = self._data.find(b"/ObjStm", at)
            if at < 0 or left <= 0:
                return
            start = self._data.rfind(b"obj", max(0, at - 1024), at)
            at = self._data.find(b"endstream", at)  # streams do not overlap: all are passed over once
            if at < 0:
                return
            plain = self._stream(start + 3, left) if start >= 0 else None
            head = self._data[start : start + 1024]
            first = re.search(rb"/First\s+(\d{1,8})", head)
            if not plain or not first:
                continue
            left -= len(plain)
            pairs = plain[: int(first[1])].split()
            numbers = [int(part) for part in pairs if part.isdigit() and len(part) < 10]
            begins = [int(first[1]) + offset for offset in numbers[1::2]]
            for number, begin, end in zip(numbers[::2], begins, [*begins[1:], len(plain)], strict=False):
                yield number, plain[begin : min(end, begin + _MAX_OBJECT)]

    def _stream(self, start: int, limit: int) -> bytes | None:
        """The bytes of a stream object, unpacked where they are packed."""
        begin = self._data.find(b"stream", start, start + 4096)
        if begin < 0:
            return None
        head = self._data[start:begin]
        begin += len(b"stream")
        begin += 2 if self._data[begin : begin + 2] == b"\r\n" else 1
        end = self._data.find(b"endstream", begin)
        body = self._data[begin : end if end >= 0 else begin + limit]
        if b"/FlateDecode" not in head:
            return None if b"/Filter" in head and b"/Filter []" not in head else body[:limit]
        try:
            return zlib.decompressobj().decompress(body, limit)
        except zlib.error:
            return None


def _entries(data: bytes) -> Iterator[tuple[str, bytes | int]]:
    """The entries of a dictionary that are strings, or refer to objects."""
    name: str | None = None
    at = 0
    while match := _TOKEN.search(data, at):
        at = match.end()
        if match[1] is not None:
            name = match[1].decode("latin-1")
            continue
        value: bytes | int | None = None
        if match[4] is not None:
            digits = b"".join(match[4].split())
            value = bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())
        elif match[5] is not None:
            value, at = _literal(data, at)
        elif match[6] is not None:
            value = int(match[6])
        if name is not None and value is not None:
            yield name, value
        name = None


def _literal(data: bytes, at: int) -> tuple[bytes, int]:
    """A string in brackets, and where it ends (ISO 32000-1, 7.3.4.2)."""
    parts: list[bytes] = []
    depth = 1
    while match := _PIECE.match(data, at):
        at = match.end()
        if match[2]:
            depth += 1 if match[2] == b"(" else -1
            if not depth:
                break
            parts.append(match[2])
        elif match[1]:
            escaped = match[1]
            if escaped.isdigit():
                parts.append(bytes([int(escaped, 8) & 0xFF]))
            elif escaped not in (b"\n", b"\r", b"\r\n"):
                parts.append(_ESCAPES.get(escaped, escaped))
        else:
            parts.append(match[0])
    return b"".join(parts), at


def _decoded(text: bytes) -> str:
    if text.startswith((b"\xfe\xff", b"\xff\xfe")):
        return text.decode("utf-16", "replace")
    if text.startswith(b"\xef\xbb\xbf"):
        return text[3:].decode("utf-8", "replace")
    return text.decode("latin-1")
