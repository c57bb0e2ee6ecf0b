"""Page matrices in Qdrant's engine in this process: a shard of its own beside the vectors of a collection.

Two multi-vectors a page: ``page``, every vector the model made, in half precision, left on disk; and
``pooled``, 32 that stand for them in the first pass. Neither has a graph. A shard of its own, because the
words of a picture are rewritten whole when they have been read, and 0.2 MB a page should not be with them.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge

from askpix.retrieval.late_interaction.base import POOLED, pool_clusters
from askpix.retrieval.qdrant.edge_shard import Shard
from askpix.retrieval.qdrant.edge_store import point_ids
from askpix.retrieval.stores.base import Scored
from askpix.retrieval.stores.pages import SHORTLIST, Matrix, PageStore

_PAGE = 2_000
"""Ids a scroll brings at once."""
_AT_ONCE = 32
"""Matrices read at once: the engine gives them as lists, of some 3 MB each."""


class QdrantEdgePages(PageStore):
    """A ``PageStore`` in a folder. One process holds it at a time; its threads may share it."""

    def __init__(self, shard: Shard, dim: int) -> None:
        self._shard, self._dim = shard, dim
        self._writing = threading.Lock()

    @classmethod
    def open(cls, folder: Path, *, model_id: str, dim: int, wait_s: float = 0.0) -> "QdrantEdgePages":
        """Open the pages in ``folder``, made when missing; waits up to ``wait_s`` for another process.

        Raises ``StoreUnavailableError`` and ``IndexMismatchError`` as the vector store does.
        """
        models = {"model": model_id, "dim": dim, "text_model": "pooled", "text_dim": POOLED}
        return cls(Shard.open(folder, models, wait_s=wait_s, configure=pages_config, indexes={}), dim)

    def set_pages(self, ids: Sequence[str], matrices: Sequence[Matrix], /) -> None:
        """Add or replace pages; durable on return."""
        points = []
        for point_id, matrix in zip(ids, matrices, strict=True):
            if matrix.ndim != 2 or matrix.shape[1] != self._dim or not len(matrix):
                raise ValueError(f"{matrix.shape} is not (at least one, {self._dim})")
            if not np.isfinite(matrix).all():
                raise ValueError(f"the matrix of {point_id!r} holds what is no number")
            # Lists are what the binding reads fastest (measured: twice as fast as arrays).
            named: Any = {"page": matrix.tolist(), "pooled": pool_clusters(matrix).tolist()}
            points.append(edge.Point(point_id, named, {}))
        if points:
            with self._writing:
                self._shard.update(edge.UpdateOperation.upsert_points(points), len(points) * 50)

    def search_pages(
        self,
        query: Matrix,
        /,
        *,
        limit: int,
        among: Collection[str] | None = None,
        shortlist: int = SHORTLIST,
    ) -> list[Scored]:
        """Best first, ties by id, by all vectors of the pages that the pooled ones shortlist."""
        if query.ndim != 2 or query.shape[1] != self._dim:
            raise ValueError(f"{query.shape} is not (any, {self._dim})")
        only = None if among is None else point_ids(list(among))
        if limit <= 0 or not len(query) or (only is not None and not only):
            return []
        rows, wide = query.tolist(), max(limit, shortlist)
        narrowed = None if only is None else edge.Filter(must=[edge.HasIdCondition(set(only))])
        second = edge.Query.Nearest(rows, "page")
        if only is not None and len(only) <= wide:
            request = edge.QueryRequest(limit=len(only), query=second, filter=narrowed)
        else:
            first = edge.Prefetch(limit=wide, query=edge.Query.Nearest(rows, "pooled"), filter=narrowed)
            request = edge.QueryRequest(limit=wide, query=second, prefetches=[first])
        with self._shard.use() as engine:
            points = engine.query(request)
        hits = [Scored(str(point.id), point.score / len(rows)) for point in points]
        hits.sort(key=lambda hit: (-hit.score, hit.id))
        return hits[:limit]

    def matrices(self, ids: Sequence[str], /) -> dict[str, Matrix]:
        """All vectors of these pages by id; unknown ids are left out."""
        known, found = point_ids(ids), dict[str, Matrix]()
        for at in range(0, len(known), _AT_ONCE):
            with self._shard.use() as engine:
                points = engine.retrieve(known[at : at + _AT_ONCE], with_payload=False, with_vector=["page"])
            for point in points:
                held: Any = point.vector
                found[str(point.id)] = np.array(held["page"], np.float16)
        return found

    def delete(self, ids: Sequence[str], /) -> None:
        """Remove pages; unknown ids are ignored."""
        known = point_ids(ids)
        if known:
            with self._writing:
                self._shard.update(edge.UpdateOperation.delete_points(known), len(known))

    def ids(self) -> Iterator[str]:
        """Every id, ascending."""
        start: Any = None
        while True:
            request = edge.ScrollRequest(offset=start, limit=_PAGE, with_payload=False)
            with self._shard.use() as engine:
                points, start = engine.scroll(request)
            yield from (str(point.id) for point in points)
            if start is None:
                return

    def count(self) -> int:
        """How many pages there are."""
        with self._shard.use() as engine:
            return engine.count(edge.CountRequest(exact=True))

    def close(self) -> None:
        """Flush and let go; closing twice is fine."""
        with self._writing:
            self._shard.close()


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
