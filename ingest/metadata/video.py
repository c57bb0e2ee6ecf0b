"""Metadata of a film, as the EXIF of its frames: time, position and camera.

QuickTime and MP4 have ``creation_time`` in UTC (ISO/IEC 14496-12); Apple adds local time with its zone, and a
place as ISO 6709 writes it, which Android writes too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from PIL import ExifTags, Image

from askpix.ingest.metadata.exif import local_time, read_metadata, zone_by_name
from askpix.ingest.metadata.model import About, NameStamp

_PLACE = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)")
"""Position in degrees; what follows is a height."""
_EPOCHS = (1904, 1970)
"""Epoch years of the formats: cameras without a clock write those years."""


def film_exif(said: Mapping[str, str], time_s: float) -> Image.Exif:
    """EXIF as a camera would have written it at that moment. Nonsense is left out, never an error."""
    facts = {key.lower(): value for key, value in said.items()}
    exif = Image.Exif()
    for tag, name in ((ExifTags.Base.Make, "make"), (ExifTags.Base.Model, "model")):
        if value := facts.get(f"com.apple.quicktime.{name}") or facts.get(name):
            exif[tag] = value
    place = _place(facts)
    if place:
        gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
        gps[ExifTags.GPS.GPSLatitude], gps[ExifTags.GPS.GPSLongitude] = (
            (abs(side), 0.0, 0.0) for side in place
        )
        gps[ExifTags.GPS.GPSLatitudeRef] = "S" if place[0] < 0 else "N"
        gps[ExifTags.GPS.GPSLongitudeRef] = "W" if place[1] < 0 else "E"
    began = _began(facts)
    if began:
        moment = began + timedelta(seconds=time_s)
        if moment.tzinfo is UTC:
            # The satellites' time: local time follows from the place, as with photos.
            gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
            gps[ExifTags.GPS.GPSDateStamp] = f"{moment:%Y:%m:%d}"
            gps[ExifTags.GPS.GPSTimeStamp] = (float(moment.hour), float(moment.minute), float(moment.second))
        else:
            details = exif.get_ifd(ExifTags.IFD.Exif)
            details[ExifTags.Base.DateTimeOriginal] = f"{moment:%Y:%m:%d %H:%M:%S}"
            if moment.tzinfo:
                zone = f"{moment:%z}"
                details[ExifTags.Base.OffsetTimeOriginal] = f"{zone[:3]}:{zone[3:5]}"
    return exif


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """Facts in a film; ``utc`` where only that is known of its time."""

    about: About
    utc: datetime | None
    seconds: float

    def dated(self, name: NameStamp | None, lon: float | None) -> About:
        """Return the film's local time: that of its name, where a zone explains it, else that of its
        place.
        """
        if self.utc is None:
            return self.about
        if name and name.local:
            explained, offset = zone_by_name(name.local, self.utc, self.seconds)
            if explained:
                return replace(self.about, taken_at=name.local, taken_from="video", offset_minutes=offset)
        taken_at, offset = local_time(self.utc, None, lon)
        return replace(self.about, taken_at=taken_at, taken_from="video", offset_minutes=offset)


def film_facts(said: Mapping[str, str], seconds: float) -> FilmFacts:
    """See ``FilmFacts``; ``said`` as ``film_exif`` takes it."""
    facts = {key.lower(): value for key, value in said.items()}
    read = read_metadata(film_exif(said, 0.0))
    began = _began(facts)
    is_utc = began is not None and began.tzinfo is UTC
    about = About(
        taken_at=None if is_utc else read.taken_at,
        taken_from="video" if read.taken_at and not is_utc else None,
        offset_minutes=None if is_utc else read.offset_minutes,
        camera=read.camera,
        lat=read.lat,
        lon=read.lon,
    )
    utc = began.replace(tzinfo=None) if is_utc and began and read.taken_at else None
    return FilmFacts(about, utc, seconds)


def _began(facts: Mapping[str, str]) -> datetime | None:
    for key in ("com.apple.quicktime.creationdate", "creation_time", "date"):
        try:
            found = datetime.fromisoformat(facts.get(key, ""))
        except ValueError:
            continue
        if found.year in _EPOCHS or len(facts[key]) < len("2024-01-01T00:00"):
            continue
        zulu = key == "creation_time" and (found.tzinfo is None or not found.utcoffset())
        return found.replace(tzinfo=UTC) if zulu else found
    return None


def _place(facts: Mapping[str, str]) -> tuple[float, float] | None:
    for key in ("com.apple.quicktime.location.iso6709", "location", "location-eng"):
        match = _PLACE.match(facts.get(key, ""))
        if match and abs(float(match[1])) <= 90 and abs(float(match[2])) <= 180:
            return float(match[1]), float(match[2])
    return None
