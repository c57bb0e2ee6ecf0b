"""Nouns into JSON for the service: the command line's shapes, and of uploads the name instead of the path."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from askpix.api.jobs.queue import Job
from askpix.api.schemas.serialize import answer_json, result_json
from askpix.api.security.principal import Principal
from askpix.api.service.service import Service
from askpix.api.services.collections import describe
from askpix.core.types import Answer, ImageRecord, SearchResult
from askpix.ingest.catalog.models import Collection

_PLACE = re.compile(r"(#(?:page|t)=)")
"""What follows a path where a page or a moment is meant."""


def result_out(service: Service, principal: Principal, result: SearchResult) -> dict[str, Any]:
    """A search result."""
    body = result_json(result)
    _preview(service, body["hits"])
    _show(service, principal, body["hits"])
    return body


def answer_out(service: Service, principal: Principal, answer: Answer) -> dict[str, Any]:
    """A checked answer."""
    body = answer_json(answer)
    _preview(service, body["hits"])
    _show(service, principal, body["hits"])
    _show(service, principal, body["citations"])
    return body


def image_out(
    service: Service, principal: Principal, collection: Collection, record: ImageRecord, *, sha256: str
) -> dict[str, Any]:
    """A picture's record."""
    body = asdict(record)
    body["taken_at"] = record.taken_at and record.taken_at.isoformat()
    body |= {"collection": collection.name, "sha256": sha256, "tags": list(record.tags)}
    body["copies"] = [uri if principal.local else service.uploads.shown(uri) for uri in record.copies]
    _show(service, principal, [body])
    return body


def job_out(service: Service, principal: Principal, job: Job) -> dict[str, Any]:
    """A job, without where its files lie."""
    result = json.loads(json.dumps(job.result, default=str)) if job.result else None
    if result and not principal.local:
        for file in result.get("files", ()):
            file.pop("path", None)
            _show(service, principal, file.get("near", ()))
        for key in ("failed", "skipped"):
            _show(service, principal, result.get(key, ()), field="path")
        for stage in ("text", "sheets", "pages"):
            _show(service, principal, (result.get(stage) or {}).get("failed", ()), field="path")
    return {
        "id": job.id,
        "kind": job.kind,
        "collection": job.collection,
        "state": job.state,
        "progress": job.progress,
        "result": result,
        "error": job.error,
        "retry_at": job.retry_at and job.retry_at.isoformat(),
        "created_at": job.created_at.isoformat(),
        "updated_at": job.updated_at.isoformat(),
    }


def collection_out(service: Service, collection: Collection) -> dict[str, Any]:
    """A collection and what is in it."""
    return describe(service.workspace, collection)


def event(name: str, data: Any) -> bytes:
    """A server-sent event. JSON has no line breaks of its own, so one ``data:`` line does."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=True)}\n\n".encode()


def _preview(service: Service, hits: Sequence[dict[str, Any]]) -> None:
    found = service.catalog.timeline.previews([hit["id"] for hit in hits])
    for hit in hits:
        hit["preview"] = found.get(hit["id"])


def _show(service: Service, principal: Principal, items: Iterable[Any], *, field: str = "uri") -> None:
    if principal.local:
        return
    for item in items:
        if isinstance(item, Mapping) and isinstance(item.get(field), str):
            uri, *place = _PLACE.split(item[field], maxsplit=1)
            item[field] = service.uploads.shown(uri) + "".join(place)  # type: ignore[index]
