"""The store that needs no server: Qdrant's engine in this process, in a folder.

Up to half a million pictures a scan over 4-bit codes, rescored with the originals, is both exact and fast,
and no filter can break it; above that a graph is built (measured: README, "Numbers").
"""

from pathlib import Path

from askpix.retrieval.qdrant.base_store import QdrantStore
from askpix.retrieval.qdrant.edge_engine import EdgeEngine
from askpix.retrieval.qdrant.edge_shard import Shard
from askpix.retrieval.qdrant.engine import PAGE
from askpix.retrieval.stores.folder import PAYLOAD
from askpix.retrieval.stores.payload import derived_fields

GRAPH_FROM = 500_000
"""Pictures from which a graph pays: below, the quantised scan takes some 10 ms and finds everything."""


class QdrantEdgeStore(QdrantStore):
    """A ``VectorStore`` in a folder. One process holds it at a time; its threads may share it."""

    def __init__(self, shard: Shard, dims: tuple[int, int]) -> None:
        super().__init__(EdgeEngine(shard), dims)
        self._shard = shard

    @classmethod
    def open(
        cls, folder: Path, *, model_id: str, dim: int, text_model_id: str, text_dim: int, wait_s: float = 0.0
    ) -> "QdrantEdgeStore":
        """Open the store in ``folder``, made when missing; waits up to ``wait_s`` for another process.

        Raises ``StoreUnavailableError`` (held by another process, damaged, not writable) and
        ``IndexMismatchError`` (made with other models, or by a newer version).
        """
        models = {"model": model_id, "dim": dim, "text_model": text_model_id, "text_dim": text_dim}
        return cls(Shard.open(folder, models, wait_s=wait_s), (dim, text_dim))

    @property
    def behind(self) -> bool:
        """Whether points lack the derived fields of this version."""
        return self._shard.payload_version < PAYLOAD and self.count() > 0

    def optimize(self) -> None:
        """Quantise, and from ``GRAPH_FROM`` pictures on build the graph. Blocks until done."""
        with self._writing:
            self._derive_again()
        # Not under the writers' lock: what takes long goes on in a process of its own, and changes with it.
        self._shard.optimize(graph=self.count() >= GRAPH_FROM)

    def _derive_again(self) -> None:
        """Give points that were written before them the derived fields of this version."""
        if self._shard.payload_version >= PAYLOAD:
            return
        ids = list(self.ids())
        for at in range(0, len(ids), PAGE):
            for record in self.get(ids[at : at + PAGE]):
                fields = {
                    name: value for name, value in derived_fields(record).items() if value not in (None, [])
                }
                if fields:
                    self._engine.set_payload([record.id], fields)
        self._shard.note_payload_version(PAYLOAD)
