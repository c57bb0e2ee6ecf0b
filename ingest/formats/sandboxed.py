"""Formats that are decoded in a process apart: camera raw files, SVG drawings, JPEG XL.

Their decoders are less fuzzed than those of ``core.imaging.decode``, or know a size only when all is decoded.
"""

import io
from dataclasses import asdict
from typing import Any, Literal, TypeAlias

from PIL import ExifTags, Image

from askpix.core.errors import BadImageError, DecoderKilledError
from askpix.core.imaging.decode import ImageLimits, Picture
from askpix.core.imaging.decoder_errors import DECODER_ERRORS
from askpix.core.sandbox import NONSENSE, TOO_LONG, Children, answer_all

Rare: TypeAlias = Literal["RAW", "SVG", "JPEG XL"]
RARE_EXTENSIONS = frozenset(
    "svg jxl dng cr2 cr3 nef nrw arw sr2 srf raf orf rw2 pef srw x3f erf kdc dcr mrw 3fr iiq rwl".split()
)
CHILDREN = Children("askpix.ingest.formats.sandboxed")
_HEAD = 4096
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_SUBFILE, _COMPRESSION, _SUB_IFDS, _DNG_VERSION = 254, 259, 330, 50706
_RAW_COMPRESSIONS = (32767, 32770, 34713, 65535)
"""Sony, Samsung, Nikon, Pentax: next to TIFF 6.0, as LibRaw and ExifTool list them."""


def rare_format(data: bytes) -> Rare | None:
    """Which of these a file is, by its first bytes; raw files that are TIFFs by their first directory."""
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return "JPEG XL"
    if data.startswith(_RAW_STARTS) or data[4:12] == b"ftypcrx ":
        return "RAW"
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "RAW" if data[8:10] == b"CR" or _is_raw_tiff(data) else None
    head = data[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()[:_HEAD].lower()
    if head.startswith(b"<svg") or (
        head.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in head
    ):
        return "SVG"
    return None


def open_rare(data: bytes, rare: Rare, *, limits: ImageLimits, min_side: int | None = None) -> Picture:
    """As ``askpix.core.imaging.decode.open_image``. A raw file's preview counts where it is large enough.

    Raises ``BadImageError``, also when its decoder crashes, takes too long or too much memory.
    """
    question = {"rare": rare, "limits": asdict(limits), "min_side": min_side}
    while True:
        child, fresh = CHILDREN.take()
        try:
            answer, pixels = child.ask(
                question, data, seconds=limits.decode_seconds, most=3 * limits.max_pixels
            )
            width, height, *drawn = (int(side) for side in answer["sides"])
            image = Image.frombytes("RGB", (drawn[0], drawn[1]), pixels)
            exif = Image.Exif()
            try:
                exif.load(bytes.fromhex(answer["exif"]))
            except DECODER_ERRORS:
                exif = Image.Exif()
        except BadImageError:
            CHILDREN.give_back(child)
            raise
        except NONSENSE as error:
            if child.end() == TOO_LONG:
                why = f"it takes more than {limits.decode_seconds:g} seconds to decode"
                raise DecoderKilledError(f"{rare}: {why} (ASKPIX_MAX_DECODE_SECONDS)") from error
            if not fresh:
                continue  # it may have been ended while it was idle
            why = "it makes its decoder crash, or takes too much memory: save it as JPEG or PNG"
            raise DecoderKilledError(f"{rare}: {why}") from error
        except BaseException:
            child.end()  # Ctrl-C: what it would still say is nobody's
            raise
        CHILDREN.give_back(child)
        return Picture(image, width, height, rare, 1, exif)


def _is_raw_tiff(data: bytes) -> bool:
    """Cameras' files are TIFFs that begin with a small picture and keep the large one below it."""
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as opened:
            tags: Any = opened.tag_v2  # type: ignore[attr-defined]
            if _DNG_VERSION in tags or tags.get(_COMPRESSION) in _RAW_COMPRESSIONS:
                return True
            return tags.get(_SUBFILE) == 1 and _SUB_IFDS in tags and ExifTags.Base.Make in tags
    except DECODER_ERRORS:
        # Pillow refuses some of them: those with a maker's own compression.
        return _DNG_VERSION.to_bytes(2, "little" if data[:1] == b"I" else "big") in data[:_HEAD]


def serve() -> None:
    """In the child."""
    from askpix.ingest.formats.jpeg_xl import open_jpeg_xl  # noqa: PLC0415 - the decoders are for the child alone
    from askpix.ingest.formats.raw import open_raw  # noqa: PLC0415
    from askpix.ingest.formats.svg import open_svg  # noqa: PLC0415

    decoders = {"RAW": open_raw, "SVG": open_svg, "JPEG XL": open_jpeg_xl}

    def answer(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        limits = ImageLimits(**question["limits"])
        picture = decoders[question["rare"]](data, limits=limits, min_side=question["min_side"])
        sides = [picture.width, picture.height, *picture.image.size]
        try:
            exif = picture.exif.tobytes().hex()
        except DECODER_ERRORS:
            exif = ""
        return {"sides": sides, "exif": exif}, picture.image.convert("RGB").tobytes()

    answer_all(answer, most=2**32)
