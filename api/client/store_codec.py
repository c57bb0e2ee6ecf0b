"""Codec of store requests and replies as JSON: arrays, records, filters and plain values.

Types are named by a tag and taken from a closed list: nothing that is decoded can run.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from askpix.core.types import ImageRecord, Where
from askpix.retrieval.stores.base import Scored
from askpix.retrieval.stores.facets import Count

_ARRAY = "ndarray"
_TUPLE = "tuple"
_SET = "set"
_TYPES: dict[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind) for kind in (ImageRecord, Where, Scored, Count)
}
_DTYPES = ("float32", "float16", "float64", "int64", "int32", "uint8", "bool")


def encode(value: Any) -> Any:
    """Encode a value in the form that ``json.dumps`` takes."""
    name = type(value).__name__
    if name in _TYPES:
        return {"$": name, "v": _TYPES[name].dump_python(value, mode="json")}
    if isinstance(value, np.ndarray):
        raw = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"$": _ARRAY, "dtype": str(value.dtype), "shape": list(value.shape), "v": raw}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, tuple):
        return {"$": _TUPLE, "v": [encode(item) for item in value]}
    if isinstance(value, Mapping):
        return {"$": "dict", "v": [[encode(k), encode(v)] for k, v in value.items()]}
    if isinstance(value, set | frozenset):
        return {"$": _SET, "v": [encode(item) for item in value]}
    if isinstance(value, Iterable):
        return [encode(item) for item in value]
    raise TypeError(f"a {name} does not go over the wire")


def decode(value: Any) -> Any:
    """The value that was encoded. Raises ``ValueError`` for what ``encode`` does not make."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get("$")
    inner = value.get("v")
    if tag in _TYPES:
        return _TYPES[tag].validate_python(inner)
    if tag == _ARRAY and value.get("dtype") in _DTYPES:
        flat = np.frombuffer(base64.b64decode(str(inner), validate=True), value["dtype"])
        return flat.reshape([int(side) for side in value["shape"]]).copy()
    if tag == _TUPLE and isinstance(inner, list):
        return tuple(decode(item) for item in inner)
    if tag == _SET and isinstance(inner, list):
        return {decode(item) for item in inner}
    if tag == "dict" and isinstance(inner, list):
        return {decode(k): decode(v) for k, v in inner}
    raise ValueError(f"{tag!r} is not a type that goes over the wire")
