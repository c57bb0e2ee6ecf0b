"""A workspace whose stores stay open: what the server works with, for as long as it runs.

The vector engine lets one process have a store, and opening a large one takes seconds: here it is opened at
the first use and shared by every thread until the server stops, or the collection goes.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import NotFoundError, StoreUnavailableError

if TYPE_CHECKING:
    from askpix.api.client.client import Client
    from askpix.ingest.catalog.catalog import Collection
    from askpix.retrieval.late_interaction.page_search import PageSubQuery
    from askpix.retrieval.search.retriever import Retriever
    from askpix.retrieval.stores.base import VectorStore

_MAX_OPEN = 64
"""Stores open at once; beyond it those that nobody uses are closed, longest unused first."""
_RETRIEVER_FOR_S = 1.0
"""Seconds for which a retriever may use a calibration that does not know the newest images."""


class _Held:
    """An open store and who is using it."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.opening = threading.Lock()
        self.stack = ExitStack()
        self.store: Any = None

    @property
    def users(self) -> int:
        return len(self.threads)


class HeldWorkspace(Workspace):
    """Thread-safe. ``close`` at the end, when nobody uses it any more."""

    def __init__(self, settings: Settings, *, most_open: int = _MAX_OPEN) -> None:
        super().__init__(settings)
        self._most_open = most_open
        self._stores: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._gone: set[str] = set()
        self._change = threading.Condition()
        self._retrievers: dict[tuple[Collection, int], tuple[float, Retriever]] = {}

    def retriever_on(
        self, collection: Collection, store: VectorStore, *, page_sub_query: PageSubQuery | None = None
    ) -> Retriever:
        # What it is calibrated by lies in files: under load they are not read again for every query.
        key = (collection, id(store))
        now = time.monotonic()
        kept = self._retrievers.get(key)
        if page_sub_query is None and kept is not None and now - kept[0] < _RETRIEVER_FOR_S:
            return kept[1]
        made = super().retriever_on(collection, store, page_sub_query=page_sub_query)
        if page_sub_query is None:
            if len(self._retrievers) > self._most_open:
                self._retrievers.clear()
            self._retrievers[key] = (now, made)
        return made

    # --- stores --------------------------------------------------------------------------------------------

    @contextmanager
    def shared(self, key: tuple[str, str], open_it: Callable[[], Any]) -> Iterator[Any]:
        held = self._take(key)
        try:
            with held.opening:
                if held.store is None:
                    held.store = held.stack.enter_context(closing(open_it()))
            yield held.store
        finally:
            self._give(key, held)
            self.close_unused(keep=self._most_open)

    def server(self) -> Client | None:
        return None  # we are it

    def let_go(self, collection: Collection, which: str | None = None) -> None:
        self.close_stores(collection.id, which)

    def close_stores(self, collection_id: str, which: str | None = None) -> None:
        """Let go of a collection's stores, once nobody uses them. All of them: it is gone."""
        gone = {collection_id} if which is None else set()
        self._close(lambda key: key[0] == collection_id and which in (None, key[1]), gone)

    def close(self) -> None:
        """Let go of every store and of the catalog."""
        self._close(lambda key: True, set())
        self.catalog.close()

    def _close(self, chosen: Callable[[tuple[str, str]], bool], gone: set[str]) -> None:
        with self._change:
            keys = [key for key in self._stores if chosen(key)]
            if any(threading.get_ident() in self._stores[key].threads for key in keys):
                raise StoreUnavailableError(  # it would wait for itself
                    "the index is in use by the call that this one is made in; make it when that has returned"
                )
            self._gone |= gone
            idle = [self._stores.pop(key) for key in keys]
            self._change.wait_for(lambda: all(held.users == 0 for held in idle))
        self._retrievers.clear()
        for held in idle:
            held.stack.close()

    def _take(self, key: tuple[str, str]) -> _Held:
        with self._change:
            if key[0] in self._gone:
                raise NotFoundError("the collection was deleted meanwhile")
            held = self._stores.setdefault(key, _Held())
            self._stores.move_to_end(key)
            held.threads.append(threading.get_ident())
            return held

    def _give(self, key: tuple[str, str], held: _Held) -> None:
        with self._change:
            mine = threading.get_ident()
            held.threads.remove(mine if mine in held.threads else held.threads[0])  # generators move
            if held.store is None and held.users == 0 and self._stores.get(key) is held:
                del self._stores[key]  # it could not be opened
            self._change.notify_all()

    def close_unused(self, *, keep: int = 0) -> None:
        """Close stores that nobody uses, longest unused first, until no more than ``keep`` are open."""
        with self._change:
            unused = [key for key, held in self._stores.items() if held.users == 0]
            closing = [self._stores.pop(key) for key in unused[: max(0, len(self._stores) - keep)]]
            if closing:
                self._retrievers.clear()
            for held in closing:
                held.stack.close()
