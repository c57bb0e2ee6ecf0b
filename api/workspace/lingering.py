"""A workspace whose stores stay open between calls that follow each other closely, as in a program's loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from askpix.api.workspace.pooled import HeldWorkspace
from askpix.api.workspace.stores import SharedStores

if TYPE_CHECKING:
    from askpix.api.client.client import Client
    from askpix.api.settings import Settings
    from askpix.ingest.catalog.catalog import Collection

IDLE_S = 0.5
"""Seconds after which a store that nobody uses is closed, so that other processes get their turn."""


class LingeringWorkspace(HeldWorkspace):
    """Thread-safe. Where a server has the home, stores are asked of it, as in any other command."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._used_at = time.monotonic()
        self._closing: threading.Thread | None = None
        self._ended = threading.Event()

    def server(self) -> Client | None:
        return SharedStores.server(self)

    def let_go(self, collection: Collection, which: str | None = None) -> None:
        super().let_go(collection, which)
        SharedStores.let_go(self, collection, which)

    @contextmanager
    def shared(self, key: tuple[str, str], open_it: Callable[[], Any]) -> Iterator[Any]:
        if self.server() is not None:
            with SharedStores.shared(self, key, open_it) as store:
                yield store
            return
        try:
            with super().shared(key, open_it) as store:
                yield store
        finally:
            self._used_at = time.monotonic()
            self._close_later()

    @contextmanager
    def taking_turns(self) -> Iterator[None]:
        """Until the end of the ``with`` stores are closed after each use: a long run shares them fairly."""
        most_open, self._most_open = self._most_open, 0
        try:
            yield
        finally:
            self._most_open = most_open

    def close(self) -> None:
        self._ended.set()
        super().close()

    def _close_later(self) -> None:
        with self._change:
            if self._closing is None and not self._ended.is_set():
                self._closing = threading.Thread(target=self._close_when_idle, name="close-idle", daemon=True)
                self._closing.start()

    def _close_when_idle(self) -> None:
        while not self._ended.wait(IDLE_S):
            if time.monotonic() - self._used_at < IDLE_S:
                continue
            with self._change:
                if any(held.users for held in self._stores.values()):
                    continue
                self._closing = None
            self.close_unused()
            return
