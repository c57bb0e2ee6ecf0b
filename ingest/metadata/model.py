"""Metadata of an image beside its pixels: time, place, people and words. Sources merge here.

Dates go by what they are of: when the image was taken before when it was digitised (``xmp:CreateDate``, which
programs write too) before when the file was saved. Then, and for every other field, by precedence the first
that has a value:

1. an XMP file beside the image: a person's program wrote it after the image was made, to correct it
2. the image's own EXIF, which the camera wrote: local time, with the zone where it knows it
3. the image's own XMP, then IPTC: older programs leave IPTC behind when they change XMP
4. a Google Takeout file: its moment is UTC and its place is often Google's guess. It comes before 2 where
   the owner changed it there: a moment that no zone explains, a place other than the EXIF one it quotes
5. the name that cameras and phones give a file (``IMG_20190503_140000``); before a later date that is not
   when the image was taken

Where only UTC is known (films, Takeout), local time in the name gives the zone.

Keywords, people and albums are united. The date of a file is never ``taken_at``: copying, downloading and
unpacking set it. Who shows an image of which nothing else is known takes it from its source, and says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from askpix.core.types import rating_tag
from askpix.ingest.metadata.exif import TakenAs, parse_date

TakenFrom: TypeAlias = Literal["exif", "gps", "xmp", "iptc", "takeout", "video", "name"]

_MAX_NAMES = 64
"""Keywords, people or albums of one image."""
_MAX_CHARS = 4_000
_DATE = r"(?<![0-9])(19[89]\d|20\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])"
_MORNING = "am|a\\.m\\.|a\\. ?m\\.|上午|午前|오전"
_AFTERNOON = "pm|p\\.m\\.|p\\. ?m\\.|下午|午後|오후"
_MAX_NAME = 200
_NAME_FIELDS = ("notes", "keywords", "people", "albums")
_NAME_STAMP = re.compile(
    # "at", "um", "à", "alle", "a la(s)", "kl." ...: as the system's language has it
    rf"{_DATE}(?:[-_., T]|\s(?:a las?|a la\(s\)|a les|[^\W\d_]{{1,5}}\.?)\s){{0,4}}"
    rf"(?P<before>{_MORNING}|{_AFTERNOON})?\s*"
    r"(?P<hour>[01]\d|2[0-3]|\d(?=[-_.:h]))[-_.:h]?(?P<minute>[0-5]\d)[-_.:m]?(?P<second>[0-5]\d)(?![0-9]{4})"
    rf"(?P<zulu>Z(?![^\W_]))?(?:\s*(?P<after>{_MORNING}|{_AFTERNOON})(?![^\W_]))?",
    re.IGNORECASE,
)
"""Date and time both: a date alone may be anything that an archive is sorted by."""
_WHATSAPP = re.compile(rf"(?:IMG|VID)-{_DATE}-WA\d{{2,}}", re.IGNORECASE)
"""A date alone: the day on which it was received."""
_UTC_NAMES = ("pxl_",)
"""Google's phones name by UTC, all others by local time."""


_WRITTEN_BY_PROGRAMS = re.compile(
    r"(olympus|minolta|konica|sony|samsung|kodak|nikon|canon|casio|jenoptik)\b.{0,30}|dcim.*|dsc.?\d*|"
    r"img.?\d+|default|untitled|exif.?jpeg.?picture|screenshot|image|photo|picture|\W*|[\d\W]+|applemark|"
    r"(lavc|lavf|ffmpeg|intel\(r\)|lead technologies).*|file written by .*|(creator|software): .*|"
    r"(created|written|compressed|optimi[sz]ed|processed|made|edited) (with|by|in|using) .*",
    re.IGNORECASE,
)
"""Text that cameras and programs write where a caption belongs."""
_INTERNAL = ("_digikam_internal_tags_", "darktable")
"""Roots of hierarchies that programs keep their own notes in."""


