"""Which store keeps a collection's vectors: recorded when it is made, opened by what was recorded."""

from __future__ import annotations

import hashlib
import logging
import shutil
from typing import TYPE_CHECKING, Any

from askpix.core.errors import AskpixError, ModelUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from askpix.api.settings import Settings
    from askpix.ingest.catalog.models import Collection
    from askpix.retrieval.qdrant.connection import ClusterShape, QdrantServer
    from askpix.retrieval.qdrant.server_pages import QdrantServerPages
    from askpix.retrieval.qdrant.server_store import QdrantServerStore
    from askpix.retrieval.stores.base import VectorStore

_log = logging.getLogger(__name__)


def open_vectors(settings: Settings, collection: Collection, folder: Path) -> VectorStore:
    """The collection's own store, whatever the setting says now. ``folder`` is for those that keep files."""
    made_with: dict[str, Any] = {
        "model_id": collection.embedder,
        "dim": collection.dim,
        "text_model_id": collection.text_embedder,
        "text_dim": collection.text_dim,
    }
    _log.info("opening the %s store of collection %r", collection.store, collection.name)
    if collection.store == "edge":
        from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore

        return QdrantEdgeStore.open(folder, wait_s=settings.wait_s, **made_with)
    if collection.store == "faiss":
        from askpix.retrieval.faiss.store import FaissStore

        index = None if settings.faiss_index == "auto" else settings.faiss_index
        return FaissStore.open(folder, wait_s=settings.wait_s, index=index, **made_with)
    if collection.store == "qdrant":
        return open_server(settings, collection)
    raise AskpixError(
        f"collection {collection.name!r} is kept in a {collection.store!r} store: update Askpix"
    )


def open_server(settings: Settings, collection: Collection) -> QdrantServerStore:
    """The collection's pictures on the Qdrant server of the settings."""
    if not settings.qdrant_url:
        raise AskpixError(
            f"collection {collection.name!r} is kept on a Qdrant server; set ASKPIX_QDRANT_URL to its address"
        )
    server = _server(settings)
    from askpix.retrieval.qdrant.server_store import QdrantServerStore

    return QdrantServerStore.open(
        server,
        physical=physical_name(collection),
        tenant=collection.id,
        model_id=collection.embedder,
        dim=collection.dim,
        text_model_id=collection.text_embedder,
        text_dim=collection.text_dim,
        shape=_shape(settings),
    )


def open_server_pages(settings: Settings, collection: Collection) -> QdrantServerPages:
    """The matrices of the collection's pages on the Qdrant server of the settings."""
    assert collection.page_embedder is not None and collection.page_dim is not None
    if not settings.qdrant_url:
        raise AskpixError(
            f"collection {collection.name!r} is kept on a Qdrant server; set ASKPIX_QDRANT_URL to its address"
        )
    server = _server(settings)
    from askpix.retrieval.qdrant.server_pages import QdrantServerPages

    made_with = (collection.page_embedder, collection.page_dim)
    digest = hashlib.blake2b(repr(made_with).encode(), digest_size=6).hexdigest()
    return QdrantServerPages.open(
        server,
        physical=f"askpix-pages-{digest}",
        tenant=collection.id,
        model_id=collection.page_embedder,
        dim=collection.page_dim,
        shape=_shape(settings),
    )


def _shape(settings: Settings) -> ClusterShape:
    from askpix.retrieval.qdrant.connection import ClusterShape

    return ClusterShape(
        shards=settings.qdrant_shards,
        replicas=settings.qdrant_replicas,
        write_replicas=settings.qdrant_write_replicas,
        quantization=settings.qdrant_quantization,
    )


def _server(settings: Settings) -> QdrantServer:
    try:
        from askpix.retrieval.qdrant.connection import QdrantServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "qdrant_client":
            raise
        raise ModelUnavailableError(
            "the client of Qdrant servers is not installed; add it with: pip install 'askpix[qdrant]'"
        ) from error
    return QdrantServer.connect(
        settings.qdrant_url or "", api_key=settings.qdrant_api_key, timeout_s=settings.qdrant_timeout_s
    )


def physical_name(collection: Collection) -> str:
    """The server's collection for all of ours with the same models; apart from other generations, whose
    pictures have the same ids."""
    made_with = (collection.embedder, collection.dim, collection.text_embedder, collection.text_dim)
    digest = hashlib.blake2b(repr(made_with).encode(), digest_size=6).hexdigest()
    return f"askpix-{digest}-{collection.generation}"


def drop_vectors(settings: Settings, collection: Collection, folder: Path) -> None:
    """Remove the vectors; nobody may have them open in a folder."""
    if collection.store == "qdrant":
        with open_server(settings, collection) as store:
            store.delete_all()
    shutil.rmtree(folder, ignore_errors=True)


def check_store(settings: Settings) -> None:
    """The store of new collections can be had here and now; else what is missing, in one line."""
    if settings.store == "faiss":
        import askpix.retrieval.faiss.index  # noqa: F401 - says which extra is missing
    elif settings.store == "qdrant":
        if not settings.qdrant_url:
            raise AskpixError(
                "ASKPIX_STORE=qdrant needs ASKPIX_QDRANT_URL, the address of the server: http://HOST:6333"
            )
        server = _server(settings)
        try:
            server.check_version()
        finally:
            server.close()
