"""Page matrices on Qdrant's engine, in this process or on a server.

Two multi-vectors a page: ``page``, every vector the model made, in half precision, left on disk; and
``pooled``, 32 that stand for them in the first pass. Neither has a graph.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from askpix.retrieval.late_interaction.base import pool_clusters
from askpix.retrieval.qdrant.engine import Engine, Point, point_ids
from askpix.retrieval.stores.base import Scored
from askpix.retrieval.stores.pages import SHORTLIST, Matrix, PageStore

_AT_ONCE = 16
"""Matrices read at once: the engines give them as lists, of some 3 MB each."""


class QdrantPages(PageStore):
    """The pages of one collection. Threads may share it."""

    def __init__(self, engine: Engine, dim: int) -> None:
        self._engine = engine
        self._dim = dim
        self._writing = threading.Lock()

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
            points.append(Point(point_id, named, {}))
        with self._writing:
            self._engine.put(points)

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
        wide = max(limit, shortlist)
        few = only is not None and len(only) <= wide
        points = self._engine.nearest_pages(query.tolist(), limit=wide, among=only, shortlist=not few)
        hits = [Scored(str(point.id), point.score / len(query)) for point in points]
        hits.sort(key=lambda hit: (-hit.score, hit.id))
        return hits[:limit]

    def matrices(self, ids: Sequence[str], /) -> dict[str, Matrix]:
        """All vectors of these pages by id; unknown ids are left out."""
        known = point_ids(ids)
        found = dict[str, Matrix]()
        for at in range(0, len(known), _AT_ONCE):
            for point in self._engine.retrieve(known[at : at + _AT_ONCE], vectors=["page"]):
                found[str(point.id)] = np.array(point.vector["page"], np.float16)
        return found

    def delete(self, ids: Sequence[str], /) -> None:
        """Remove pages; unknown ids are ignored."""
        with self._writing:
            self._engine.delete(point_ids(ids))

    def ids(self) -> Iterator[str]:
        """Every id, ascending."""
        return (str(point.id) for point in self._engine.each())

    def count(self) -> int:
        """Return how many pages there are."""
        return self._engine.count()

    def close(self) -> None:
        """Flush and let go; closing twice is fine."""
        with self._writing:
            self._engine.close()
