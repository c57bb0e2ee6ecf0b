"""EXIF metadata: time, position and camera. Hostile values become None, never an error."""

import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from PIL import ExifTags, Image

from askpix.core.imaging.decoder_errors import DECODER_ERRORS

_log = logging.getLogger(__name__)
_PHOTOGRAPHY_BEGINS = 1826
_MAX_CHARS = 200
_STAMP = re.compile(
    r"(\d{4})\D(\d{1,2})\D(\d{1,2})(?:\D(\d{1,2})\D(\d{1,2})(?:\D(\d{1,2}))?)?(?!\d)", re.ASCII
)


TakenAs: TypeAlias = Literal["digitised", "modified"]

_OFFSETS = (36881, 36882, 36880)
"""OffsetTimeOriginal, OffsetTimeDigitized, OffsetTime (Exif 2.31): each of the stamp of its name."""
_AS: tuple[TakenAs | None, ...] = (None, "digitised", "modified")
_FILE_SOURCE = 41728
_DIGITAL_CAMERA = (3, b"\3")
_SCANNERS = re.compile(
    r"scan|epson|microtek|mustek|plustek|pakon|noritsu|frontier|coolscan|perfection|lide|officejet|laserjet|"
    r"deskjet|photosmart|envy|mfc-|dcp-|imagerunner|reflecta|doxie|fotoscan",
    re.IGNORECASE,
)
"""Makers and models that write what an owner says a print is from."""
_DIGITAL_BEGINS = 1990
"""Year of the first digital camera that was sold: what one dates earlier is its clock, not the time."""
_CLOCK_NOT_SET = datetime(1970, 1, 1)
"""Day that programs and cameras write which know none."""
_RESET = datetime(2000, 1, 1)
"""Moment that many cameras begin with when their battery was empty."""
_GPS_STAMP = ExifTags.GPS.GPSTimeStamp
_GPS_DATE = ExifTags.GPS.GPSDateStamp
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})", re.ASCII)
_QUARTER = 15
"""Minutes: every zone's offset is so many from the next (Nepal has 5:45)."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """``taken_at`` is local time without a zone; ``lat``/``lon`` in degrees (WGS 84).

    ``offset_minutes`` is how far local time is ahead of UTC, where the image says so or its satellites'
    time tells it. ``from_gps``: only those gave the time. ``taken_as``: what the date is of where nothing
    says when the image was taken.
    """

    taken_at: datetime | None = None
    camera: str | None = None
    lat: float | None = None
    lon: float | None = None
    offset_minutes: int | None = None
    from_gps: bool = False
    taken_as: TakenAs | None = None


def read_metadata(exif: Image.Exif) -> Metadata:
    """Read the metadata from EXIF: DateTimeOriginal, else DateTimeDigitized, else DateTime; make and model;
    GPS position.
    """
    details = _read(lambda: exif.get_ifd(ExifTags.IFD.Exif)) or {}
    gps = _read(lambda: exif.get_ifd(ExifTags.IFD.GPSInfo)) or {}
    stamps = [
        parse_date(stamp)
        for stamp in (
            details.get(ExifTags.Base.DateTimeOriginal),
            details.get(ExifTags.Base.DateTimeDigitized),
            _read(lambda: exif.get(ExifTags.Base.DateTime)),
        )
    ]
    make = _read(lambda: exif.get(ExifTags.Base.Make))
    model = _read(lambda: exif.get(ExifTags.Base.Model))
    camera = _camera(make, model)
    if _is_digital(details, camera):
        stamps = _without_clocks_not_set(stamps)
    which = next((number for number, date in enumerate(stamps) if date), None)
    taken_at = stamps[which] if which is not None else None
    offset = None
    if which is not None:
        # A zone holds for its own stamp, and for another that is the same moment.
        offsets = [parse_offset(details.get(tag)) for tag in _OFFSETS]
        same = (offsets[number] for number, date in enumerate(stamps) if date == taken_at)
        offset = next((minutes for minutes in same if minutes is not None), None)
    lat, lon = _position(gps)
    instant = _instant(gps)
    if instant and taken_at and offset is None:
        offset = offset_between(taken_at, instant)
    if which is None:
        offset = next(
            (minutes for tag in _OFFSETS if (minutes := parse_offset(details.get(tag))) is not None), None
        )
    from_gps = instant is not None and taken_at is None
    if instant and taken_at is None:
        taken_at, offset = local_time(instant, offset, lon)
    return Metadata(
        taken_at=taken_at,
        camera=camera,
        lat=lat,
        lon=lon,
        offset_minutes=offset,
        from_gps=from_gps,
        taken_as=_AS[which] if which is not None else None,
    )


def _is_digital(details: Mapping[int, Any], camera: str | None) -> bool:
    """Return whether a digital camera took the image, and no scanner."""
    source = details.get(_FILE_SOURCE)
    if source is not None:
        return source in _DIGITAL_CAMERA
    if details.get(ExifTags.Base.ExposureTime) is not None:
        return True
    return camera is not None and not _SCANNERS.search(camera)


def _without_clocks_not_set(stamps: list[datetime | None]) -> list[datetime | None]:
    """Leave out what a camera writes whose clock was never set.

    An early date beside a later time of digitising is that of a print or slide, taken with a camera.
    """
    original, digitised, modified = stamps
    copied = original is not None and digitised is not None and digitised.year >= _DIGITAL_BEGINS
    original = original if copied and original != _RESET else _after_its_maker(original)
    return [original, _after_its_maker(digitised), _after_its_maker(modified)]


def _after_its_maker(date: datetime | None) -> datetime | None:
    return date if date and date.year >= _DIGITAL_BEGINS and date != _RESET else None


def zone_by_name(local: datetime, utc: datetime, seconds: float = 0.0) -> tuple[bool, int | None]:
    """Return whether ``local`` may be the moment ``utc`` in some zone, and that zone's minutes where they are
    sure.

    Phones name a film by its beginning and write the time of its end (``seconds`` later) into it, or that of
    its beginning. A difference of nothing is no zone: many cameras write local time where UTC belongs.
    """
    hours = (local - utc).total_seconds() / 3600
    if not -12.1 <= hours <= 14.1 + seconds / 3600:
        return False, None
    ends = (utc, utc - timedelta(seconds=seconds))
    offsets = [offset for end in ends if (offset := offset_between(local, end)) is not None]
    offset = next((each for each in offsets if each % 60 == 0), offsets[0] if offsets else None)
    return bool(offsets), offset or None


def offset_between(local: datetime, utc: datetime) -> int | None:
    """Minutes of the zone in which ``local`` is the moment ``utc``; None when there is no such zone.

    Clocks of cameras are a little off, so up to two minutes are overlooked; zones go from -12 to +14 hours.
    """
    minutes = (local - utc).total_seconds() / 60
    nearest = round(minutes / _QUARTER) * _QUARTER
    return nearest if abs(minutes - nearest) <= 2 and -12 * 60 <= nearest <= 14 * 60 else None


def local_time(utc: datetime, offset_minutes: int | None, lon: float | None) -> tuple[datetime, int | None]:
    """Local time of a moment, and the offset it was told by.

    Without an offset that of the meridian is taken (15 degrees an hour, as ships do): right to about an hour,
    so that the day nearly always is. Without a place it stays UTC.
    """
    if offset_minutes is None and lon is not None:
        return utc + timedelta(hours=round(lon / 15)), None
    return utc + timedelta(minutes=offset_minutes or 0), offset_minutes


def parse_offset(value: Any) -> int | None:
    """Minutes ahead of UTC: ``+05:45``, ``-0330``, ``Z``; None for what is no zone."""
    text = _text(value)
    if text.upper() == "Z":
        return 0
    match = _OFFSET.fullmatch(text)
    if not match:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    minutes = -minutes if match[1] == "-" else minutes
    return minutes if int(match[3]) < 60 and -12 * 60 <= minutes <= 14 * 60 else None


def _instant(gps: Mapping[int, Any]) -> datetime | None:
    """Return the time by the satellites' clock, UTC."""
    day = parse_date(gps.get(_GPS_DATE))
    try:
        hours, minutes, seconds = (float(part) for part in gps.get(_GPS_STAMP) or ())
        if day is None or not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 61):
            return None
        return day + timedelta(hours=hours, minutes=minutes, seconds=int(seconds))
    except (TypeError, ValueError, ArithmeticError):
        return None


