"""Results as a principal may see them: of uploads the name instead of the path, and with previews."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from fastapi import Response

from askpix.api.jobs import queue
from askpix.api.schemas.results import (
    Answer,
    Hit,
    Image,
    Job,
    SearchResult,
    answer_result,
    search_result,
    to_json,
    to_json_bytes,
)
from askpix.api.security.principal import Principal
from askpix.api.service.service import Service
from askpix.core import types as core
from askpix.ingest.catalog.models import Collection

_PLACE = re.compile(r"(#(?:page|t)=)")
"""Fragment that names a page or a moment of a file."""


def result_out(service: Service, principal: Principal, found: core.SearchResult) -> SearchResult:
    """A search result."""
    result = search_result(found)
    return replace(result, hits=_hits(service, principal, result.hits))


def answer_out(service: Service, principal: Principal, answer: core.Answer) -> Answer:
    """A checked answer."""
    result = answer_result(answer)
    citations = tuple(replace(each, uri=shown(service, principal, each.uri)) for each in result.citations)
    return replace(result, hits=_hits(service, principal, result.hits), citations=citations)


def image_out(
    service: Service, principal: Principal, collection: Collection, record: core.ImageRecord, *, sha256: str
) -> Image:
    """An image's record."""
    fields = asdict(record)
    fields["uri"] = shown(service, principal, record.uri)
    fields["copies"] = tuple(shown(service, principal, uri) for uri in record.copies)
    return Image(**fields, collection=collection.name, sha256=sha256)


def job_out(service: Service, principal: Principal, job: queue.Job) -> Job:
    """A job, without where its files lie."""
    result = to_json(dict(job.result)) if job.result else None
    if result and not principal.local:
        for file in result.get("files", ()):
            file.pop("path", None)
            _hide(service, principal, file.get("near", ()), "uri")
        for key in ("failed", "skipped"):
            _hide(service, principal, result.get(key, ()), "path")
        for stage in ("text", "sheets", "pages"):
            _hide(service, principal, (result.get(stage) or {}).get("failed", ()), "path")
    return Job(
        id=job.id,
        kind=job.kind,
        collection=job.collection,
        state=job.state,
        progress=job.progress,
        result=result,
        error=job.error,
        retry_at=job.retry_at,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )


def shown(service: Service, principal: Principal, uri: str) -> str:
    """A uri as the principal may see it: that of an upload has no path of the server."""
    if principal.local:
        return uri
    path, *place = _PLACE.split(uri, maxsplit=1)
    return service.uploads.shown(path) + "".join(place)


def answered(result: object) -> Response:
    """A result as the response, not checked once more: a search of ten hits costs 0.1 ms so, not 1."""
    return Response(to_json_bytes(result), media_type="application/json")


def event(name: str, data: object) -> bytes:
    """A server-sent event. JSON has no line breaks of its own, so one ``data:`` line does."""
    return f"event: {name}\ndata: {json.dumps(to_json(data), ensure_ascii=True)}\n\n".encode()


def _hits(service: Service, principal: Principal, hits: Sequence[Hit]) -> tuple[Hit, ...]:
    found = service.catalog.timeline.previews([hit.id for hit in hits])
    return tuple(
        replace(hit, uri=shown(service, principal, hit.uri), preview=found.get(hit.id)) for hit in hits
    )


def _hide(service: Service, principal: Principal, items: Iterable[Any], field: str) -> None:
    for item in items:
        if isinstance(item, Mapping) and isinstance(item.get(field), str):
            item[field] = shown(service, principal, item[field])  # type: ignore[index]
