"""The stores of a workspace: which kind keeps a collection, and who opens it.

A store may be held by one process alone: it is opened by whoever needs it, or asked of the home's server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from askpix.api.workspace.server_file import running_server
from askpix.core.errors import AskpixError
from askpix.retrieval.stores.kinds import DEFAULT, STORES, PageSpec, StoreKind, VectorSpec, store_kind

if TYPE_CHECKING:
    from pathlib import Path

    from askpix.api.client.client import Client
    from askpix.api.settings import Settings
    from askpix.ingest.catalog.models import Collection

_LONGEST_NAME = 16
"""Characters that the catalog has for the name of a kind."""


def kind_of(settings: Settings, collection: Collection) -> StoreKind:
    """The kind of store that the collection was made in, whatever the setting says now."""
    if STORES.get(collection.store) is None:
        raise AskpixError(
            f"collection {collection.name!r} is kept in a {collection.store!r} store: update Askpix, or"
            f" install the package that adds it; there are: {', '.join(STORES.names())}"
        )
    return store_kind(collection.store, dict(settings))


def page_kind_of(settings: Settings, collection: Collection) -> StoreKind:
    """The kind of store for the collection's page matrices: its own where that can, else the default."""
    own = kind_of(settings, collection)
    return own if own.keeps_pages else store_kind(DEFAULT, dict(settings))


def vector_spec(settings: Settings, collection: Collection, folder: Path) -> VectorSpec:
    """Return the specification of the collection's own store; ``folder`` is that of its generation."""
    return VectorSpec(
        collection=collection.name,
        tenant=collection.id,
        generation=collection.generation,
        folder=folder,
        model_id=collection.embedder,
        dim=collection.dim,
        text_model_id=collection.text_embedder,
        text_dim=collection.text_dim,
        wait_s=settings.wait_s,
    )


def page_spec(
    settings: Settings, collection: Collection, folder: Path, model_id: str, dim: int, *, scope: str = ""
) -> PageSpec:
    """Return the specification of a store of page matrices."""
    return PageSpec(
        collection=collection.name,
        tenant=collection.id,
        folder=folder,
        model_id=model_id,
        dim=dim,
        scope=scope,
        wait_s=settings.wait_s,
    )


def check_store(settings: Settings) -> None:
    """The store of new collections can be had here and now; else what is missing, in one line."""
    if STORES.get(settings.store) is None:
        names = ", ".join(STORES.names())
        raise AskpixError(f"ASKPIX_STORE={settings.store!r} is not an installed store; there are: {names}")
    if len(settings.store) > _LONGEST_NAME:
        raise AskpixError(f"ASKPIX_STORE={settings.store!r} has more than {_LONGEST_NAME} characters")
    store_kind(settings.store, dict(settings)).check()


class SharedStores:
    """Stores of a workspace, shared by its users. A server does it another way
    (``askpix.api.workspace.pooled``).
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @contextmanager
    def shared(self, key: tuple[str, str], open_it: Callable[[], Any]) -> Iterator[Any]:
        """A store opened for the ``with``, or that of the server of this home.

        ``key`` is a collection's id and which of its stores.
        """
        if (server := self.server()) is not None:
            from askpix.api.client.remote_store import remote_store

            with server:
                yield remote_store(server, key)
            return
        with closing(open_it()) as store:
            yield store

    def server(self) -> Client | None:
        """The server that holds this home now, if one runs."""
        note = running_server(self.settings.home)
        if note is None:
            return None
        from askpix.api.client.client import Client

        return Client(note.url, key=note.token, timeout_s=600, retries=0)

    def let_go(self, collection: Collection, which: str | None = None) -> None:
        """Release folders that are about to be deleted: a server must not have them open (None: not any)."""
        if (server := self.server()) is not None:
            with server:
                server.call("POST", f"/v1/local/let-go/{collection.id}/{which or 'all'}")