@dataclass(frozen=True, slots=True)
class About:
    """``taken_at`` is local time; ``offset_minutes`` how far it is ahead of UTC; degrees are WGS 84."""

    taken_at: datetime | None = None
    taken_from: TakenFrom | None = None
    taken_as: TakenAs | None = None
    """Meaning of the date where nothing says when the image was taken."""
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
    notes: tuple[str, ...] = ()
    """Further words: headlines, comments, descriptions in other languages or for the blind."""
    keywords: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    albums: tuple[str, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags that filters use: keywords and people, albums as ``album:NAME``, stars as ``rating:N``."""
        albums = (f"album:{name}" for name in self.albums)
        rating = (rating_tag(self.rating),) if self.rating else ()
        return tuple(dict.fromkeys((*self.keywords, *self.people, *albums, *rating)))

    @property
    def captions(self) -> tuple[str, ...]:
        """Title, descriptions and keywords, the latter on one line."""
        lines = (self.title, self.description, *self.notes, ", ".join(self.keywords))
        return tuple(line for line in lines if line)

    @property
    def words(self) -> str:
        """Words that searches use, a line each; empty when nobody wrote anything."""
        lines = (
            *self.captions,
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
        taken_as = stored.get("taken_as")
        found: dict[str, Any] = {
            name: value if isinstance(value := stored.get(name), int) else None
            for name in ("offset_minutes", "rating")
        }
        for name in ("camera", "title", "description", "creator", "place"):
            found[name] = clean_text(stored.get(name))
        for name in _NAME_FIELDS:
            value = stored.get(name)
            found[name] = (
                clean_names(value, limit=_MAX_CHARS if name == "notes" else _MAX_NAME)
                if isinstance(value, list | tuple)
                else ()
            )
        return cls(
            taken_at=parse_date(stored.get("taken_at")),
            taken_from=taken_from if taken_from in get_args(TakenFrom) else None,
            taken_as=taken_as if taken_as in get_args(TakenAs) else None,
            lat=lat,
            lon=lon,
            **found,
        )


def merged(sources: Sequence[About]) -> About:
    """Merge several sources into one, the more trusted first."""
    found: dict[str, Any] = {}
    for name in ("camera", "title", "description", "creator", "rating", "place"):
        found[name] = next((v for each in sources if (v := getattr(each, name)) is not None), None)
    for name in _NAME_FIELDS:
        every = dict.fromkeys(word for each in sources for word in getattr(each, name))
        found[name] = tuple(every)[:_MAX_NAMES]
    # Another carrier's title or description is no title or description of the whole, but can be found.
    texts = (text for each in sources for text in (each.title, each.description, *each.notes) if text)
    shown = (found["title"], found["description"])
    found["notes"] = tuple(dict.fromkeys(text for text in texts if text not in shown))[:_MAX_NAMES]
    # What belongs together is taken from one: a moment with its zone, a latitude with its longitude.
    when = next((each for each in sources if each.taken_at), About())
    where = next((each for each in sources if each.lat is not None and each.lon is not None), About())
    offset = when.offset_minutes
    if offset is None and when.taken_at:
        offset = next((each.offset_minutes for each in sources if each.taken_at == when.taken_at), None)
    return About(
        taken_at=when.taken_at,
        taken_from=when.taken_from,
        taken_as=when.taken_as,
        offset_minutes=offset,
        lat=where.lat,
        lon=where.lon,
        **found,
    )


class NameStamp(NamedTuple):
    """The moment in a file's name, and what its clock shows; None: a day without a time."""

    moment: datetime
    clock: Literal["local", "utc"] | None

    @property
    def local(self) -> datetime | None:
        return self.moment if self.clock == "local" else None


def stamp_in_name(name: str) -> NameStamp | None:
    """The moment in a file's name: ``IMG_20190503_140000.jpg``, ``Screenshot 2024-03-01 at 9.22.33 PM``."""
    match = _NAME_STAMP.search(name)
    if match is None:
        day = _WHATSAPP.match(name)
        moment = parse_date(":".join(day.groups())) if day else None
        return NameStamp(moment, None) if moment else None
    hour = int(match["hour"])
    half = match["after"] or match["before"]
    if half and hour <= 12:
        hour = hour % 12 + (12 if re.fullmatch(_AFTERNOON, half, re.IGNORECASE) else 0)
    moment = parse_date(":".join((*match.group(1, 2, 3), str(hour), match["minute"], match["second"])))
    is_utc = match["zulu"] or name.casefold().startswith(_UTC_NAMES)
    return NameStamp(moment, "utc" if is_utc else "local") if moment else None


def from_name(name: str) -> About:
    """Return the moment in the name of a file."""
    stamp = stamp_in_name(name)
    return About(taken_at=stamp.moment, taken_from="name") if stamp else About()


def clean_text(value: Any, *, limit: int = _MAX_CHARS) -> str | None:
    """Return any value as one line of text; None when nothing readable is left."""
    if not isinstance(value, str):
        return None
    shown = value[:limit].partition("\0")[0].encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in shown).split()) or None


def clean_names(values: Any, *, limit: int = _MAX_NAME) -> tuple[str, ...]:
    """Keywords, people and albums: short, each once."""
    found = (clean_text(value, limit=limit) for value in list(values)[: 4 * _MAX_NAMES])
    return tuple(dict.fromkeys(name for name in found if name))[:_MAX_NAMES]


def clean_keywords(values: Any, *, separator: str = "|") -> tuple[str, ...]:
    """Keywords, each once: of a hierarchy (``Places|France|Lille``) the last part, and then its parents."""
    paths = [path.split(separator) for value in list(values)[: 4 * _MAX_NAMES] if (path := clean_text(value))]
    paths = [path for path in paths if path[0].casefold() not in _INTERNAL]
    return clean_names([*(path[-1] for path in paths), *(part for path in paths for part in path[:-1])])


def is_written_by_program(text: str) -> bool:
    """Return whether a camera or a program wrote this where a caption belongs."""
    return bool(_WRITTEN_BY_PROGRAMS.fullmatch(text))


def stars(rating: Any, percent: Any = None) -> int | None:
    """A rating of 0 to 5, or -1 for rejected, from what programs write; None for anything else."""
    for value, scale in ((rating, 1.0), (percent, 25.0)):
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if scale != 1.0:
            number = 0.0 if number <= 0 else 1 + round(number / scale)
        if -1 <= number <= 5:
            return int(number)
    return None


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
