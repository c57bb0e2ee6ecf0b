"""Images into a collection: multipart files, or URLs to fetch. Either is acknowledged with a job."""

from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from askpix.api.jobs.multipart import FilesOnDisk
from askpix.api.jobs.uploads import Incoming
from askpix.api.routes import TheService, Who, problems
from askpix.api.schemas.requests import UrlsIn
from askpix.api.schemas.results import Upload, UploadedFile
from askpix.api.security.problems import ProblemError
from askpix.api.service.service import Service
from askpix.core.errors import NotFoundError
from askpix.ingest.catalog.models import Collection
from askpix.ingest.sources.fetch_budget import FetchError, FetchLimits
from askpix.ingest.sources.http_fetch import check_url

router = APIRouter(prefix="/v1/collections", tags=["images"])
_MAX_JSON = 8 * 2**20
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
            "application/json": {
                "schema": UrlsIn.model_json_schema(),
                "example": {"urls": ["https://example.org/receipt.jpg"]},
            },
        },
    }
}


@router.post(
    "/{name}/images",
    status_code=202,
    responses=problems(404, 415, 507),
    openapi_extra=_BODY,
)
async def upload(name: str, request: Request, response: Response, service: TheService, who: Who) -> Upload:
    """Send files (`files`) or `{"urls": [...]}`. What is acknowledged is on disk and survives a crash.

    `duplicate` says that these very bytes are there already; the job tells near duplicates when it is done.
    """
    who.need("write")
    collection = await anyio.to_thread.run_sync(who.collection, service.catalog, name)
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() == "application/json":
        urls = _urls(await _json(request), service)
        job = await anyio.to_thread.run_sync(service.enqueue, collection, "urls", {"urls": urls})
        files: list[dict[str, Any]] = []
    else:
        parser = FilesOnDisk(
            kind,
            service.uploads,
            max_file_bytes=service.settings.max_image_bytes,
            max_bytes=service.uploads.max_bytes if who.max_upload_bytes is None else who.max_upload_bytes,
        )
        try:
            incoming = await parser.read(request.stream())
            job, files = await anyio.to_thread.run_sync(_keep, service, collection, incoming)
        except BaseException:
            parser.discard()
            raise
    url = f"/v1/jobs/{job.id}"
    response.headers["Location"] = url
    shown = (UploadedFile(**{k: v for k, v in file.items() if k != "path"}) for file in files)
    return Upload(job=job.id, url=url, files=tuple(shown))


def _keep(
    service: Service, collection: Collection, incoming: list[Incoming]
) -> tuple[Any, list[dict[str, Any]]]:
    """Files under their names and the job that indexes them, durable on return."""
    files: list[dict[str, Any]] = []
    seen: set[str] = set()
    for file in incoming:
        upload = file.commit(service.uploads.folder(collection.id))
        there = bool(service.catalog.lookup.ids_of(collection, upload.sha256)) or upload.sha256 in seen
        seen.add(upload.sha256)
        files.append(
            {
                "name": upload.name,
                "path": str(upload.path),
                "sha256": upload.sha256,
                "bytes": upload.size,
                "duplicate": there,
            }
        )
    job = service.enqueue(collection, "files", {"files": files})
    now = service.catalog.get_collection(collection.name)
    if now is None or now.id != collection.id:
        # It was deleted while the files came, perhaps after its uploads were.
        service.jobs.cancel(job.id)
        service.uploads.delete_all(collection.id)
        raise NotFoundError(f"collection {collection.name!r} was deleted meanwhile")
    return job, files


async def _json(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_JSON:
            raise ProblemError(413, f"the list of URLs is over the limit of {_MAX_JSON} bytes")
    return bytes(body)


def _urls(body: bytes, service: Service) -> list[str]:
    try:
        urls = list(dict.fromkeys(UrlsIn.model_validate_json(body).urls))
    except ValidationError as error:
        first = error.errors()[0]
        raise ProblemError(422, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from error
    if len(urls) > service.settings.max_upload_files:
        raise ProblemError(413, f"more than {service.settings.max_upload_files} URLs in one upload")
    for url in urls:
        try:
            check_url(url, FetchLimits())
        except FetchError as error:
            raise ProblemError(422, str(error)) from error
    return urls
