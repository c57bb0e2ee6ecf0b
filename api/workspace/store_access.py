"""Stores that one process may hold: opened by whoever needs them, or asked of the server of the home."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from askpix.api.settings import Settings
from askpix.api.workspace.server_file import running_server

if TYPE_CHECKING:
    from askpix.api.client.client import Client
    from askpix.ingest.catalog.catalog import Collection


class SharedStores:
    """How a workspace comes by its stores. A server does it another way (``askpix.api.workspace.pooled``)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @contextmanager
    def shared(self, key: tuple[str, str], open_it: Callable[[], Any]) -> Iterator[Any]:
        """A store opened for the ``with``, or that of the server of this home.

        ``key`` is a collection's id and which of its stores.
        """
        if (server := self.server()) is not None:
            from askpix.api.client.remote_store import remote_store

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
        """Its folders are about to go: a server must not have them open (None: not any)."""
        if (server := self.server()) is not None:
            server.call("POST", f"/v1/local/let-go/{collection.id}/{which or 'all'}")
