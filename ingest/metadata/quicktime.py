"""The header of a QuickTime or MP4 film (ISO/IEC 14496-12, QuickTime File Format), read without decoding it.

Only the header is read, wherever it lies. Untrusted: every size is bounded, and nonsense is nothing, never an
error.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO

_MAX_BOXES = 20_000
_MAX_HEADER = 32 * 2**20
"""Bytes; that of three hours takes some five million."""
_NOT_FILMS = (b"crx ", b"jxl ", b"M4A ", b"M4B ", b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
"""Brands of images and songs in the same boxes."""
_TEXTS = {
    b"\xa9xyz": "location",
    b"\xa9mak": "make",
    b"\xa9mod": "model",
    b"\xa9day": "date",
}
_MAC_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)
_TO_UNIX = 2_082_844_800
"""Seconds between 1904 and 1970: some programs count from the latter."""
_CONTENT_IDENTIFIER = "com.apple.quicktime.content.identifier"
_LONGEST_MOTION = 3.5
"""Seconds: Apple films 1.5 before and after the photo, Google and Samsung up to 3."""
_LONGEST_IDENTIFIED = 6.0


@dataclass(frozen=True, slots=True)
class FilmHeader:
    """``said`` under the names that FFmpeg gives; ``seconds`` is 0 where it is not told."""

    said: dict[str, str]
    seconds: float

    @property
    def is_motion_part(self) -> bool:
        """True if it is as short as what phones film around a photo."""
        longest = _LONGEST_IDENTIFIED if _CONTENT_IDENTIFIER in self.said else _LONGEST_MOTION
        return 0 < self.seconds <= longest


def read_film_header(file: IO[bytes], size: int) -> FilmHeader | None:
    """The header of a film of so many bytes; None where it is none, or has none. Reads from front to back."""
    try:
        head = _at(file, 0, 12)
        if head[4:8] == b"ftyp" and head[8:12] in _NOT_FILMS:
            return None
        for kind, begin, stop in _boxes(file, 0, size):
            if kind == b"moov":
                data = _at(file, begin, min(stop - begin, _MAX_HEADER))
                return _movie(io.BytesIO(data), 0, len(data))
    except (OSError, ValueError, struct.error, OverflowError):
        pass
    return None


def _boxes(file: IO[bytes], begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte and end of each box between two places."""
    for _ in range(_MAX_BOXES):
        if begin + 8 > end:
            return
        head = _at(file, begin, 16)
        size, kind = struct.unpack(">I4s", head[:8])
        start = begin + 8
        if size == 1:
            size = int(struct.unpack(">Q", head[8:16])[0])
            start += 8
        stop = end if size == 0 else begin + size
        if stop < start or stop > end:
            return
        yield kind, start, stop
        begin = stop


def _movie(file: IO[bytes], begin: int, end: int) -> FilmHeader:
    said: dict[str, str] = {}
    seconds = 0.0
    for kind, start, stop in _boxes(file, begin, end):
        if kind == b"mvhd":
            # One part that is damaged leaves the others as they are.
            with suppress(struct.error, OverflowError, ZeroDivisionError):
                created, seconds = _times(_at(file, start, 32))
                if created:
                    said["creation_time"] = created
        elif kind == b"meta":
            with suppress(struct.error):
                said |= _keyed(file, start, stop)
        elif kind == b"udta":
            for name, first, last in _boxes(file, start, stop):
                if name in _TEXTS:
                    said.setdefault(_TEXTS[name], _text(_at(file, first, min(last - first, 512))[4:]))
                elif name == b"meta":
                    with suppress(struct.error):
                        said |= _keyed(file, first, last)
    return FilmHeader(said, seconds)


def _times(data: bytes) -> tuple[str | None, float]:
    created, _, scale, lasts = struct.unpack_from(">QQIQ" if data[:1] == b"\1" else ">IIII", data, 4)
    moment = _MAC_EPOCH + timedelta(seconds=created if created >= _TO_UNIX else created + _TO_UNIX)
    is_known = lasts not in (2**32 - 1, 2**64 - 1)
    return moment.isoformat() if created else None, lasts / scale if is_known else 0.0


def _keyed(file: IO[bytes], begin: int, end: int) -> dict[str, str]:
    """Apple's metadata: names in one box, values by number in another."""
    # In MP4 four bytes of version come first.
    begin += 4 if _at(file, begin, 8)[4:8] not in (b"hdlr", b"keys", b"ilst") else 0
    boxes = {kind: (start, stop) for kind, start, stop in _boxes(file, begin, end)}
    if b"keys" not in boxes or b"ilst" not in boxes:
        return {}
    first, last = boxes[b"keys"]
    names = [
        _at(file, start, min(stop - start, 256)).decode("utf-8", "replace")
        for _, start, stop in _boxes(file, first + 8, last)
    ]
    said: dict[str, str] = {}
    for kind, start, stop in _boxes(file, *boxes[b"ilst"]):
        number = int.from_bytes(kind, "big") - 1
        inner = next(_boxes(file, start, stop), None)
        if inner and inner[0] == b"data" and 0 <= number < len(names):
            value = _at(file, inner[1] + 8, min(inner[2] - inner[1] - 8, 512))
            said.setdefault(names[number].lower(), _text(value))
    return said


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip("\0 ")[:200]


def _at(file: IO[bytes], place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(max(0, count))
