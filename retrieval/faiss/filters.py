"""Conditions on fields as SQL over the tables of ``records``."""

import json
import math
import sqlite3
from typing import Any

from askpix.core.types import Where
from askpix.retrieval.stores.conditions import Condition, to_clauses

_EARTH_KM = 6371.0088
"""Mean radius (IUGG), as everywhere."""
_COLUMNS = {"kind", "camera_key", "taken_at", "hour", "country", "paths", "squeezed"}
"""Fields of ``points``; the others stand in ``facts``."""


def add_functions(database: sqlite3.Connection) -> None:
    """Add the function that the conditions call: ``distance_km(lat, lon, lat, lon)``."""
    database.create_function("distance_km", 4, _distance_km, deterministic=True)


def to_sql(where: Where) -> tuple[str, list[Any]]:
    """A condition on a row of ``points`` and its values: as exact as ``to_clauses``."""
    parts: list[str] = []
    values: list[Any] = []
    for any_of, negative in to_clauses(where):
        written = [_sql(each) for each in any_of]
        either = " OR ".join(part for part, *_ in written)
        # A field without a value does not hold what is denied: NULL counts as false.
        parts.append(f"NOT ifnull({either}, 0)" if negative else f"({either})")
        values += [value for _, *each in written for value in each]
    return " AND ".join(parts) or "1", values


def _sql(condition: Condition) -> tuple[Any, ...]:
    """A condition, and its values."""
    field, op, value = condition
    if op == "circle":
        degrees = math.degrees(value.km / _EARTH_KM) + 1e-6
        least = value.lat - degrees
        greatest = value.lat + degrees
        near = "lat BETWEEN ? AND ? AND distance_km(lat, lon, ?, ?) <= ?"
        return near, least, greatest, value.lat, value.lon, value.km
    name = field if field in _COLUMNS else "value"
    test: tuple[Any, ...]
    if op == "in" and len(value) == 1:
        test = f"{name} = ?", value[0]
    elif op == "in":
        test = f"{name} IN (SELECT value FROM json_each(?))", json.dumps(value)  # noqa: S608 - our names
    elif op == "holds":
        test = f"instr({name}, ?) > 0", value
    elif op == "moments":
        test = f"({name} >= ? AND {name} < ?)", value[0] or "", value[1] or "~"
    else:
        low, high = value
        test = (
            f"{name} BETWEEN ? AND ?",
            -math.inf if low is None else low,
            math.inf if high is None else high,
        )
    if field in _COLUMNS:
        return test
    return f"n IN (SELECT n FROM facts WHERE field = '{field}' AND {test[0]})", *test[1:]  # noqa: S608


def _distance_km(lat: float | None, lon: float | None, other_lat: float, other_lon: float) -> float | None:
    """Haversine; None for an image without a position."""
    if lat is None or lon is None:
        return None
    phi = math.radians(lat)
    other = math.radians(other_lat)
    half = math.sin((other - phi) / 2) ** 2
    half += math.cos(phi) * math.cos(other) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(half)))
