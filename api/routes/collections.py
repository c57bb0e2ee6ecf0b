"""Collections: create, list, show, delete."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from askpix.api.routes import TheService, Who, problems
from askpix.api.schemas.requests import CollectionIn
from askpix.api.schemas.results import CollectionInfo, CollectionPage, Deleted, FacetCount
from askpix.api.security.problems import ProblemError
from askpix.api.services.collections import describe, facet_counts

router = APIRouter(prefix="/v1/collections", tags=["collections"])
_SAFE_EMBEDDERS = (None, "auto", "mini")


@router.post("", status_code=201, responses=problems(409))
def create(body: CollectionIn, service: TheService, who: Who, response: Response) -> CollectionInfo:
    """A new, empty collection."""
    who.need("write")
    who.need_name(body.name)
    if body.embedder not in (*_SAFE_EMBEDDERS, service.settings.embedder):
        who.need("admin")  # other ids name files of the server
    if service.catalog.get_collection(body.name) is not None:
        raise ProblemError(409, f"there is a collection {body.name!r} already")
    made = service.workspace.create_collection(body.name, body.embedder)
    response.headers["Location"] = f"/v1/collections/{made.name}"
    return describe(service.workspace, made)


@router.get("", responses=problems())
def list_all(
    service: TheService,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> CollectionPage:
    """The collections of this key, by name."""
    mine = who.collections(service.catalog)
    page = tuple(describe(service.workspace, each) for each in mine[offset : offset + limit])
    return CollectionPage(collections=page, total=len(mine), limit=limit, offset=offset)


@router.get("/{name}", responses=problems(404))
def show(name: str, service: TheService, who: Who) -> CollectionInfo:
    """Show one collection in detail."""
    return describe(service.workspace, who.collection(service.catalog, name), disk=True)


@router.get("/{name}/facets", responses=problems(404))
def facets(name: str, service: TheService, who: Who) -> dict[str, tuple[FacetCount, ...]]:
    """Count images by year, month, place, kind, camera and tag; the most frequent first."""
    return facet_counts(service.workspace, who.collection(service.catalog, name))


@router.delete("/{name}", responses=problems(404))
def delete(name: str, service: TheService, who: Who) -> Deleted:
    """A collection's index and what was uploaded into it; files in folders stay."""
    who.need("write")
    collection = who.collection(service.catalog, name)
    return Deleted(collection.name, service.delete_collection(collection))
