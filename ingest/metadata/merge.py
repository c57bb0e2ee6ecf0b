"""Metadata of a file and of those beside it, merged into one ``About``."""

import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from PIL import Image

from askpix.core.imaging.decode import DECODING, FORMATS
from askpix.core.imaging.decoder_errors import DECODER_ERRORS
from askpix.ingest.metadata.containers import Container, read_container
from askpix.ingest.metadata.descriptions import (
    extended_xmp,
    iptc_fields,
    read_comments,
    read_exif_words,
    xmp_packet,
)
from askpix.ingest.metadata.exif import local_time, parse_date, parse_offset, read_metadata
from askpix.ingest.metadata.model import (
    About,
    NameStamp,
    clean_keywords,
    clean_names,
    clean_text,
    merged,
    stamp_in_name,
)
from askpix.ingest.metadata.picasa import MAX_INI, is_picasa, read_picasa
from askpix.ingest.metadata.quicktime import read_film_header
from askpix.ingest.metadata.sidecars import is_album, is_elsewhere, unpack
from askpix.ingest.metadata.takeout import MAX_JSON, Takeout, read_album, read_takeout
from askpix.ingest.metadata.video import FilmFacts, film_facts
from askpix.ingest.metadata.xmp import MAX_XMP, read_xmp

_DAY = timedelta(days=1)
_IPTC_CLOCK = re.compile(r"(\d\d)(\d\d)(\d\d)([+-]\d{4})?", re.ASCII)

ReadBeside = Callable[[str, int], bytes | None]
"""The bytes of a file in the same folder, by name and most bytes; None when it cannot be had."""


def look_into(path: Path, stamp: str | None, elsewhere: ReadBeside = lambda name, limit: None) -> About:
    """Read the metadata of the file at ``path`` and of those in ``stamp``. Damaged files contribute
    nothing. ``elsewhere`` reads those of other folders and archives.
    """
    inside: list[About] = []
    film = None
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            inside = read_file(file)
            film = None if file.closed else read_film(file, size)
    except OSError:
        pass  # what lies beside it counts all the same

    def read(name: str, limit: int) -> bytes | None:
        if is_elsewhere(name):
            return elsewhere(name, limit)
        try:
            with path.with_name(name).open("rb") as file:
                data = file.read(limit + 1)
        except OSError:
            return None
        return data if len(data) <= limit else None

    return combine(path.name, inside, stamp, read, film)


def combine(
    name: str, inside: list[About], stamp: str | None, read: ReadBeside, film: FilmFacts | None = None
) -> About:
    """The precedence of ``askpix.ingest.metadata.model``."""
    named = stamp_in_name(name)
    local = named.local if named else None
    corrections: list[About] = []
    google: Takeout | None = None
    albums = About()
    picasa = About()
    for each in unpack(stamp):
        if each.name.casefold().endswith(".xmp"):
            corrections.append(read_xmp(read(each.name, MAX_XMP) or b"", name))
        elif is_picasa(each.name):
            picasa = read_picasa(read(each.name, MAX_INI) or b"", name)
        elif is_album(each.name):
            albums = read_album(read(each.name, MAX_JSON) or b"")
        elif google is None:
            google = read_takeout(read(each.name, MAX_JSON) or b"")
    place = merged([*corrections, *inside, *([film.about] if film else [])])
    shot: About | None = None
    if film:
        shot = film.dated(named, place.lon)
        words = [_undated(each) for each in inside]
        if film.utc and (google is None or google.utc is None or shot.taken_at == local):
            inside = [shot, *words]
        else:
            # Google knows the moment too, and where it was.
            inside = [film.about, *words]
    sources = _by_meaning([*corrections, *inside])
    if google is not None:
        told, corrected, moved = google.about(merged(sources), local)
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
    said = _at_its_place(named, merged(sources).lon)
    best = merged(sources)
    # Nothing is digitised or saved before it is taken.
    if best.taken_as and best.taken_at and said.taken_at and best.taken_at - said.taken_at > _DAY:
        sources.insert(0, said)
    return merged([*sources, picasa, said, albums])


def _undated(about: About) -> About:
    """Return the same metadata without its date: of a container only the words count."""
    return replace(about, taken_at=None, taken_from=None, taken_as=None, offset_minutes=None)


