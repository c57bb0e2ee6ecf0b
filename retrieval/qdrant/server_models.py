"""Filters, indexes and sparse vectors as a Qdrant server takes them."""

from collections.abc import Callable, Iterable
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from askpix.retrieval.qdrant.filters import INDEXES, Dialect, to_conditions
from askpix.retrieval.stores.conditions import Clause

TENANT = "tenant"
"""The payload field that says which collection an image belongs to."""

_COLD = models.Memory.COLD
_SUBSTRING_FIELDS = ("camera_key", "paths", "squeezed", "city")


_SERVER = Dialect(
    models.Filter,
    models.FieldCondition,
    lambda value: models.MatchValue(value=value),
    lambda values: models.MatchAny(any=values),
    lambda piece: models.MatchSubstring(substring=piece),
    models.DatetimeRange,
    models.Range,
    lambda near: models.GeoRadius(
        center=models.GeoPoint(lon=near.lon, lat=near.lat), radius=near.km * 1000.0
    ),
    lambda field: models.IsEmptyCondition(is_empty=models.PayloadField(key=field)),
)


def to_server_filter(
    tenant: str,
    clauses: Iterable[Clause] = (),
    *more: Any,
    substring: Callable[[str], Any] = _SERVER.holds,
) -> models.Filter:
    """The filter within one tenant; ``more``: further conditions of the server's kind; ``substring``: how its
    version says that a value holds some characters."""
    mine = models.FieldCondition(key=TENANT, match=models.MatchValue(value=tenant))
    rest = to_conditions(clauses, _SERVER._replace(holds=substring))
    return models.Filter(must=[mine, *more, *rest])


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
