"""The kinds ``edge`` (Qdrant's engine in this process) and ``qdrant`` (a server or cluster)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from askpix.core.errors import AskpixError, ModelUnavailableError
from askpix.retrieval.stores.kinds import PageSpec, StoreKind, VectorSpec

if TYPE_CHECKING:
    from askpix.retrieval.qdrant.connection import ClusterShape, QdrantServer
    from askpix.retrieval.qdrant.edge_pages import QdrantEdgePages
    from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore
    from askpix.retrieval.qdrant.server_pages import QdrantServerPages
    from askpix.retrieval.qdrant.server_store import QdrantServerStore


class EdgeKind(StoreKind):
    """Qdrant's engine in this process, in a folder."""

    keeps_pages = True

    def open(self, spec: VectorSpec, /) -> QdrantEdgeStore:
        from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore

        return QdrantEdgeStore.open(
            spec.folder,
            model_id=spec.model_id,
            dim=spec.dim,
            text_model_id=spec.text_model_id,
            text_dim=spec.text_dim,
            wait_s=spec.wait_s,
        )

    def open_pages(self, spec: PageSpec, /) -> QdrantEdgePages:
        from askpix.retrieval.qdrant.edge_pages import QdrantEdgePages

        return QdrantEdgePages.open(spec.folder, model_id=spec.model_id, dim=spec.dim, wait_s=spec.wait_s)


@dataclass(frozen=True, kw_only=True)
class ServerKind(StoreKind):
    """A Qdrant server or cluster; its settings are those of ``ASKPIX_QDRANT_...``."""

    shared = True
    keeps_pages = True

    url: str | None = None
    api_key: str | None = None
    timeout_s: float = 30.0
    shards: int = 1
    replicas: int = 1
    write_replicas: int = 1
    quantization: Literal["turbo", "scalar", "binary", "product", "none"] = "turbo"

    def check(self) -> None:
        """Raise where no address is set, the client is not installed, or the server cannot be used."""
        if not self.url:
            raise AskpixError(
                "ASKPIX_STORE=qdrant needs ASKPIX_QDRANT_URL, the address of the server: http://HOST:6333"
            )
        server = self._connect()
        try:
            server.check_version()
        finally:
            server.close()

    def open(self, spec: VectorSpec, /) -> QdrantServerStore:
        """Open the collection's images in the server's collection for its models."""
        server = self._server(spec.collection)
        from askpix.retrieval.qdrant.server_store import QdrantServerStore

        return QdrantServerStore.open(
            server,
            physical=physical_name(spec),
            tenant=spec.tenant,
            model_id=spec.model_id,
            dim=spec.dim,
            text_model_id=spec.text_model_id,
            text_dim=spec.text_dim,
            shape=self._shape(),
        )

    def drop(self, spec: VectorSpec, /) -> None:
        """Remove the collection's images from the server."""
        with self.open(spec) as store:
            store.delete_all()
        super().drop(spec)

    def open_pages(self, spec: PageSpec, /) -> QdrantServerPages:
        """Open the collection's pages in the server's collection for its page embedder."""
        server = self._server(spec.collection)
        from askpix.retrieval.qdrant.server_pages import QdrantServerPages

        model_id = spec.scope + spec.model_id
        return QdrantServerPages.open(
            server,
            physical=f"askpix-pages-{_digest(model_id, spec.dim)}",
            tenant=spec.tenant,
            model_id=model_id,
            dim=spec.dim,
            shape=self._shape(),
        )

    def drop_pages(self, spec: PageSpec, /) -> None:
        """Remove the collection's pages from the server."""
        with self.open_pages(spec) as pages:
            pages.delete_all()
        super().drop_pages(spec)

    def _server(self, collection: str) -> QdrantServer:
        if not self.url:
            raise AskpixError(
                f"collection {collection!r} is kept on a Qdrant server; set ASKPIX_QDRANT_URL to its address"
            )
        return self._connect()

    def _connect(self) -> QdrantServer:
        try:
            from askpix.retrieval.qdrant.connection import QdrantServer
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "qdrant_client":
                raise
            raise ModelUnavailableError(
                "the client of Qdrant servers is not installed; add it with: pip install 'askpix[qdrant]'"
            ) from error
        return QdrantServer.connect(self.url or "", api_key=self.api_key, timeout_s=self.timeout_s)

    def _shape(self) -> ClusterShape:
        from askpix.retrieval.qdrant.connection import ClusterShape

        return ClusterShape(self.shards, self.replicas, self.write_replicas, self.quantization)


def physical_name(spec: VectorSpec) -> str:
    """The server's collection for all of ours with the same models; apart from other generations, whose
    images have the same ids."""
    made_with = (spec.model_id, spec.dim, spec.text_model_id, spec.text_dim)
    return f"askpix-{_digest(*made_with)}-{spec.generation}"


def _digest(*made_with: Any) -> str:
    return hashlib.blake2b(repr(made_with).encode(), digest_size=6).hexdigest()
