"""What a filter means for the fields that stores keep of a picture (``payload``), whatever the engine."""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from askpix.core.errors import BadQueryError
from askpix.core.types import Where
from askpix.retrieval.stores.derived_fields import on_globe, whole_years
from askpix.retrieval.stores.filter_check import city_ending, clean, iso, longest_literal
from askpix.retrieval.text.tokenize import squeeze


class Condition(NamedTuple):
    """What a field must hold; of several values one will do.

    ``in``: one of a sequence; ``holds``: a value with this text in it; ``moments``: from, until (exclusive);
    ``numbers``: least, greatest; bounds may be None; ``circle``: a ``Near``; ``absent``: no value.
    """

    field: str
    op: Literal["in", "holds", "moments", "numbers", "circle", "absent"]
    value: Any = None


Clause: TypeAlias = tuple[Condition, ...]
"""Conditions of which one must hold."""


def to_clauses(where: Where) -> list[Clause]:
    """Return what must hold, all of it: exact but for paths and phrases, which it narrows down for ``Check``.

    A place that is not on the globe is a ``BadQueryError``.
    """
    found: list[Condition] = []
    if where.kind:
        found.append(Condition("kind", "in", (clean(where.kind),)))
    found += [Condition("tags", "in", (clean(tag),)) for tag in where.tags]
    if where.camera:
        found.append(Condition("camera_key", "holds", clean(where.camera).casefold()))
    for field, wanted in (("months", where.months), ("weekdays", where.weekdays), ("hour", where.hours)):
        if wanted:
            found.append(Condition(field, "in", wanted))
    if where.amount_min is not None or where.amount_max is not None:
        found.append(Condition("amounts", "numbers", (where.amount_min, where.amount_max)))
    found += _place(where)
    if where.path and (piece := longest_literal(where.path)):
        found.append(Condition("paths", "holds", piece))
    for phrase in where.phrases:
        # Whatever ``has_phrase`` accepts holds the phrase's letters and digits in one piece.
        if piece := squeeze(clean(phrase)):
            found.append(Condition("squeezed", "holds", piece))
    clauses: list[Clause] = [(condition,) for condition in found]
    if where.after or where.before:
        clauses.append(_when(where.after, where.before))
    if where.spans:
        clauses.append(tuple(each for span in where.spans for each in _when(*span)))
    return clauses


def _place(where: Where) -> Iterator[Condition]:
    if where.country and (state := city_ending(where.country)):
        yield Condition("city", "holds", state)
    elif where.country:
        yield Condition("country", "in", (clean(where.country),))
    if near := where.near:
        if not (on_globe(near.lat, near.lon) and 0 <= near.km < math.inf):
            raise BadQueryError(
                f"no such place: {near.lat!r},{near.lon!r},{near.km!r}; latitude is -90 to 90, longitude -180"
                " to 180, and the distance in km not negative"
            )
        yield Condition("location", "circle", near)


def _when(after: datetime | None, before: datetime | None) -> Clause:
    """Taken then, or without a date of its own (the other fields are empty else) and written of then."""
    span = iso(after), iso(before)
    first, end = whole_years(after, before)
    years = first, None if end is None else end - 1
    return (
        Condition("taken_at", "moments", span),
        Condition("written", "moments", span),
        Condition("written_years", "numbers", years),
    )
