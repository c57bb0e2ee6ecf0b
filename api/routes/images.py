"""Images: records, files, thumbnails; and their end."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

from askpix.api.jobs.uploads import safe_name
from askpix.api.routes import TheService, Who, problems
from askpix.api.routes.views import image_out
from askpix.api.schemas.results import Deleted, Image, ImagePage
from askpix.api.service.images import (
    choose_format,
    file_date,
    file_of,
    media_type,
    motion_of,
    snap,
    thumbnail,
)
from askpix.core.errors import NotFoundError
from askpix.core.types import join_lines

router = APIRouter(tags=["images"])
_GUARD = {
    # An image opened in a tab of its own runs nothing and reaches nothing.
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_BINARY: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        "description": "The bytes.",
    },
    206: {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}, "description": "A part."},
    304: {"description": "It is what the client has."},
}


@router.get("/v1/collections/{name}/images", responses=problems(404))
def list_all(  # noqa: PLR0917 - parts of the query
    name: str,
    service: TheService,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    order: Literal["steady", "newest"] = "steady",
) -> ImagePage:
    """A collection's images, in an order that nothing added changes, or newest first."""
    collection = who.collection(service.catalog, name)
    if order == "newest":
        ids: Sequence[str] = service.catalog.timeline.wall(collection).ids[offset : offset + limit]
    else:
        ids = service.catalog.lookup.page(collection, limit=limit, offset=offset)
    found = service.catalog.timeline.records(collection, ids)
    images = tuple(image_out(service, who, collection, record, sha256=sha) for record, sha in found)
    return ImagePage(
        images=images, total=service.catalog.count_images(collection), limit=limit, offset=offset
    )


@router.get("/v1/images/{image_id}", responses=problems(404))
def show(image_id: str, service: TheService, who: Who) -> Image:
    """Show what is known of an image, and the text read in it."""
    collection, record, sha256 = service.image(who, image_id)
    lines = service.catalog.lines([record.id]).get(record.id, ())
    about = service.catalog.notes.abouts([record.id]).get(record.id)
    return replace(
        image_out(service, who, collection, record, sha256=sha256),
        lines=lines,
        text=join_lines(lines),
        about=about.to_json() if about else {},
        # Nothing is sorted or filtered by it: copying, downloading and unpacking set it.
        file_date=None if record.taken_at else file_date(service, collection, record),
        motion=motion_of(service, collection, record, sha256) is not None,
        caption=service.catalog.notes.captions([record.id]).get(record.id),
    )


@router.get("/v1/images/{image_id}/siblings", responses=problems(404))
def siblings(image_id: str, service: TheService, who: Who) -> ImagePage:
    """The pages of the same document, or the moments of the same video, in order; the first 1,000 of them."""
    collection, _, sha256 = service.image(who, image_id)
    ids = service.catalog.lookup.ids_of(collection, sha256)
    found = service.catalog.timeline.records(collection, ids[:1000])
    images = tuple(image_out(service, who, collection, record, sha256=sha) for record, sha in found)
    return ImagePage(images=images, total=len(ids), limit=1000, offset=0)


@router.get(
    "/v1/images/{image_id}/file", response_class=FileResponse, responses={**_BINARY, **problems(404, 416)}
)
def file(image_id: str, request: Request, service: TheService, who: Who) -> Response:
    """The very bytes that were indexed (of a page, the whole document); ranges are answered."""
    collection, record, sha256 = service.image(who, image_id)
    etag = f'"{sha256}"'
    found = file_of(service, collection, record, sha256)
    if _has(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    name = safe_name(record.uri)
    kind = media_type(found)
    headers = {"ETag": etag, "Cache-Control": "private, max-age=3600", **_GUARD}
    if isinstance(found, bytes):
        headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(name)}"
        return Response(found, media_type=kind, headers=headers)
    return FileResponse(
        found, media_type=kind, filename=name, content_disposition_type="inline", headers=headers
    )


@router.get(
    "/v1/images/{image_id}/motion", response_class=FileResponse, responses={**_BINARY, **problems(404, 416)}
)
def motion(image_id: str, service: TheService, who: Who) -> Response:
    """The short film of a live photo; ranges are answered."""
    collection, record, sha256 = service.image(who, image_id)
    found = motion_of(service, collection, record, sha256)
    if found is None:
        raise NotFoundError(f"no film lies beside {safe_name(record.uri)!r}: it is no live photo")
    headers = {"Cache-Control": "private, max-age=3600", **_GUARD}
    return FileResponse(found, media_type=media_type(found), headers=headers)


@router.get(
    "/v1/images/{image_id}/thumbnail",
    response_class=FileResponse,
    responses={**_BINARY, **problems(404, 416)},
)
def small(
    image_id: str,
    request: Request,
    service: TheService,
    who: Who,
    size: Annotated[int, Query(ge=1, le=4096, description="Of the longer side, in pixels.")] = 256,
) -> Response:
    """The image small, as AVIF, WebP or JPEG by `Accept`; at least `size` pixels where it has them."""
    collection, record, sha256 = service.image(who, image_id)
    kind = choose_format(request.headers.get("accept", ""))
    wanted = snap(size)
    etag = f'"{record.id}-{wanted}-{kind[6:]}"'
    headers = {"ETag": etag, "Cache-Control": "private, max-age=86400", "Vary": "Accept", **_GUARD}
    if _has(request, etag):
        return Response(status_code=304, headers=headers)
    path = thumbnail(service, collection, record, sha256, size=wanted, kind=kind)
    return FileResponse(path, media_type=kind, headers=headers)


@router.delete("/v1/images/{image_id}", responses=problems(404))
def delete(image_id: str, service: TheService, who: Who) -> Deleted:
    """Out of the index. An uploaded file is deleted; one in a folder stays, and may be indexed again."""
    who.need("write")
    collection, record, sha256 = service.image(who, image_id)
    service.delete_image(collection, record, sha256)
    return Deleted(record.id, 1)


def _has(request: Request, etag: str) -> bool:
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or etag in [each.strip().removeprefix("W/") for each in given.split(",")]
