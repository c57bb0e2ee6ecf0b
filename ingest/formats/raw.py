"""Camera raw files. LibRaw decodes them in a child process (``ingest.formats.raw_decoder``)."""

import io
from typing import Any

from PIL import ExifTags, Image

from askpix.core.imaging.decoder_errors import DECODER_ERRORS
from askpix.ingest.formats.base import Format
from askpix.ingest.formats.image import media_type

_HEAD = 4096
_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_SUBFILE = 254
_COMPRESSION = 259
_SUB_IFDS = 330
_DNG_VERSION = 50706
_COMPRESSIONS = (32767, 32770, 34713, 65535)
"""Sony, Samsung, Nikon, Pentax: next to TIFF 6.0, as LibRaw and ExifTool list them."""


def is_raw(data: bytes) -> bool:
    """Return whether it is a camera raw file, by its first bytes; a TIFF by its first directory."""
    if data.startswith(_STARTS) or data[4:12] == b"ftypcrx ":
        return True
    return data[:4] in (b"II*\0", b"MM\0*") and (data[8:10] == b"CR" or _is_raw_tiff(data))


def _is_raw_tiff(data: bytes) -> bool:
    """Cameras' files are TIFFs that begin with a small image and keep the large one below it."""
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as opened:
            tags: Any = opened.tag_v2  # type: ignore[attr-defined]
            if _DNG_VERSION in tags or tags.get(_COMPRESSION) in _COMPRESSIONS:
                return True
            return tags.get(_SUBFILE) == 1 and _SUB_IFDS in tags and ExifTags.Base.Make in tags
    except DECODER_ERRORS:
        # Pillow refuses some of them: those with a maker's own compression.
        return _DNG_VERSION.to_bytes(2, "little" if data[:1] == b"I" else "big") in data[:_HEAD]


RAW = Format(
    name="RAW",
    extensions=frozenset(
        "dng cr2 cr3 nef nrw arw sr2 srf raf orf rw2 pef srw x3f erf kdc dcr mrw 3fr iiq rwl".split()
    ),
    sniff=is_raw,
    decoder="askpix.ingest.formats.raw_decoder:RawDecoder",
    media_type=media_type,
)
