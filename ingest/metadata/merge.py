"""Metadata of a file and of those beside it, merged into one ``About``."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile, IptcImagePlugin

from askpix.core.imaging.decode import DECODING, FORMATS
from askpix.core.imaging.decoder_errors import DECODER_ERRORS
from askpix.ingest.metadata.exif import parse_date, read_metadata
from askpix.ingest.metadata.model import About, clean_names, clean_text, from_name, merged
from askpix.ingest.metadata.sidecars import is_album, unpack
from askpix.ingest.metadata.takeout import MAX_JSON, Takeout, read_album, read_takeout
from askpix.ingest.metadata.xmp import MAX_XMP, read_xmp

ReadBeside = Callable[[str, int], bytes | None]
"""The bytes of a file in the same folder, by name and most bytes; None when it cannot be had."""


def look_into(path: Path, stamp: str | None) -> About:
    """Read the metadata of the file at ``path`` and of those in ``stamp``. Damaged files contribute
    nothing.
    """
    inside: list[About] = []
    try:
        with path.open("rb") as file:
            inside = _inside(file)
    except OSError:
        pass  # what lies beside it counts all the same

    def read(name: str, most: int) -> bytes | None:
        try:
            with path.with_name(name).open("rb") as file:
                data = file.read(most + 1)
        except OSError:
            return None
        return data if len(data) <= most else None

    return combine(path.name, inside, stamp, read)


def combine(name: str, inside: list[About], stamp: str | None, read: ReadBeside) -> About:
    """The precedence of ``askpix.ingest.metadata.model``."""
    corrections: list[About] = []
    google: Takeout | None = None
    albums = About()
    for each in unpack(stamp):
        if each.name.casefold().endswith(".xmp"):
            corrections.append(read_xmp(read(each.name, MAX_XMP) or b""))
        elif is_album(each.name):
            albums = read_album(read(each.name, MAX_JSON) or b"")
        elif google is None:
            google = read_takeout(read(each.name, MAX_JSON) or b"")
    sources = [*corrections, *inside]
    if google is not None:
        told, corrected, moved = google.about(merged(sources))
        if not corrected and told.taken_at == merged(sources).taken_at:
            sources = [replace(s, offset_minutes=s.offset_minutes or told.offset_minutes) for s in sources]
        if corrected or moved:
            sources.insert(
                len(corrections),
                replace(
                    told,
                    taken_at=told.taken_at if corrected else None,
                    taken_from=told.taken_from if corrected else None,
                    lat=told.lat if moved else None,
                    lon=told.lon if moved else None,
                ),
            )
        sources.append(told)
    return merged([*sources, from_name(name), albums])


def read_bytes_inside(data: bytes) -> list[About]:
    """EXIF, XMP and IPTC of an image of which these are the first bytes."""
    return _inside(io.BytesIO(data))


def _inside(file: IO[bytes]) -> list[About]:
    try:
        with Image.open(file, formats=FORMATS) as image:
            # What stands behind the pixels of a PNG is read by decoding them.
            with DECODING.held(image.width * image.height if image.format == "PNG" else 0):
                found = read_inside(image)
                image.close()
            return found
    except DECODER_ERRORS:
        return []  # no image: a PDF, a film, a raw file


def read_inside(image: Image.Image) -> list[About]:
    """EXIF, XMP and IPTC of an opened image, not yet decoded; each may be broken on its own."""
    found: list[About] = []
    for part in (_exif, _xmp, _iptc):
        try:
            found.append(part(image))
        except DECODER_ERRORS:
            continue
    return found


def _exif(image: Image.Image) -> About:
    about = read_metadata(image.getexif())
    taken_from = ("gps" if about.from_gps else "exif") if about.taken_at else None
    return About(
        taken_at=about.taken_at,
        taken_from=taken_from,  # type: ignore[arg-type]
        offset_minutes=about.offset_minutes,
        camera=about.camera,
        lat=about.lat,
        lon=about.lon,
    )


def _xmp(image: Image.Image) -> About:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    return read_xmp(packet) if isinstance(packet, bytes) else About()


def _iptc(image: Image.Image) -> About:
    """IPTC-IIM 4.2, record 2."""
    fields = IptcImagePlugin.getiptcinfo(image) if isinstance(image, ImageFile.ImageFile) else None
    if not fields:
        return About()

    def all_of(number: int) -> list[str]:
        value = fields.get((2, number))
        values = value if isinstance(value, list) else [value]
        return [_decoded(each) for each in values if isinstance(each, bytes)]

    def text(number: int) -> str | None:
        return clean_text(next(iter(all_of(number)), None))

    day = text(55)
    clock = text(60) or "000000"
    moment = None
    if day and len(day) == 8:
        moment = parse_date(f"{day[:4]}:{day[4:6]}:{day[6:]} {clock[:2]}:{clock[2:4]}:{clock[4:6]}")
    places = (text(92), text(90), text(95), text(101))
    return About(
        taken_at=moment,
        taken_from="iptc" if moment else None,
        title=text(5) or text(105),
        description=text(120),
        creator=text(80),
        place=", ".join(part for part in places if part) or None,
        keywords=clean_names(all_of(25)),
    )


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
