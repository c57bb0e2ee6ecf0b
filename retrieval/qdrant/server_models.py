"""Filters and indexes of the embedded engine as a Qdrant server takes them: one description, two engines.

The two libraries name the same things alike. What is translated here is read off the objects, so a filter
that ``qdrant_filter`` learns goes to the server too; a condition that is not known here is a ``TypeError``.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from askpix.retrieval.qdrant.filters import INDEXES

TENANT = "tenant"
"""The payload field that says which collection a picture belongs to."""

_COLD = models.Memory.COLD
_SUBSTRING_FIELDS = ("camera_key", "paths", "squeezed", "city")


def _substring(piece: str) -> Any:
    return models.MatchSubstring(substring=piece)


def to_server_filter(
    tenant: str,
    narrowed: edge.Filter | None,
    *more: Any,
    substring: Callable[[str], Any] = _substring,
) -> models.Filter:
    """The filter within one tenant; ``more``: further conditions of the server's kind; ``substring``: how its
    version says that a value holds some characters."""
    mine = models.FieldCondition(key=TENANT, match=models.MatchValue(value=tenant))
    given = _filter(narrowed, substring) if narrowed else models.Filter()
    rest: Any = given.must or []
    return models.Filter(must=[mine, *more, *rest], should=given.should, must_not=given.must_not)


def _filter(given: edge.Filter, substring: Callable[[str], Any]) -> models.Filter:
    if given.min_should:
        raise TypeError("min_should is not translated")
    parts: dict[str, Any] = {
        name: [_condition(each, substring) for each in getattr(given, name)]
        for name in ("must", "should", "must_not")
        if getattr(given, name)
    }
    return models.Filter(**parts)


def _condition(given: Any, substring: Callable[[str], Any]) -> Any:
    if isinstance(given, edge.Filter):
        return _filter(given, substring)
    if isinstance(given, edge.IsEmptyCondition):
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=given.key))
    if not isinstance(given, edge.FieldCondition):
        raise TypeError(f"{type(given).__name__} is not translated")
    if given.match is not None:
        return models.FieldCondition(key=given.key, match=_match(given.match, substring))
    if given.range is not None:
        return models.FieldCondition(key=given.key, range=_range(given.range))
    if given.geo_radius is not None:
        centre = given.geo_radius.center
        circle = models.GeoRadius(
            center=models.GeoPoint(lon=centre.lon, lat=centre.lat), radius=given.geo_radius.radius
        )
        return models.FieldCondition(key=given.key, geo_radius=circle)
    raise TypeError(f"the condition on {given.key!r} is not translated")


def _match(given: Any, substring: Callable[[str], Any]) -> Any:
    if isinstance(given, edge.MatchValue):
        return models.MatchValue(value=given.value)
    if isinstance(given, edge.MatchAny):
        values: Any = given.value
        return models.MatchAny(any=list(values))
    if isinstance(given, edge.MatchSubstring):
        return substring(given.substring)
    raise TypeError(f"{type(given).__name__} is not translated")


def _range(given: Any) -> Any:
    bounds = {name: getattr(given, name) for name in ("gt", "gte", "lt", "lte")}
    if isinstance(given, edge.RangeFloat):
        return models.Range(**bounds)
    if isinstance(given, edge.RangeDateTime):
        return models.DatetimeRange(**{name: _moment(value) for name, value in bounds.items()})
    raise TypeError(f"{type(given).__name__} is not translated")


def _moment(written: str | None) -> datetime | None:
    """The engine gives its moments back as ``2019-07-14 23:59:59.123456 UTC``."""
    return datetime.fromisoformat(written.removesuffix(" UTC") + "+00:00") if written else None


def server_indexes() -> dict[str, Any]:
    """Payload indexes by field, kept on the disk. Only the tenant's takes part in the graph."""
    made: dict[str, Any] = {
        TENANT: models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True, memory=_COLD)
    }
    for field, given in INDEXES.items():
        made[field] = _index(field, given)
    return made


def _index(field: str, given: Any) -> Any:
    if isinstance(given, edge.KeywordIndexParams):
        # With the prefix option a substring is looked for among the values rather than in every payload.
        return models.KeywordIndexParams(
            type=models.KeywordIndexType.KEYWORD,
            memory=_COLD,
            enable_hnsw=False,
            prefix=True if field in _SUBSTRING_FIELDS else None,
        )
    if isinstance(given, edge.IntegerIndexParams):
        return models.IntegerIndexParams(
            type=models.IntegerIndexType.INTEGER,
            lookup=given.lookup,
            range=given.range,
            memory=_COLD,
            enable_hnsw=False,
        )
    kinds: dict[Any, Any] = {
        edge.FloatIndexParams: (models.FloatIndexParams, models.FloatIndexType.FLOAT),
        edge.DatetimeIndexParams: (models.DatetimeIndexParams, models.DatetimeIndexType.DATETIME),
        edge.GeoIndexParams: (models.GeoIndexParams, models.GeoIndexType.GEO),
    }
    made, name = kinds[type(given)]
    return made(type=name, memory=_COLD, enable_hnsw=False)


def server_sparse(given: edge.SparseVector) -> models.SparseVector:
    """A sparse vector for the wire."""
    return models.SparseVector(indices=given.indices, values=given.values)
