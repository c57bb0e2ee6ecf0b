"""The store that needs no server: Qdrant's engine in this process, in a folder.

Up to half a million images a scan over 4-bit codes, rescored with the originals, is both exact and fast,
and no filter can break it; above that a graph is built (measured: README, "Numbers").
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from askpix.retrieval.qdrant.base_store import QdrantStore
from askpix.retrieval.qdrant.edge_shard import Shard
from askpix.retrieval.qdrant.engine import CANDIDATES, PAGE, Engine, Point
from askpix.retrieval.qdrant.filters import edge_filter
from askpix.retrieval.stores.conditions import Clause
from askpix.retrieval.stores.folder import DATED, PAYLOAD
from askpix.retrieval.stores.payload import derived_fields

_EXACT_TO = 2_000
"""Points up to which a scan of the originals takes a millisecond: no need for codes."""


class EdgeEngine(Engine):
    """The points in a folder; ``weight``: how much writing one of them is, in images."""

    facet_spare = 10_000

    def __init__(self, shard: Shard, *, weight: int = 1) -> None:
        self._shard = shard
        self._weight = weight
        self._writes = 0
        self._counted: tuple[int, int] | None = None
        """After how many writes, and how many points there were."""

    def nearest(
        self, vector: Any, name: str, *, where: Sequence[Clause], limit: int, payload: Sequence[str]
    ) -> list[Any]:
        with self._shard.use() as engine:
            total = engine.info().points_count
            # Walks a graph through filtered-out neighbours: keeps recall when the filter is narrow.
            acorn = edge.AcornSearchParams(enable=True, max_selectivity=0.4)
            params = edge.SearchParams(
                exact=name != "words" and total <= _EXACT_TO,
                quantization=edge.QuantizationSearchParams(
                    rescore=True, oversampling=max(2.0, CANDIDATES / limit)
                ),
                acorn=acorn if where and self._shard.has_graph else None,
            )
            request = edge.QueryRequest(
                limit=limit,
                query=edge.Query.Nearest(vector, name),
                filter=edge_filter(where),
                with_payload=list(payload) or False,
                params=params,
            )
            return engine.query(request)

    def nearest_pages(
        self, rows: Any, *, limit: int, among: Sequence[str] | None, shortlist: bool
    ) -> list[Any]:
        narrowed = None if among is None else edge.Filter(must=[edge.HasIdCondition(set(among))])
        second = edge.Query.Nearest(rows, "page")
        if shortlist:
            first = edge.Prefetch(limit=limit, query=edge.Query.Nearest(rows, "pooled"), filter=narrowed)
            request = edge.QueryRequest(limit=limit, query=second, prefetches=[first])
        else:
            request = edge.QueryRequest(limit=limit, query=second, filter=narrowed)
        with self._shard.use() as engine:
            return engine.query(request)

    def scroll(
        self,
        where: Sequence[Clause],
        *,
        limit: int,
        start: Any = None,
        payload: Sequence[str] = (),
        vectors: Sequence[str] = (),
        newest_first: bool = False,
    ) -> tuple[list[Any], Any]:
        request = edge.ScrollRequest(
            offset=start,
            limit=limit,
            filter=edge_filter(where),
            order_by=edge.OrderBy("taken_at", edge.Direction.Desc) if newest_first else None,
            with_payload=list(payload) or False,
            with_vector=list(vectors) or False,
        )
        with self._shard.use() as engine:
            return engine.scroll(request)

    def retrieve(
        self, ids: Sequence[str], *, payload: bool = False, vectors: Sequence[str] = ()
    ) -> list[Any]:
        if not ids:
            return []
        with self._shard.use() as engine:
            return engine.retrieve(list(ids), with_payload=payload, with_vector=list(vectors) or False)

    def count(self, where: Sequence[Clause] = ()) -> int:
        # Every search asks how many there are, and the engine counts anew each time: 4 ms of 100,000.
        writes = self._writes
        with self._shard.use() as engine:
            if not where and self._counted is not None and self._counted[0] == writes:
                return self._counted[1]
            found = engine.count(edge.CountRequest(exact=True, filter=edge_filter(where)))
        if not where:
            self._counted = writes, found
        return found

    def facet(self, field: str, where: Sequence[Clause], limit: int) -> list[Any]:
        request = edge.FacetRequest(field, limit=limit, exact=True, filter=edge_filter(where))
        with self._shard.use() as engine:
            return engine.facet(request).hits

    def put(self, points: Sequence[Point]) -> None:
        if points:
            made = [edge.Point(*point) for point in points]
            with self._changing_number():
                self._shard.update(edge.UpdateOperation.upsert_points(made), len(points) * self._weight)

    def set_payload(self, ids: Sequence[str], fields: dict[str, Any]) -> None:
        if known := [point.id for point in self.retrieve(ids)]:
            self._shard.update(edge.UpdateOperation.set_payload(known, fields), len(known))

    def delete(self, ids: Sequence[str]) -> None:
        if ids:
            with self._changing_number():
                self._shard.update(edge.UpdateOperation.delete_points(list(ids)), len(ids), deletes=True)

    def close(self) -> None:
        self._shard.close()

    @contextmanager
    def _changing_number(self) -> Iterator[None]:
        """Discard counts made before or during the change."""
        self._writes += 1
        try:
            yield
        finally:
            self._writes += 1


GRAPH_FROM = 500_000
"""Images from which a graph pays: below, the quantised scan takes some 10 ms and finds everything."""


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
        """True if points lack dates, sums and countries."""
        return self._shard.payload_version < DATED and self.count() > 0

    @property
    def without_regions(self) -> bool:
        """True if points lack regions."""
        return self._shard.payload_version < PAYLOAD and self.count() > 0

    def optimize(self) -> None:
        """Quantise, and from ``GRAPH_FROM`` images on build the graph. Blocks until done."""
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
