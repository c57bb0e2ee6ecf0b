"""Collections: create, list, show, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from askpix.api.routes import TheService, Who, problems
from askpix.api.routes.views import collection_out
from askpix.api.schemas.requests import CollectionIn
from askpix.api.schemas.responses import CollectionOut, CollectionsOut, DeletedOut, FacetsOut
from askpix.api.security.problems import ProblemError
from askpix.api.services.collections import facets_json

router = APIRouter(prefix="/v1/collections", tags=["collections"])
_SAFE_EMBEDDERS = (None, "auto", "mini")


@router.post("", status_code=201, response_model=CollectionOut, responses=problems(409))
def create(body: CollectionIn, service: TheService, who: Who, response: Response) -> Any:
    """A new, empty collection."""
    who.need("write")
    who.need_name(body.name)
    if body.embedder not in (*_SAFE_EMBEDDERS, service.settings.embedder):
        who.need("admin")  # other ids name files of the server
    if service.catalog.get_collection(body.name) is not None:
        raise ProblemError(409, f"there is a collection {body.name!r} already")
    made = service.workspace.create_collection(body.name, body.embedder)
    response.headers["Location"] = f"/v1/collections/{made.name}"
    return collection_out(service, made)


@router.get("", response_model=CollectionsOut, responses=problems())
def list_all(
    service: TheService,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> Any:
    """The collections of this key, by name."""
    mine = who.collections(service.catalog)
    page = [collection_out(service, each) for each in mine[offset : offset + limit]]
    return {"collections": page, "total": len(mine), "limit": limit, "offset": offset}


@router.get("/{name}", response_model=CollectionOut, responses=problems(404))
def show(name: str, service: TheService, who: Who) -> Any:
    """One collection in detail."""
    collection = who.collection(service.catalog, name)
    return {
        **collection_out(service, collection),
        "disk_bytes": service.workspace.disk_bytes(collection),
    }


@router.get("/{name}/facets", response_model=FacetsOut, responses=problems(404))
def facets(name: str, service: TheService, who: Who) -> Any:
    """How many pictures there are by year, month, place, kind, camera and tag; the most frequent first."""
    return facets_json(service.workspace, who.collection(service.catalog, name))


@router.delete("/{name}", response_model=DeletedOut, responses=problems(404))
def delete(name: str, service: TheService, who: Who) -> Any:
    """A collection's index and what was uploaded into it; files in folders stay."""
    who.need("write")
    collection = who.collection(service.catalog, name)
    return {"deleted": collection.name, "images": service.delete_collection(collection)}
