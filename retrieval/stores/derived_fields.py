"""Derived fields of a stored image, so that filters and facets need not parse its text and place again."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from askpix.core.types import ImageRecord
from askpix.retrieval.text.entities import amounts, dates, years
from askpix.retrieval.text.gazetteer import gazetteer


@dataclass(frozen=True, slots=True)
class Derived:
    """Follows from the record alone; what its fields mean for a filter is said at ``core.types.Where``."""

    written: tuple[date, ...] = ()
    """Dates of the text, where the image has no ``taken_at``."""
    written_years: tuple[int, ...] = ()
    """Years of the text, where it has neither."""
    years: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    weekdays: tuple[int, ...] = ()
    hour: int | None = None
    amounts: tuple[float, ...] = ()
    country: str | None = None
    city: str | None = None
    """"Lisbon, PT": the city it was taken in or nearest to, of that country."""
    region: str | None = None
    """The ISO 3166-2 code of the city's region."""


def derive(record: ImageRecord) -> Derived:
    """The derived fields of a record."""
    written = () if record.taken_at else dates(record.text)
    days = (record.taken_at.date(),) if record.taken_at else written
    city = country = region = None
    if on_globe(record.lat, record.lon):
        assert record.lat is not None and record.lon is not None
        nearest, country = gazetteer().locate(record.lat, record.lon)
        if nearest:
            city = nearest.label
            region = nearest.region or None
    return Derived(
        written=written,
        written_years=() if days else years(record.text),
        years=_distinct(day.year for day in days),
        months=_distinct(day.month for day in days),
        weekdays=_distinct(day.weekday() for day in days),
        hour=record.taken_at.hour if record.taken_at else None,
        amounts=amounts(record.text),
        country=country,
        city=city,
        region=region,
    )


def whole_years(after: datetime | None, before: datetime | None) -> tuple[int | None, int | None]:
    """The first year that a span holds all of, and the first after it that it does not; None is open."""
    first = last = None
    if after:
        first = after.year if after == datetime(after.year, 1, 1) else after.year + 1
    if before:
        last = before.year
    return first, last


def on_globe(lat: float | None, lon: float | None) -> bool:
    """Return whether these are valid degrees of a place; False for NaN and None."""
    return lat is not None and lon is not None and -90 <= lat <= 90 and -180 <= lon <= 180


def _distinct(numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(numbers))
