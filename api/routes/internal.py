"""Internal routes for the other commands of this home, which have its token: the stores that this process
holds.
"""

from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path

from askpix.api.client.store_codec import decode, encode
from askpix.api.routes import TheService, Who
from askpix.api.security.principal import Principal
from askpix.api.security.problems import ProblemError
from askpix.api.service.service import Service
from askpix.api.workspace.page_index import open_pages
from askpix.api.workspace.pooled import HeldWorkspace
from askpix.api.workspace.region_index import open_sheets
from askpix.core.errors import BadQueryError
from askpix.ingest.catalog.models import Collection
from askpix.retrieval.stores.base import VectorStore
from askpix.retrieval.stores.pages import PageStore

router = APIRouter(prefix="/v1/local", include_in_schema=False)
_MEMBERS = {name for kind in (VectorStore, PageStore) for name in dir(kind) if not name.startswith("_")} - {
    "close"
}
Which = Annotated[str, Path(pattern=r"^((sheets-)?\d{1,9}|pages|all)$")]


@router.post("/stores/{collection_id}/{which}/{method}")
def call(  # noqa: PLR0917 - parts of the path
    collection_id: str,
    which: Which,
    method: str,
    body: Annotated[dict[str, Any], Body()],
    service: TheService,
    who: Who,
) -> Any:
    """Call a method of a store, or return the value of its property."""
    _only_local(who)
    if method not in _MEMBERS:
        raise ProblemError(404, "Not Found")
    try:
        args = decode(body["args"])
        options = {name: decode(value) for name, value in body["options"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadQueryError(f"the call cannot be read: {error}") from error
    with ExitStack() as stack:
        collection = _collection(service, collection_id, which)
        opened: Any
        if which == "pages":
            opened = open_pages(service.workspace, collection)
        elif which.startswith("sheets-"):
            opened = open_sheets(service.workspace, collection)
        else:
            opened = service.workspace.open_store(collection)
        store = stack.enter_context(opened)
        member = getattr(store, method)
        return {"result": encode(member(*args, **options) if callable(member) else member)}


@router.post("/let-go/{collection_id}/{which}")
def let_go(collection_id: str, which: Which, service: TheService, who: Who) -> Any:
    """Close stores whose folders another command is about to remove."""
    _only_local(who)
    assert isinstance(service.workspace, HeldWorkspace)
    service.workspace.close_stores(collection_id, None if which == "all" else which)
    return {}


def _only_local(who: Principal) -> None:
    if not who.local:
        raise ProblemError(404, "Not Found")


def _collection(service: Service, collection_id: str, which: str) -> Collection:
    """Return the collection with the generation that is asked for: in use, being built, or kept."""
    for collection in service.catalog.list_collections():
        if collection.id == collection_id:
            generations = service.catalog.generations
            every = (
                collection,
                *generations.others(collection, "building"),
                *generations.others(collection, "replaced"),
            )
            for each in every:
                if which == "pages" or which.removeprefix("sheets-") == str(each.generation):
                    return each
    raise ProblemError(404, "no such store")
