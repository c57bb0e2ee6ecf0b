"""Conditions on fields as a Qdrant filter, for the engine in this process and for a server."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import qdrant_edge as edge

from askpix.core.types import Near
from askpix.retrieval.stores.conditions import Clause, Condition

_COLD = edge.Memory.Cold
INDEXES: dict[str, Any] = {
    "kind": edge.KeywordIndexParams(memory=_COLD),
    "tags": edge.KeywordIndexParams(memory=_COLD),
    "tag_keys": edge.KeywordIndexParams(memory=_COLD),
    "camera": edge.KeywordIndexParams(memory=_COLD),
    "camera_key": edge.KeywordIndexParams(memory=_COLD),
    "paths": edge.KeywordIndexParams(memory=_COLD),
    "squeezed": edge.KeywordIndexParams(memory=_COLD),
    "taken_at": edge.DatetimeIndexParams(memory=_COLD),
    "location": edge.GeoIndexParams(memory=_COLD),
    "written": edge.DatetimeIndexParams(memory=_COLD),
    "written_years": edge.IntegerIndexParams(lookup=False, range=True, memory=_COLD),
    "amounts": edge.FloatIndexParams(memory=_COLD),
    "years": edge.IntegerIndexParams(lookup=True, range=False, memory=_COLD),
    "months": edge.IntegerIndexParams(lookup=True, range=False, memory=_COLD),
    "weekdays": edge.IntegerIndexParams(lookup=True, range=False, memory=_COLD),
    "hour": edge.IntegerIndexParams(lookup=True, range=False, memory=_COLD),
    "country": edge.KeywordIndexParams(memory=_COLD),
    "city": edge.KeywordIndexParams(memory=_COLD),
    "region": edge.KeywordIndexParams(memory=_COLD),
}
"""Payload fields with an index. Mapped rather than loaded: as fast, and half the time to open 100k images.
A substring is found about five times faster in an indexed field."""


class Dialect(NamedTuple):
    """Constructors by which one of Qdrant's two libraries writes what both of them know."""

    all_or_any: Callable[..., Any]
    field: Callable[..., Any]
    equals: Callable[[Any], Any]
    one_of: Callable[[list[Any]], Any]
    holds: Callable[[str], Any]
    moments: Callable[..., Any]
    numbers: Callable[..., Any]
    circle: Callable[[Near], Any]
    absent: Callable[[str], Any]


EDGE = Dialect(
    edge.Filter,
    edge.FieldCondition,
    edge.MatchValue,
    edge.MatchAny,
    edge.MatchSubstring,
    edge.RangeDateTime,
    edge.RangeFloat,
    lambda near: edge.GeoRadius(edge.GeoPoint(near.lon, near.lat), near.km * 1000.0),
    edge.IsEmptyCondition,
)


def to_conditions(clauses: Iterable[Clause], dialect: Dialect) -> list[Any]:
    """Return the conditions that must hold, all of them."""
    found: list[Any] = []
    for any_of, negative in clauses:
        written = [_written(each, dialect) for each in any_of]
        if negative:
            found.append(dialect.all_or_any(must_not=written))
        else:
            found.append(written[0] if len(written) == 1 else dialect.all_or_any(should=written))
    return found


def edge_filter(clauses: Iterable[Clause]) -> edge.Filter | None:
    """Return the filter for the engine in this process; None without a clause."""
    must = to_conditions(clauses, EDGE)
    return edge.Filter(must=must) if must else None


def _written(condition: Condition, dialect: Dialect) -> Any:
    field, op, value = condition
    if op == "absent":
        return dialect.absent(field)
    if op == "in" and len(value) == 1:  # a list of one is slower
        return dialect.field(key=field, match=dialect.equals(value[0]))
    if op == "in":
        return dialect.field(key=field, match=dialect.one_of(list(value)))
    if op == "holds":
        return dialect.field(key=field, match=dialect.holds(value))
    if op == "circle":
        return dialect.field(key=field, geo_radius=dialect.circle(value))
    if op == "moments":
        return dialect.field(key=field, range=dialect.moments(gte=value[0], lt=value[1]))
    return dialect.field(key=field, range=dialect.numbers(gte=value[0], lte=value[1]))
