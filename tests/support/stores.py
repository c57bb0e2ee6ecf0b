"""Every vector store, opened empty."""

import os
import threading
import uuid
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient

from askpix.retrieval.faiss.index import IndexKind
from askpix.retrieval.faiss.store import FaissStore
from askpix.retrieval.qdrant.connection import QdrantServer
from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore
from askpix.retrieval.qdrant.server_store import QdrantServerStore
from tests.support.fakes import MemoryStore
from tests.support.toy_store import ToyStore

DIM = 16


TEXT_DIM = 12


def open_qdrant_edge(folder: Path) -> QdrantEdgeStore:
    return QdrantEdgeStore.open(
        folder, model_id="colour", dim=DIM, text_model_id="word-bag", text_dim=TEXT_DIM
    )


def open_faiss(folder: Path, index: IndexKind | None = None) -> FaissStore:
    return FaissStore.open(
        folder, model_id="colour", dim=DIM, text_model_id="word-bag", text_dim=TEXT_DIM, index=index
    )


def open_toy(folder: Path) -> ToyStore:
    return ToyStore.open(folder, dim=DIM, text_dim=TEXT_DIM)


class SerialClient(QdrantClient):
    """Qdrant's local mode, which knows no threads and warns of what only a server does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(path=str(folder), force_disable_check_same_thread=True)
        self._turn = threading.RLock()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name == "close" or not callable(found):
            return found

        def in_turn(*args: Any, **options: Any) -> Any:
            with self._turn, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return found(*args, **options)

        return in_turn


def open_qdrant_local(folder: Path) -> QdrantServerStore:
    return QdrantServerStore.open(
        QdrantServer(SerialClient(folder), "local"),
        physical="askpix-test",
        tenant="one",
        model_id="colour",
        dim=DIM,
        text_model_id="word-bag",
        text_dim=TEXT_DIM,
    )


QDRANT_URL, _QDRANT_KEY = os.environ.get("ASKPIX_QDRANT_URL"), os.environ.get("ASKPIX_QDRANT_API_KEY")
"""A real server to test against. Read while tests are collected: none of them sees the variable."""
_ON_SERVER = f"askpix-tests-{uuid.uuid4().hex[:12]}-"


def connect_qdrant() -> QdrantServer:
    """A client of the real server."""
    assert QDRANT_URL
    return QdrantServer.connect(QDRANT_URL, api_key=_QDRANT_KEY)


def on_server(name: str) -> str:
    """The name of a physical collection that ``drop_from_server`` removes."""
    return _ON_SERVER + name


def drop_from_server() -> None:
    """Remove every physical collection that this process made on the real server."""
    server = connect_qdrant()
    for each in server.ask(lambda client: client.get_collections()).collections:
        if each.name.startswith(_ON_SERVER):
            server.ask(partial(QdrantClient.delete_collection, collection_name=each.name))
    server.close()


def open_qdrant_server(folder: Path) -> QdrantServerStore:
    """A tenant of its own for each folder, in a physical collection of the tests."""
    return QdrantServerStore.open(
        connect_qdrant(),
        physical=on_server("contract"),
        tenant=str(folder),
        model_id="colour",
        dim=DIM,
        text_model_id="word-bag",
        text_dim=TEXT_DIM,
    )


Opener = Callable[[Path], Any]


LASTING: dict[str, Opener] = {
    "qdrant_edge": open_qdrant_edge,
    "faiss": open_faiss,
    "plugin": open_toy,
    "qdrant_local": open_qdrant_local,
    **({"qdrant_server": open_qdrant_server} if QDRANT_URL else {}),
}
"""Stores whose content is there again when they are opened again."""


OPENERS: dict[str, Opener] = {"memory": lambda _: MemoryStore(dim=DIM, text_dim=TEXT_DIM), **LASTING}
