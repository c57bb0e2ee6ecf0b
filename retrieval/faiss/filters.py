"""``Where`` as SQL over the tables of ``faiss_rows``; paths and phrases are narrowed down for ``Check``."""

import json
import math
import sqlite3
from datetime import datetime
from typing import Any

from askpix.core.errors import BadQueryError
from askpix.core.types import Where
from askpix.retrieval.stores.derived_fields import on_globe, whole_years
from askpix.retrieval.stores.filter_check import city_ending, clean, iso, longest_literal
from askpix.retrieval.text.tokenize import squeeze

_EARTH_KM = 6371.0088
"""Mean radius (IUGG), as everywhere."""


def add_functions(database: sqlite3.Connection) -> None:
    """What the conditions call: ``distance_km(lat, lon, lat, lon)``."""
    database.create_function("distance_km", 4, _distance_km, deterministic=True)


def to_sql(where: Where) -> tuple[str, list[Any]]:
    """A condition on a row of ``points`` and its values: exact for all but paths and phrases.

    A place that is not on the globe is a ``BadQueryError``.
    """
    parts: list[str] = []
    values: list[Any] = []

    def add(part: str, *more: Any) -> None:
        parts.append(part)
        values.extend(more)

    if where.kind:
        add("kind = ?", clean(where.kind))
    for tag in where.tags:
        add(_FACT.format("= 'tags'", "= ?"), clean(tag))
    if where.camera:
        add("instr(camera_key, ?) > 0", clean(where.camera).casefold())
    if where.after or where.before:
        add(*_when(where.after, where.before))
    if where.spans:
        each = [_when(start, end) for start, end in where.spans]
        add(
            f"({' OR '.join(part for part, *_ in each)})", *(value for _, *values in each for value in values)
        )
    for field, wanted in (("months", where.months), ("weekdays", where.weekdays)):
        if wanted:
            add(_FACT.format(f"= '{field}'", "IN (SELECT value FROM json_each(?))"), json.dumps(wanted))
    if where.hours:
        add("hour IN (SELECT value FROM json_each(?))", json.dumps(where.hours))
    if where.amount_min is not None or where.amount_max is not None:
        low = -math.inf if where.amount_min is None else where.amount_min
        high = math.inf if where.amount_max is None else where.amount_max
        add(_FACT.format("= 'amounts'", "BETWEEN ? AND ?"), low, high)
    _place(where, add)
    if where.path and (piece := longest_literal(where.path)):
        add("instr(paths, ?) > 0", piece)
    for phrase in where.phrases:
        if piece := squeeze(clean(phrase)):
            add("instr(squeezed, ?) > 0", piece)
    return " AND ".join(parts) or "1", values


_FACT = "n IN (SELECT n FROM facts WHERE field {} AND value {})"


def _when(from_: datetime | None, until: datetime | None) -> tuple[Any, ...]:
    """Taken then, or without a date of its own and written of then."""
    after, before = iso(from_) or "", iso(until) or "~"
    first, last = whole_years(from_, until)
    written = "n IN (SELECT n FROM facts WHERE field = '{}' AND value >= ? AND value < ?)"
    fields = [written.format(field) for field in ("written", "written_years")]
    return (
        f"((taken_at >= ? AND taken_at < ?) OR {' OR '.join(fields)})",
        after,
        before,
        after,
        before,
        -math.inf if first is None else first,
        math.inf if last is None else last,
    )


def _place(where: Where, add: Any) -> None:
    if where.country and (state := city_ending(where.country)):
        add("n IN (SELECT n FROM facts WHERE field = 'city' AND substr(value, -length(?)) = ?)", state, state)
    elif where.country:
        add("country = ?", clean(where.country))
    near = where.near
    if near is None:
        return
    if not (on_globe(near.lat, near.lon) and 0 <= near.km < math.inf):
        raise BadQueryError(
            f"no such place: {near.lat!r},{near.lon!r},{near.km!r}; latitude is -90 to 90, longitude -180 to"
            " 180, and the distance in km not negative"
        )
    degrees = math.degrees(near.km / _EARTH_KM) + 1e-6
    add("lat BETWEEN ? AND ?", near.lat - degrees, near.lat + degrees)
    add("distance_km(lat, lon, ?, ?) <= ?", near.lat, near.lon, near.km)


def _distance_km(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Haversine."""
    phi, other = math.radians(lat), math.radians(other_lat)
    half = math.sin((other - phi) / 2) ** 2
    half += math.cos(phi) * math.cos(other) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(half)))
