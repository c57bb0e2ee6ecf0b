"""An image's record as stores keep it: JSON, with further fields that only filters use."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from askpix.core.types import ImageRecord
from askpix.retrieval.stores.conditions import clean, iso, name_as_seen, path_key
from askpix.retrieval.stores.derived_fields import derive, on_globe
from askpix.retrieval.text.tokenize import squeeze


def to_payload(record: ImageRecord) -> dict[str, Any]:
    """The record as stored. Fields without a value are left out."""
    lat = record.lat
    lon = record.lon
    fields: dict[str, Any] = {
        "uri": _pack(record.uri),
        "kind": record.kind,
        "width": record.width,
        "height": record.height,
        "page": record.page,
        "time_s": _finite(record.time_s),
        "taken_at": iso(record.taken_at),
        "phash": record.phash,
        "camera": clean(record.camera) if record.camera else None,
        "camera_key": clean(record.camera).casefold() if record.camera else None,
        "lat": _finite(lat),
        "lon": _finite(lon),
        # The engine refuses points that are not on the globe, and damaged EXIF has them.
        "location": {"lat": lat, "lon": lon} if on_globe(lat, lon) else None,
    }
    fields |= path_fields(record) | tag_fields(record.tags)
    fields |= text_fields(record.text) | derived_fields(record)
    return {name: value for name, value in fields.items() if value is not None and value != []}


def derived_fields(record: ImageRecord) -> dict[str, Any]:
    """The fields that follow from the others; a store made before they were has none of them."""
    derived = derive(record)
    return {
        "tag_keys": tag_fields(record.tags)["tag_keys"],
        "paths": path_fields(record)["paths"],
        "written": [iso(datetime(day.year, day.month, day.day)) for day in derived.written],
        "written_years": list(derived.written_years),
        "years": list(derived.years),
        "months": list(derived.months),
        "weekdays": list(derived.weekdays),
        "hour": derived.hour,
        "amounts": list(derived.amounts),
        "country": derived.country,
        "city": derived.city,
        "region": derived.region,
    }


def path_fields(record: ImageRecord) -> dict[str, Any]:
    """The fields that say where an image lies."""
    return {
        "uri": _pack(record.uri),
        "copies": [_pack(uri) for uri in record.copies],
        "paths": [path_key(uri) for uri in (record.uri, *record.copies)],
    }


def tag_fields(tags: Sequence[str]) -> dict[str, Any]:
    """The fields of an image's tags."""
    return {"tags": [clean(tag) for tag in tags], "tag_keys": [name_as_seen(tag) for tag in tags]}


def text_fields(text: str) -> dict[str, Any]:
    """The fields of the words in an image."""
    text = clean(text)
    return {"text": text or None, "squeezed": squeeze(text) or None}


def to_record(point_id: str, payload: dict[str, Any]) -> ImageRecord:
    """The record of a stored payload."""
    taken = payload.get("taken_at")
    return ImageRecord(
        id=point_id,
        uri=_unpack(payload["uri"]),
        kind=payload["kind"],
        width=payload["width"],
        height=payload["height"],
        page=payload.get("page"),
        time_s=payload.get("time_s"),
        taken_at=datetime.fromisoformat(taken).replace(tzinfo=None) if taken else None,
        camera=payload.get("camera"),
        lat=payload.get("lat"),
        lon=payload.get("lon"),
        tags=tuple(payload.get("tags") or ()),
        copies=tuple(_unpack(uri) for uri in payload.get("copies") or ()),
        text=payload.get("text") or "",
        phash=payload.get("phash"),
    )


def _pack(uri: str) -> str:
    # No path holds NUL, so it can mark one whose bytes are not UTF-8 and that must come back as it was.
    return uri if clean(uri) == uri else "\0" + uri.encode("utf-8", "surrogatepass").hex()


def _unpack(stored: str) -> str:
    if not stored.startswith("\0"):
        return stored
    return bytes.fromhex(stored[1:]).decode("utf-8", "surrogatepass")


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
