"""Images of a collection sorted into years, months, places, cameras: how many there are of each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time

from askpix.core.types import ImageRecord
from askpix.generation.questions.aggregate_patterns import By
from askpix.retrieval.classification.membership import Member
from askpix.retrieval.stores.derived_fields import Derived, derive

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_IN_ORDER: tuple[By, ...] = ("year", "month", "calendar month", "day", "weekday")


@dataclass(frozen=True, slots=True)
class Groups:
    """``counts`` in the order they are shown: times ascending, the rest most first."""

    counts: Mapping[str, int]
    of: Mapping[str, tuple[str, ...]]
    """The values of each image, by its id; an image counts once for each."""
    without: int
    """Images of which it is not known."""


def group(members: Sequence[Member], by: By) -> Groups:
    """Count images by one property."""
    of = {each.record.id: values(each.record, by) for each in members}
    counts = Counter(value for found in of.values() for value in found)
    rows = sorted(counts.items(), key=lambda row: row[0] if by in _IN_ORDER else (-row[1], row[0]))
    return Groups(dict(rows), of, sum(not found for found in of.values()))


def values(record: ImageRecord, by: By) -> tuple[str, ...]:
    """Return the values that an image counts for. One without a camera date has the dates written in it."""
    known = derive(record)
    match by:
        case "country":
            found = [known.country] if known.country else []
        case "city":
            found = [known.city] if known.city else []
        case "camera":
            found = [record.camera] if record.camera else []
        case "kind":
            found = [record.kind]
        case "tag":
            found = list(record.tags)
        case "year":
            found = [str(year) for year in known.years or known.written_years[:1]]
        case _:
            found = [_part(day, by) for day in _days(record, known)]
    return tuple(dict.fromkeys(found))


def moment(record: ImageRecord) -> tuple[datetime | None, bool]:
    """Return the moment of an image, and whether that is only written in it; None when nobody knows."""
    if record.taken_at is not None:
        return record.taken_at, False
    written = derive(record).written
    return (datetime.combine(written[0], time()), True) if written else (None, False)


def group_name(by: By, value: str) -> str:
    """A value as it is shown."""
    if by == "weekday":
        return _WEEKDAYS[int(value)]
    if by == "calendar month":
        return _MONTHS[int(value) - 1]
    if by == "month":
        year, _, month = value.partition("-")
        return f"{_MONTHS[int(month) - 1]} {year}"
    return value


def _days(record: ImageRecord, known: Derived) -> Sequence[datetime]:
    if record.taken_at is not None:
        return [record.taken_at]
    return [datetime.combine(day, time()) for day in known.written]


def _part(day: datetime, by: By) -> str:
    if by == "weekday":
        return str(day.weekday())
    if by == "calendar month":
        return f"{day.month:02d}"
    return f"{day:%Y-%m}" if by == "month" else f"{day:%Y-%m-%d}"
