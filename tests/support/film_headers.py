"""Headers of films as phones write them, box by box (ISO/IEC 14496-12), without a frame."""

import struct
from datetime import UTC, datetime

_MAC_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of these parts."""
    data = b"".join(parts)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def film_header(
    *, created: datetime | int = 0, seconds: float = 2.5, place: str = "", says: dict[str, str] | None = None
) -> bytes:
    """A film that begins with its media, as phones write them; ``says`` are Apple's keys."""
    if isinstance(created, datetime):
        created = int((created.replace(tzinfo=UTC) - _MAC_EPOCH).total_seconds())
    parts = [box(b"mvhd", struct.pack(">IIIII", 0, created, created, 600, round(seconds * 600)), b"\0" * 80)]
    if place:
        text = place.encode()
        parts.append(box(b"udta", box(b"\xa9xyz", struct.pack(">HH", len(text), 0x15C7), text)))
    if says:
        keys = b"".join(box(b"mdta", name.encode()) for name in says)
        values = b"".join(
            box(struct.pack(">I", n), box(b"data", struct.pack(">II", 1, 0), value.encode()))
            for n, value in enumerate(says.values(), start=1)
        )
        keyed = box(b"keys", struct.pack(">II", 0, len(says)), keys)
        parts.append(box(b"meta", box(b"hdlr", b"\0" * 24), keyed, box(b"ilst", values)))
    return box(b"ftyp", b"qt  ", b"\0" * 4) + box(b"mdat", b"\0" * 5000) + box(b"moov", *parts)