def _by_meaning(sources: Sequence[About]) -> list[About]:
    """Dates of when the image was taken first, then of when it was digitised, then of when it was saved."""
    bare = [replace(s, taken_at=None, taken_from=None, taken_as=None) if s.taken_as else s for s in sources]
    dates = [
        About(
            taken_at=s.taken_at, taken_from=s.taken_from, taken_as=s.taken_as, offset_minutes=s.offset_minutes
        )
        for s in sorted(sources, key=lambda source: source.taken_as == "modified")
        if s.taken_as
    ]
    return [*bare, *dates]


def _at_its_place(named: NameStamp | None, lon: float | None) -> About:
    if named is None:
        return About()
    taken_at = local_time(named.moment, None, lon)[0] if named.clock == "utc" else named.moment
    return About(taken_at=taken_at, taken_from="name")


def read_film(file: IO[bytes], size: int) -> FilmFacts | None:
    """Return the facts in a QuickTime or MP4 film; None where it is none."""
    header = read_film_header(file, size)
    return film_facts(header.said, header.seconds) if header else None


def read_bytes_inside(data: bytes) -> list[About]:
    """EXIF, XMP and IPTC of an image of which these are the first bytes."""
    return read_file(io.BytesIO(data))


def read_file(file: IO[bytes]) -> list[About]:
    """Return all metadata in a file of any format, the more trusted first; empty where there is none."""
    container = _safely_contained(file)
    file.seek(0)
    found = _image(file)  # and closes it
    if container is None:
        return found
    inside = [*read_inside(container.carrier), container.said]
    if not container.dated:
        inside = [_undated(each) for each in inside]
    return [*found, *inside]


def _safely_contained(file: IO[bytes]) -> Container | None:
    try:
        return read_container(file)
    except DECODER_ERRORS:
        return None


def _image(file: IO[bytes]) -> list[About]:
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
    for part in (_exif, _xmp, _extended, _iptc, read_exif_words, read_comments):
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
        taken_as=about.taken_as,
        offset_minutes=about.offset_minutes,
        camera=about.camera,
        lat=about.lat,
        lon=about.lon,
    )


def _xmp(image: Image.Image) -> About:
    packet = xmp_packet(image)
    return read_xmp(packet) if packet else About()


def _extended(image: Image.Image) -> About:
    packet = extended_xmp(image)
    return read_xmp(packet) if packet else About()


def _iptc(image: Image.Image) -> About:
    """IPTC-IIM 4.2, record 2."""
    fields = iptc_fields(image)
    if not fields:
        return About()

    def all_of(number: int) -> list[str]:
        value = fields.get((2, number))
        values = value if isinstance(value, list) else [value]
        return [_decoded(each) for each in values if isinstance(each, bytes)]

    def text(number: int) -> str | None:
        return clean_text(next(iter(all_of(number)), None))

    taken = _iptc_moment(text(55), text(60))
    moment, offset = taken if taken[0] else _iptc_moment(text(62), text(63))
    places = (text(92), text(90), text(95), text(101))
    return About(
        taken_at=moment,
        taken_from="iptc" if moment else None,
        taken_as="digitised" if moment and not taken[0] else None,
        offset_minutes=offset,
        title=text(5) or text(105),
        description=text(120),
        notes=clean_names(all_of(105)),
        creator=text(80),
        place=", ".join(part for part in places if part) or None,
        keywords=clean_keywords([*all_of(25), *all_of(20)]),
    )


def _iptc_moment(day: str | None, clock: str | None) -> tuple[datetime | None, int | None]:
    """``20110607`` and ``081500+0200``, with or without what separates the parts."""
    digits = re.sub(r"[:-]", "", day or "")
    if len(digits) != len("20110607"):
        return None, None
    match = _IPTC_CLOCK.match((clock or "").replace(":", ""))
    hours, minutes, seconds, zone = match.groups() if match else ("00", "00", "00", None)
    moment = parse_date(f"{digits[:4]}:{digits[4:6]}:{digits[6:]} {hours}:{minutes}:{seconds}")
    return moment, parse_offset(zone) if moment and zone else None


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
