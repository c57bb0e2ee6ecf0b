"""Search, as the command does it."""

import base64
import binascii
from dataclasses import dataclass

from fastapi import APIRouter, Response
from PIL import Image

from askpix.api.routes import TheService, Who, problems
from askpix.api.routes.views import answered, result_out
from askpix.api.schemas.requests import GoodIn, SearchIn
from askpix.api.schemas.results import SearchResult
from askpix.api.service.service import Service
from askpix.api.services.search import search as find
from askpix.core import types as core
from askpix.core.errors import BadImageError, BadQueryError, NotFoundError
from askpix.core.imaging.decode import open_image
from askpix.ingest.catalog.models import Collection

router = APIRouter(prefix="/v1/collections", tags=["search"])
_MIN_SIDE = 512
"""A query image is decoded no larger than embedders look at."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Number of pairs of words and image that were noted."""

    noted: int


@router.post("/{name}/search", response_model=SearchResult, responses=problems(404))
def search(name: str, body: SearchIn, service: TheService, who: Who) -> Response:
    """Search by words, an image, a filter, or all of them. `matched` is false when nothing fits."""
    collection = who.collection(service.catalog, name)
    if body.rerank not in (None, "none", "pages", service.settings.rerank):
        who.need("admin")  # a name may be a folder or an address of the server's
    return answered(result_out(service, who, run_search(service, collection, body)))


@router.post("/{name}/good", responses=problems(404))
def good(name: str, body: GoodIn, service: TheService, who: Who) -> Noted:
    """Note the images that a search looked for. `collections adapt` learns from it; it never leaves the
    server, and is not kept where searches are not remembered.
    """
    who.need("write")
    collection = who.collection(service.catalog, name)
    for image_id in body.images:
        if service.image(who, image_id)[0].id != collection.id:
            raise NotFoundError(f"no image {image_id!r}")
    return Noted(service.workspace.good_hits(collection).add(body.text, body.images))


def run_search(service: Service, collection: Collection, body: SearchIn) -> core.SearchResult:
    """The result for a checked request. Raises what the retriever raises."""
    sent = body.image is not None and body.image.startswith("data:")
    return find(
        service.workspace,
        collection,
        body.text,
        where=body.where.where(),
        image=image_of(service, body.image) if sent and body.image else None,
        image_id=None if sent else body.image,
        off=body.off,
        top_k=body.top_k,
        offset=body.offset,
        mode=body.mode,
        show_all=body.all,
        collapse=body.collapse,
        diverse=body.diverse,
        rerank=body.rerank,
    )


def image_of(service: Service, uri: str) -> Image.Image:
    """The image in a data URI. Raises ``BadQueryError`` and ``BadImageError``."""
    return open_image(bytes_of(service, uri), limits=service.workspace.limits, min_side=_MIN_SIDE).image


def bytes_of(service: Service, uri: str) -> bytes:
    """Return the bytes in a data URI, not decoded. Raises ``BadQueryError`` and ``BadImageError``."""
    head, comma, data = uri.partition(",")
    if not comma or not head.endswith(";base64"):
        raise BadQueryError("an image comes as 'data:image/jpeg;base64,...' or as the id of an image")
    if len(data) > service.settings.max_image_bytes * 4 // 3 + 4:
        raise BadImageError(f"the image is over the limit of {service.settings.max_image_bytes} bytes")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadQueryError(f"the image's base64 is damaged: {error}") from error
