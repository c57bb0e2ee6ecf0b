"""Images whose pixels are there, but not all that stands around them.

A PNG with oversized or damaged chunks, a JPEG without its last bytes.
"""

import io
import zlib

import numpy as np
from PIL import Image

from askpix.core.imaging.decoder_errors import DECODER_ERRORS, signature

_PNG = b"\x89PNG\r\n\x1a\n"
_NEEDED = (
    b"IHDR",
    b"PLTE",
    b"tRNS",
    b"gAMA",
    b"cHRM",
    b"sRGB",
    b"cICP",
    b"IDAT",
    b"acTL",
    b"fcTL",
    b"fdAT",
    b"IEND",
)
_KEPT = (b"eXIf", b"pHYs")
"""Kept where they are sound."""
_MAX_KEPT = 2**20
_END = b"\xff\xd9"
_PROBE = 32
"""Bytes at a JPEG's end: where it changes without them is where its data end."""
_MIN_ROWS = 0.9
"""Share of the rows that must be there."""
_SMALL = 256


def repaired(data: bytes) -> tuple[bytes, str] | None:
    """Return a copy that can be decoded, and what is wrong with the file; None where too little is left."""
    kind = signature(data)
    if kind == "PNG":
        kept = _png_without_side_data(data)
        return (kept, "chunks beside its pixels are oversized or damaged") if kept != data else None
    if kind == "JPEG":
        ended = data.rstrip(b"\xff") + _END
        return (ended, "its last bytes are missing") if _rows_there(data, ended) >= _MIN_ROWS else None
    return None


def _png_without_side_data(data: bytes) -> bytes:
    """The chunks that pixels need. What is wrong with those is an error still."""
    parts = [_PNG]
    at = len(_PNG)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        end = at + 12 + length
        chunk = data[at:end]
        sound = length <= _MAX_KEPT and chunk[-4:] == zlib.crc32(chunk[4:-4]).to_bytes(4, "big")
        if name in _NEEDED or (name in _KEPT and sound):
            parts.append(chunk)
        if name == b"IEND":
            break
        at = end
    return b"".join(parts)


def _rows_there(data: bytes, ended: bytes) -> float:
    """The share of rows above the place where the data end."""
    try:
        whole = _small(ended)
        less = _small(data.rstrip(b"\xff")[:-_PROBE] + _END)
    except DECODER_ERRORS:
        return 0.0
    if whole.shape != less.shape:
        return 0.0
    changed = np.flatnonzero((whole != less).any(axis=tuple(range(1, whole.ndim))))
    return float(changed[-1] + 1) / whole.shape[0] if changed.size else 0.0


def _small(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        image.draft(None, (_SMALL, _SMALL))
        return np.asarray(image)
