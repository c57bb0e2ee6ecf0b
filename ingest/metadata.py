"""What a camera wrote into a picture: when, where, with what. Hostile values become None, never an error."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from PIL import ExifTags, Image

from core.damage import DECODER_ERRORS

_PHOTOGRAPHY_BEGINS = 1826
_MAX_CHARS = 200
_STAMP = re.compile(
    r"(\d{4})\D(\d{1,2})\D(\d{1,2})(?:\D(\d{1,2})\D(\d{1,2})(?:\D(\d{1,2}))?)?(?!\d)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """``taken_at`` is local time without a zone; ``lat``/``lon`` in degrees (WGS 84)."""

    taken_at: datetime | None = None
    camera: str | None = None
    lat: float | None = None
    lon: float | None = None


def read_metadata(exif: Image.Exif) -> Metadata:
    """From EXIF: DateTimeOriginal, else DateTimeDigitized, else DateTime; make and model; GPS position."""
    details = _read(lambda: exif.get_ifd(ExifTags.IFD.Exif)) or {}
    gps = _read(lambda: exif.get_ifd(ExifTags.IFD.GPSInfo)) or {}
    stamps = (
        details.get(ExifTags.Base.DateTimeOriginal),
        details.get(ExifTags.Base.DateTimeDigitized),
        _read(lambda: exif.get(ExifTags.Base.DateTime)),
    )
    lat, lon = _position(gps)
    return Metadata(
        taken_at=next((date for stamp in stamps if (date := _date(stamp))), None),
        camera=_camera(
            _read(lambda: exif.get(ExifTags.Base.Make)), _read(lambda: exif.get(ExifTags.Base.Model))
        ),
        lat=lat,
        lon=lon,
    )


def _read(value: Callable[[], Any]) -> Any:
    """Pillow decodes a tag when it is asked for: each may be broken on its own."""
    try:
        return value()
    except DECODER_ERRORS:
        return None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value[: 4 * _MAX_CHARS].decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    # Up to the first zero, as C programs wrote it.
    shown = value.partition("\0")[0][:_MAX_CHARS]
    return " ".join("".join(char if char.isprintable() else " " for char in shown).split())


def _date(value: Any) -> datetime | None:
    match = _STAMP.match(_text(value))
    if not match:
        return None
    try:
        date = datetime(*(int(part or 0) for part in match.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None
    plausible = date.year >= _PHOTOGRAPHY_BEGINS and date < datetime.now() + timedelta(days=2)
    return date if plausible else None


def _camera(make: Any, model: Any) -> str | None:
    make_text, model_text = _text(make), _text(model)
    # Many models already begin with the maker: "Canon", "Canon EOS 5D".
    if make_text and model_text.casefold().startswith(make_text.split()[0].casefold()):
        make_text = ""
    return f"{make_text} {model_text}".strip() or None


def _position(gps: Mapping[int, Any]) -> tuple[float | None, float | None]:
    lat = _degrees(gps.get(ExifTags.GPS.GPSLatitude), gps.get(ExifTags.GPS.GPSLatitudeRef), "S", 90.0)
    lon = _degrees(gps.get(ExifTags.GPS.GPSLongitude), gps.get(ExifTags.GPS.GPSLongitudeRef), "W", 180.0)
    # Cameras without a fix write 0, 0: a spot in the Atlantic where few pictures are taken.
    if lat is None or lon is None or (lat == 0 and lon == 0):
        return None, None
    return lat, lon


def _degrees(value: Any, reference: Any, negative: str, limit: float) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in value)
        total = degrees + minutes / 60 + seconds / 3600
    except (TypeError, ValueError, ArithmeticError):
        return None
    if _text(reference).upper().startswith(negative):
        total = -abs(total)
    return total if math.isfinite(total) and abs(total) <= limit else None
