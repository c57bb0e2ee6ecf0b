"""Page matrices on a Qdrant server or cluster: a physical collection of its own for each page embedder.

Collections of one server share it, told apart by the field ``tenant``.
"""

from typing import Any

from qdrant_client import models

from askpix.core.errors import IndexMismatchError, StoreUnavailableError
from askpix.retrieval.late_interaction.base import POOLED
from askpix.retrieval.qdrant.base_pages import QdrantPages
from askpix.retrieval.qdrant.connection import ClusterShape, QdrantServer
from askpix.retrieval.qdrant.server_engine import ServerEngine
from askpix.retrieval.qdrant.server_models import TENANT

_BATCH = 16
"""Pages one write sends: 700 vectors of 128 numbers are 1 MB of JSON."""


class QdrantServerPages(QdrantPages):
    """The ``PageStore`` of one tenant. Threads and processes may share it."""

    _engine: ServerEngine

    def __init__(self, server: QdrantServer, physical: str, tenant: str, dim: int) -> None:
        super().__init__(ServerEngine(server, physical, tenant, batch=_BATCH), dim)

    @classmethod
    def open(
        cls,
        server: QdrantServer,
        *,
        physical: str,
        tenant: str,
        model_id: str,
        dim: int,
        shape: ClusterShape | None = None,
    ) -> "QdrantServerPages":
        """The pages of ``tenant`` in the physical collection, made (with the shards and copies of this
        ``shape``) when missing.

        Raises ``StoreUnavailableError`` (not reached, key refused, too old) and ``IndexMismatchError``.
        """
        try:
            server.check_version()
            made_with = {"model": model_id, "dim": dim, "pooled": POOLED}
            _make(server, physical, made_with, shape or ClusterShape())
        except BaseException:
            server.close()
            raise
        return cls(server, physical, tenant, dim)

    def delete_all(self) -> None:
        """Remove every page of this tenant."""
        with self._writing:
            self._engine.delete_all()


def _make(server: QdrantServer, name: str, made_with: dict[str, Any], shape: ClusterShape) -> None:
    """The physical collection, made when missing; safe when two processes do it at once."""
    if not server.ask(lambda client: client.collection_exists(name)):
        best_row = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)

        def params(memory: models.Memory) -> models.VectorParams:
            return models.VectorParams(
                size=made_with["dim"],
                distance=models.Distance.DOT,
                datatype=models.Datatype.FLOAT16,
                multivector_config=best_row,
                hnsw_config=models.HnswConfigDiff(m=0),
                memory=memory,
            )

        vectors = {"page": params(models.Memory.COLD), "pooled": params(models.Memory.CACHED)}
        try:
            server.ask(
                lambda client: client.create_collection(
                    name,
                    vectors_config=vectors,
                    metadata={**made_with, "made_by": "askpix"},
                    **shape.placement(),
                )
            )
        except StoreUnavailableError:
            if not server.ask(lambda client: client.collection_exists(name)):
                raise
    info = server.ask(lambda client: client.get_collection(name))
    made = info.config.metadata or {}
    if any(made.get(key) != value for key, value in made_with.items()):
        raise IndexMismatchError(
            f"{name!r} on the Qdrant server was made with {made.get('model')!r}, not {made_with['model']!r};"
            " use another server or remove it there"
        )
    if TENANT not in info.payload_schema:
        index = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
        server.ask(lambda client: client.create_payload_index(name, TENANT, index, wait=True))
