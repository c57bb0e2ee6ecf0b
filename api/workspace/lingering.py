"""A workspace whose stores stay open between calls that follow each other closely, as in a program's loop."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from askpix.api.workspace.pooled import HeldWorkspace
from askpix.api.workspace.server_file import running_server
from askpix.api.workspace.stores import SharedStores
from askpix.retrieval.stores.folder import TURN_S, others_wait

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
        self._ended: threading.Event | None = None
        """Ends the thread that closes what is idle; None while there is none."""
        self._turns = 0
        _ALL.add(self)

    def server(self) -> Client | None:
        return SharedStores.server(self)

    def let_go(self, collection: Collection, which: str | None = None) -> None:
        super().let_go(collection, which)
        SharedStores.let_go(self, collection, which)

    @contextmanager
    def shared(self, key: tuple[str, str], open_it: Callable[[], Any]) -> Iterator[Any]:
        if running_server(self.settings.home) is not None:
            with SharedStores.shared(self, key, open_it) as store:
                yield store
            return
        try:
            with super().shared(key, open_it) as store:
                yield store
        finally:
            self._used_at = time.monotonic()
            self._close_later()
            if others_wait():
                self.close_unused()
                time.sleep(TURN_S)

    @contextmanager
    def taking_turns(self) -> Iterator[None]:
        """Close stores after each use until the end of the ``with``: a long run shares them fairly."""
        with self._change:
            self._turns += 1
        try:
            yield
        finally:
            with self._change:
                self._turns -= 1

    def close_unused(self, *, keep: int = 0) -> None:
        super().close_unused(keep=0 if self._turns else keep)

    def close(self) -> None:
        with self._change:
            ended = self._ended
            self._ended = None
        if ended is not None:
            ended.set()
        super().close()

    def forget(self) -> None:
        """Forget the parent's resources in a forked child: they stay the parent's, and its threads are not
        here.
        """
        self._inherited = self._stores  # kept: an object that dies would let go of the parent's lock
        self._stores = OrderedDict()
        self._change = threading.Condition()
        self._ended = None
        self._turns = 0

    def _close_later(self) -> None:
        with self._change:
            if self._ended is None:
                self._ended = threading.Event()
                threading.Thread(
                    target=self._close_when_idle, args=(self._ended,), name="close-idle", daemon=True
                ).start()

    def _close_when_idle(self, ended: threading.Event) -> None:
        while not ended.wait(IDLE_S):
            if time.monotonic() - self._used_at < IDLE_S:
                continue
            with self._change:
                if ended.is_set():
                    return
                if any(held.users for held in self._stores.values()):
                    continue
                self._ended = None
            self.close_unused()
            return


_ALL: WeakSet[LingeringWorkspace] = WeakSet()


def _before_fork() -> None:
    # An open store does not survive a fork: the child would wait for threads of the engine for ever.
    for each in [*_ALL]:
        each.close_unused()


def _in_child() -> None:
    for each in [*_ALL]:
        each.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_in_child)
