"""Metadata of an image beside its pixels: time, place, people and words. Sources merge here.

Precedence, field by field, the first that has a value:

1. an XMP file beside the image: a person's program wrote it after the image was made, to correct it
2. the image's own EXIF, which the camera wrote: local time, with the zone where it knows it
3. the image's own XMP, then IPTC: older programs leave IPTC behind when they change XMP
4. a Google Takeout file: its moment is UTC and its place is often Google's guess. It comes before 2 where
   the owner changed it there: a moment that no zone explains, a place other than the EXIF one it quotes
5. the name that cameras and phones give a file (``IMG_20190503_140000``)

Keywords, people and albums are united. The date of a file is never ``taken_at``: copying, downloading and
unpacking set it. Who shows an image of which nothing else is known takes it from its source, and says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

from askpix.ingest.metadata.exif import parse_date

TakenFrom: TypeAlias = Literal["exif", "gps", "xmp", "iptc", "takeout", "name"]

_MAX_NAMES = 64
"""Keywords, people or albums of one image."""
_MAX_CHARS = 4_000
_NAME_STAMP = re.compile(
    r"(?:^|[^0-9])(19[89]\d|20\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])"
    r"(?:[-_. T]|\sat\s|\sum\s)*([01]\d|2[0-3])[-_.:h]?([0-5]\d)[-_.:m]?([0-5]\d)(?![0-9]{4})"
)
"""Date and time both: a date alone may be anything that an archive is sorted by."""


@dataclass(frozen=True, slots=True)
class About:
    """``taken_at`` is local time; ``offset_minutes`` how far it is ahead of UTC; degrees are WGS 84."""

    taken_at: datetime | None = None
    taken_from: TakenFrom | None = None
    offset_minutes: int | None = None
    camera: str | None = None
    lat: float | None = None
    lon: float | None = None
    title: str | None = None
    description: str | None = None
    creator: str | None = None
    rating: int | None = None
    """0 to 5, -1: rejected (XMP specification part 1, 8.4)."""
    place: str | None = None
    """Place as a person or program wrote it: "Alfama, Lisbon, Portugal"."""
    keywords: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    albums: tuple[str, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags that filters use: keywords and people, albums as ``album:NAME``."""
        albums = (f"album:{name}" for name in self.albums)
        return tuple(dict.fromkeys((*self.keywords, *self.people, *albums)))

    @property
    def words(self) -> str:
        """Words that searches use, a line each; empty when nobody wrote anything."""
        lines = (
            self.title,
            self.description,
            ", ".join(self.keywords),
            ", ".join(self.people),
            ", ".join(self.albums),
            self.place,
            self.creator,
        )
        return "\n".join(dict.fromkeys(line for line in lines if line))

    def to_json(self) -> dict[str, Any]:
        """Return the form kept in the catalog: fields without a value are left out."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        found["taken_at"] = self.taken_at.isoformat() if self.taken_at else None
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in found.items()
            if value is not None and value != ()
        }

    @classmethod
    def from_json(cls, stored: Any) -> "About":
        """Back from the catalog, or from an archive that may be anybody's: what does not fit is left out."""
        if not isinstance(stored, dict):
            return cls()
        lat, lon = on_earth(stored.get("lat"), stored.get("lon"))
        taken_from = stored.get("taken_from")
        found: dict[str, Any] = {
            name: value if isinstance(value := stored.get(name), int) else None
            for name in ("offset_minutes", "rating")
        }
        for name in ("camera", "title", "description", "creator", "place"):
            found[name] = clean_text(stored.get(name))
        for name in ("keywords", "people", "albums"):
            value = stored.get(name)
            found[name] = clean_names(value) if isinstance(value, list | tuple) else ()
        return cls(
            taken_at=parse_date(stored.get("taken_at")),
            taken_from=taken_from if taken_from in get_args(TakenFrom) else None,
            lat=lat,
            lon=lon,
            **found,
        )


def merged(sources: Sequence[About]) -> About:
    """Merge several sources into one, the more trusted first."""
    found: dict[str, Any] = {}
    for name in ("camera", "title", "description", "creator", "rating", "place"):
        found[name] = next((v for each in sources if (v := getattr(each, name)) is not None), None)
    for name in ("keywords", "people", "albums"):
        every = dict.fromkeys(word for each in sources for word in getattr(each, name))
        found[name] = tuple(every)[:_MAX_NAMES]
    # What belongs together is taken from one: a moment with its zone, a latitude with its longitude.
    when = next((each for each in sources if each.taken_at), About())
    where = next((each for each in sources if each.lat is not None and each.lon is not None), About())
    offset = when.offset_minutes
    if offset is None and when.taken_at:
        offset = next((each.offset_minutes for each in sources if each.taken_at == when.taken_at), None)
    return About(
        taken_at=when.taken_at,
        taken_from=when.taken_from,
        offset_minutes=offset,
        lat=where.lat,
        lon=where.lon,
        **found,
    )


def from_name(name: str) -> About:
    """The moment in a file's name: ``IMG_20190503_140000.jpg``, ``Screenshot 2024-03-01 at 10.22.33``."""
    match = _NAME_STAMP.search(name)
    moment = parse_date(":".join(match.groups())) if match else None
    return About(taken_at=moment, taken_from="name") if moment else About()


def clean_text(value: Any, *, most: int = _MAX_CHARS) -> str | None:
    """Return any value as one line of text; None when nothing readable is left."""
    if not isinstance(value, str):
        return None
    shown = value[:most].partition("\0")[0].encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in shown).split()) or None


def clean_names(values: Any) -> tuple[str, ...]:
    """Keywords, people and albums: short, each once."""
    found = (clean_text(value, most=200) for value in list(values)[: 4 * _MAX_NAMES])
    return tuple(dict.fromkeys(name for name in found if name))[:_MAX_NAMES]


def on_earth(lat: Any, lon: Any) -> tuple[float | None, float | None]:
    """Degrees that are a place; 0, 0 is what programs write that have none."""
    try:
        north = float(lat)
        east = float(lon)
    except (TypeError, ValueError):
        return None, None
    if (north, east) == (0, 0) or not (-90 <= north <= 90 and -180 <= east <= 180):
        return None, None
    return north, east
