"""Facets: how many images there are by year, month, place, kind, camera and tag, to show beside hits."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from askpix.core.types import ImageRecord
from askpix.retrieval.stores.derived_fields import derive

Facet: TypeAlias = Literal["kinds", "years", "months", "countries", "cities", "cameras", "tags"]
FACETS: tuple[Facet, ...] = get_args(Facet)
MOST = 100
"""Values of one facet that are given at most: a page cannot show more."""


class Count(NamedTuple):
    """A value and how many images have it. Years and months (1-12) are numbers."""

    value: str | int
    pictures: int


Facets: TypeAlias = Mapping[Facet, tuple[Count, ...]]
"""Every facet, the most frequent value first, ties by value. An image counts once for each of its values."""


def facet_values(record: ImageRecord) -> dict[Facet, tuple[str | int, ...]]:
    """Return the facet values of an image."""
    derived = derive(record)
    return {
        "kinds": (record.kind,),
        "years": derived.years,
        "months": derived.months,
        "countries": (derived.country,) if derived.country else (),
        "cities": (derived.city,) if derived.city else (),
        "cameras": (record.camera,) if record.camera else (),
        "tags": tuple(dict.fromkeys(record.tags)),
    }


def count_records(records: Iterable[ImageRecord], *, limit: int = MOST) -> Facets:
    """The facets of some records: what a store without facets of its own gives."""
    counters: dict[Facet, Counter[str | int]] = {facet: Counter() for facet in FACETS}
    for record in records:
        for facet, values in facet_values(record).items():
            counters[facet].update(values)
    return {facet: in_order(counter.items(), limit=limit) for facet, counter in counters.items()}


def in_order(pairs: Iterable[tuple[Any, int]], *, limit: int = MOST) -> tuple[Count, ...]:
    """Counts as facets give them, the ``limit`` frequent ones."""
    counts = (Count(value, count) for value, count in pairs if count > 0)
    return tuple(sorted(counts, key=lambda each: (-each.pictures, str(each.value))))[:limit]