def _read(value: Callable[[], Any]) -> Any:
    """Pillow decodes a tag when it is asked for: each may be broken on its own."""
    try:
        return value()
    except DECODER_ERRORS as error:
        _log.debug("a tag of EXIF that cannot be read: %s", error)
        return None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value[: 4 * _MAX_CHARS].decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    # Up to the first zero, as C programs wrote it.
    shown = value.partition("\0")[0][:_MAX_CHARS]
    return " ".join("".join(char if char.isprintable() else " " for char in shown).split())


def parse_date(value: Any) -> datetime | None:
    """Local time as EXIF and its kin write it; None for nonsense, and for moments that no camera saw."""
    match = _STAMP.match(_text(value))
    if not match:
        return None
    try:
        date = datetime(*(int(part or 0) for part in match.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None
    plausible = date.year >= _PHOTOGRAPHY_BEGINS and date < datetime.now() + timedelta(days=2)
    return date if plausible and date.date() != _CLOCK_NOT_SET.date() else None


def _camera(make: Any, model: Any) -> str | None:
    make_text = _text(make)
    model_text = _text(model)
    # Many models already begin with the maker: "Canon", "Canon EOS 5D".
    if make_text and model_text.casefold().startswith(make_text.split()[0].casefold()):
        make_text = ""
    return f"{make_text} {model_text}".strip() or None


def _position(gps: Mapping[int, Any]) -> tuple[float | None, float | None]:
    lat = _degrees(gps.get(ExifTags.GPS.GPSLatitude), gps.get(ExifTags.GPS.GPSLatitudeRef), "NS", 90.0)
    lon = _degrees(gps.get(ExifTags.GPS.GPSLongitude), gps.get(ExifTags.GPS.GPSLongitudeRef), "EW", 180.0)
    # Cameras without a fix write 0, 0: a spot in the Atlantic where few images are taken.
    if lat is None or lon is None or (lat == 0 and lon == 0):
        return None, None
    return lat, lon


def _degrees(value: Any, reference: Any, sides: str, limit: float) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in value)
        total = degrees + minutes / 60 + seconds / 3600
    except (TypeError, ValueError, ArithmeticError):
        return None
    total = on_its_side(total, _text(reference), sides)  # type: ignore[assignment]
    return total if total is not None and math.isfinite(total) and abs(total) <= limit else None


def on_its_side(degrees: float, reference: str, sides: str) -> float | None:
    """Degrees with the sign of their hemisphere; None where it is not said, or contradicts the sign.

    ``sides`` are the positive and the negative one: "NS", "EW". What stands in EXIF has no sign, so that a
    value without its reference may be on the other side of the earth.
    """
    side = reference[:1].upper()
    if side == sides[1]:
        return -abs(degrees)
    if side == sides[0]:
        return degrees if degrees >= 0 else None
    return degrees if not side and degrees < 0 else None
