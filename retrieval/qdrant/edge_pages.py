"""Page matrices in Qdrant's engine in this process: a shard of its own beside the vectors of a collection,
because the words of an image are rewritten whole when they have been read, and 0.2 MB a page should not be
with them.
"""

from pathlib import Path

import qdrant_edge as edge

from askpix.retrieval.late_interaction.base import POOLED
from askpix.retrieval.qdrant.base_pages import QdrantPages
from askpix.retrieval.qdrant.edge_shard import Shard
from askpix.retrieval.qdrant.edge_store import EdgeEngine

_WEIGHT = 50
"""Writing a page is as much as writing so many images."""


class QdrantEdgePages(QdrantPages):
    """A ``PageStore`` in a folder. One process holds it at a time; its threads may share it."""

    def __init__(self, shard: Shard, dim: int) -> None:
        super().__init__(EdgeEngine(shard, weight=_WEIGHT), dim)

    @classmethod
    def open(cls, folder: Path, *, model_id: str, dim: int, wait_s: float = 0.0) -> "QdrantEdgePages":
        """Open the pages in ``folder``, made when missing; waits up to ``wait_s`` for another process.

        Raises ``StoreUnavailableError`` and ``IndexMismatchError`` as the vector store does.
        """
        models = {"model": model_id, "dim": dim, "text_model": "pooled", "text_dim": POOLED}
        return cls(Shard.open(folder, models, wait_s=wait_s, configure=pages_config, indexes={}), dim)


def pages_config(dim: int, pooled: int, /, *, graph: bool) -> edge.EdgeConfig:
    """Two multi-vectors a page, compared by the sum of each query vector's best dot product."""
    no_graph = edge.HnswIndexConfig(m=0, ef_construct=16, full_scan_threshold=10_000)
    best_row = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    half = edge.VectorStorageDatatype.Float16

    def params(memory: edge.Memory) -> edge.EdgeVectorParams:
        return edge.EdgeVectorParams(
            dim,
            edge.Distance.Dot,  # the vectors have length one: normalising them again costs and rounds
            multivector_config=best_row,
            datatype=half,
            hnsw_config=no_graph,
            memory=memory,
        )

    return edge.EdgeConfig(vectors={"page": params(edge.Memory.Cold), "pooled": params(edge.Memory.Cached)})
