"""The JSON files that Google Takeout puts beside images, and into the folders of albums. Never trusted."""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from askpix.ingest.metadata.exif import local_time, offset_between, parse_date, zone_by_name
from askpix.ingest.metadata.model import About, clean_names, clean_text, on_earth

_log = logging.getLogger(__name__)
MAX_JSON = 2**20
_NEAR = 0.01
"""Degrees, about a kilometre: what Google rounds differently is no correction of the owner's."""


@dataclass(frozen=True, slots=True)
class Takeout:
    """``utc`` is the moment as Google has it; the place as it has it and as EXIF had it."""

    utc: datetime | None = None
    place: tuple[float, float] | None = None
    exif_place: tuple[float, float] | None = None
    title: str | None = None
    description: str | None = None
    people: tuple[str, ...] = ()
    favourite: bool = False

    def about(self, inside: About, named: datetime | None = None) -> tuple[About, bool, bool]:
        """Return the metadata for an image whose file itself says ``inside`` and whose name says ``named``
        (local time), and whether its time and place are the owner's corrections: those count for more than
        what is in the file.
        """
        moved = (
            self.place is not None
            and self.exif_place is not None
            and any(abs(a - b) > _NEAR for a, b in zip(self.place, self.exif_place, strict=True))
        )
        lat, lon = self.place or self.exif_place or (None, None)
        taken_at = None
        offset = inside.offset_minutes
        corrected = False
        if self.utc:
            known = inside.taken_at
            zone = offset_between(known, self.utc) if known else None
            # A clock that was set wrong by minutes is no correction either.
            hours = (known - self.utc).total_seconds() / 3600 if known else 0
            corrected = not -12 <= hours <= 14
            if known and zone is not None:
                taken_at = known
                offset = zone
            elif known is None and named and zone_by_name(named, self.utc)[0]:
                taken_at = named
                offset = zone_by_name(named, self.utc)[1]
            else:
                taken_at, offset = local_time(self.utc, offset, lon)
        about = About(
            taken_at=taken_at,
            taken_from="takeout" if taken_at else None,
            offset_minutes=offset,
            lat=lat,
            lon=lon,
            description=self.description,
            people=self.people,
            keywords=("favourite",) if self.favourite else (),
        )
        return about, corrected, moved


def read_takeout(data: bytes) -> Takeout | None:
    """An image's file; None when it is another kind of JSON."""
    found = _object(data)
    if found is None or not isinstance(found.get("photoTakenTime"), dict):
        return None
    people = found.get("people")
    listed = people if isinstance(people, list) else []
    names = [each.get("name") for each in listed if isinstance(each, dict)]
    return Takeout(
        utc=_moment(found["photoTakenTime"].get("timestamp")),
        place=_place(found.get("geoData")),
        exif_place=_place(found.get("geoDataExif")),
        title=clean_text(found.get("title")),
        description=clean_text(found.get("description")),
        people=clean_names(names),
        favourite=found.get("favorited") is True,
    )


def read_album(data: bytes) -> About:
    """An album's file: its name. Years ("Photos from 2019") are what Takeout calls what is in no album."""
    found = _object(data) or {}
    # Before 2020 it was wrapped.
    inner = found.get("albumData")
    title = clean_text((inner if isinstance(inner, dict) else found).get("title"), limit=200)
    return About(albums=(title,)) if title and "photoTakenTime" not in found else About()


def _object(data: bytes) -> dict[str, Any] | None:
    if len(data) > MAX_JSON:
        return None
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        _log.debug("no Takeout file: %s", error)
        return None
    return found if isinstance(found, dict) else None


def _moment(stamp: Any) -> datetime | None:
    try:
        moment = datetime.fromtimestamp(int(stamp), UTC).replace(tzinfo=None)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    # 0 is what it writes when it knows nothing.
    return parse_date(f"{moment:%Y:%m:%d %H:%M:%S}") if int(stamp) else None


def _place(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, dict):
        return None
    lat, lon = on_earth(value.get("latitude"), value.get("longitude"))
    return (lat, lon) if lat is not None and lon is not None else None
