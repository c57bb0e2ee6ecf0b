"""A Qdrant server or cluster as a ``VectorStore``: any number of collections in one physical collection.

Images made with the same models share a physical collection and are told apart by the payload field
``tenant``, which every request filters on: a physical collection costs a server memory of its own, a tenant
next to none. Each tenant has a graph of its own, and word statistics (IDF) of its own. An id names its
collection (it is hashed from the collection's), so two tenants never meet on one point.

Unlike the stores in a folder, several processes may have one open. Of two that write the same image at the
same moment the later wins. The server quantises and builds graphs by itself, beside the searches.
"""

from askpix.retrieval.qdrant.base_store import QdrantStore
from askpix.retrieval.qdrant.connection import ClusterShape, QdrantServer
from askpix.retrieval.qdrant.server_engine import ServerEngine

_BATCH = 200
"""Points that one write sends: about 2 MB with vectors of 512 numbers."""


class QdrantServerStore(QdrantStore):
    """The images of one tenant. Threads and processes may share it."""

    _engine: ServerEngine

    def __init__(self, server: QdrantServer, physical: str, tenant: str, dims: tuple[int, int]) -> None:
        super().__init__(ServerEngine(server, physical, tenant, batch=_BATCH), dims)

    @classmethod
    def open(
        cls,
        server: QdrantServer,
        *,
        physical: str,
        tenant: str,
        model_id: str,
        dim: int,
        text_model_id: str,
        text_dim: int,
        shape: ClusterShape | None = None,
    ) -> "QdrantServerStore":
        """The images of ``tenant`` in the physical collection, made (in this ``shape``) when missing.

        Raises ``StoreUnavailableError`` (not reached, key refused, too old) and ``IndexMismatchError``.
        """
        made_with = {"model": model_id, "dim": dim, "text_model": text_model_id, "text_dim": text_dim}
        try:
            server.check_version()
            server.make_collection(physical, made_with, shape or ClusterShape())
        except BaseException:
            server.close()
            raise
        return cls(server, physical, tenant, (dim, text_dim))

    def delete_all(self) -> None:
        """Remove the tenant with all its images."""
        with self._writing:
            self._engine.delete_all()
