"""Page matrices on a Qdrant server or cluster: a physical collection of its own for each page embedder.

As in the process (``qdrant_pages``): all vectors of a page in half precision on the disk, and pooled ones for
the first pass, neither with a graph. Collections of one server share it, told apart by the field ``tenant``.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from askpix.core.errors import IndexMismatchError, StoreUnavailableError
from askpix.retrieval.late_interaction.base import POOLED, pool_clusters
from askpix.retrieval.qdrant.connection import ClusterShape, QdrantServer
from askpix.retrieval.qdrant.edge_store import point_ids
from askpix.retrieval.qdrant.server_models import TENANT, to_server_filter
from askpix.retrieval.stores.base import Scored
from askpix.retrieval.stores.pages import SHORTLIST, Matrix, PageStore

_PAGE = 1_000
_BATCH = 16
"""Pages one write sends: 700 vectors of 128 numbers are 1 MB of JSON."""


class QdrantServerPages(PageStore):
    """The ``PageStore`` of one tenant. Threads and processes may share it."""

    def __init__(self, server: QdrantServer, physical: str, tenant: str, dim: int) -> None:
        self._server, self._physical, self._tenant, self._dim = server, physical, tenant, dim

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

    def set_pages(self, ids: Sequence[str], matrices: Sequence[Matrix], /) -> None:
        """Add or replace pages; durable on return, in batches."""
        points: list[models.PointStruct] = []
        for point_id, matrix in zip(ids, matrices, strict=True):
            if matrix.ndim != 2 or matrix.shape[1] != self._dim or not len(matrix):
                raise ValueError(f"{matrix.shape} is not (at least one, {self._dim})")
            if not np.isfinite(matrix).all():
                raise ValueError(f"the matrix of {point_id!r} holds what is no number")
            named: Any = {"page": matrix.tolist(), "pooled": pool_clusters(matrix).tolist()}
            points.append(models.PointStruct(id=point_id, vector=named, payload={TENANT: self._tenant}))
        for at in range(0, len(points), _BATCH):
            self._put(points[at : at + _BATCH])

    def _put(self, points: list[models.PointStruct]) -> None:
        self._server.ask(lambda client: client.upsert(self._physical, points, wait=True))

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
        narrowed = self._mine(only)
        if only is not None and len(only) <= wide:
            asked: dict[str, Any] = {"query_filter": narrowed, "limit": len(only)}
        else:
            first = models.Prefetch(query=rows, using="pooled", filter=narrowed, limit=wide)
            asked = {"prefetch": first, "limit": wide}
        answer = self._server.ask(
            lambda client: client.query_points(
                self._physical, query=rows, using="page", with_payload=False, **asked
            )
        )
        hits = [Scored(str(point.id), point.score / len(rows)) for point in answer.points]
        hits.sort(key=lambda hit: (-hit.score, hit.id))
        return hits[:limit]

    def matrices(self, ids: Sequence[str], /) -> dict[str, Matrix]:
        """All vectors of these pages by id; unknown ids are left out."""
        known, found = point_ids(ids), dict[str, Matrix]()
        for at in range(0, len(known), _BATCH):
            points = self._with_pages(self._mine(known[at : at + _BATCH]))
            for point in points:
                held: Any = point.vector
                found[str(point.id)] = np.array(held["page"], np.float16)
        return found

    def _with_pages(self, which: models.Filter) -> list[models.Record]:
        points, _ = self._server.ask(
            lambda client: client.scroll(
                self._physical, scroll_filter=which, limit=_BATCH, with_payload=False, with_vectors=["page"]
            )
        )
        return points

    def delete_all(self) -> None:
        """Remove every page of this tenant."""
        self._remove(self._mine())

    def delete(self, ids: Sequence[str], /) -> None:
        """Remove pages; unknown ids are ignored."""
        known = point_ids(ids)
        for at in range(0, len(known), _PAGE):
            self._remove(self._mine(known[at : at + _PAGE]))

    def _remove(self, which: models.Filter) -> None:
        selector = models.FilterSelector(filter=which)
        self._server.ask(lambda client: client.delete(self._physical, points_selector=selector, wait=True))

    def _mine(self, ids: Sequence[Any] | None = None) -> models.Filter:
        only = [] if ids is None else [models.HasIdCondition(has_id=list(ids))]
        return to_server_filter(self._tenant, None, *only)

    def ids(self) -> Iterator[str]:
        """Every id, ascending."""
        start: Any = None
        while True:
            points, start = self._scroll(start)
            yield from (str(point.id) for point in points)
            if start is None:
                return

    def _scroll(self, start: Any) -> tuple[list[models.Record], Any]:
        return self._server.ask(
            lambda client: client.scroll(
                self._physical,
                scroll_filter=self._mine(),
                limit=_PAGE,
                offset=start,
                with_payload=False,
                with_vectors=False,
            )
        )

    def count(self) -> int:
        """How many pages there are."""
        answer = self._server.ask(
            lambda client: client.count(self._physical, count_filter=self._mine(), exact=True)
        )
        return answer.count

    def close(self) -> None:
        """Let go of the connections; closing twice is fine."""
        self._server.close()


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
