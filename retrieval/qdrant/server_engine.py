"""The points of one tenant in a collection of a Qdrant server or cluster."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import qdrant_edge as edge
from qdrant_client import QdrantClient, models

from askpix.retrieval.qdrant.connection import QdrantServer
from askpix.retrieval.qdrant.engine import CANDIDATES, PAGE, Engine, Point
from askpix.retrieval.qdrant.server_models import TENANT, server_sparse, to_server_filter
from askpix.retrieval.stores.conditions import Clause

Answer = TypeVar("Answer")


class ServerEngine(Engine):
    """Told apart from other tenants by the payload field ``tenant``, which every request filters on.

    ``batch``: points that one write sends, some 2 MB.
    """

    facet_spare = 1_000

    def __init__(self, server: QdrantServer, physical: str, tenant: str, *, batch: int) -> None:
        self.server = server
        self.physical = physical
        self._tenant = tenant
        self._batch = batch

    def nearest(
        self, vector: Any, name: str, *, where: Sequence[Clause], limit: int, payload: Sequence[str]
    ) -> list[Any]:
        if name == "words":  # weighed by the tenant's own texts
            params = models.SearchParams(idf=models.IdfCorpusParams(corpus=self._mine()))
        else:
            params = models.SearchParams(
                hnsw_ef=max(128, limit),
                quantization=models.QuantizationSearchParams(
                    rescore=True, oversampling=max(2.0, CANDIDATES / limit)
                ),
                # Walks a graph through filtered-out neighbours: keeps recall when the filter is narrow.
                acorn=models.AcornSearchParams(enable=True, max_selectivity=0.4),
            )
        mine = self._mine(where)
        sent = _wire(vector)
        return self._ask(
            lambda client: client.query_points(
                self.physical,
                query=sent,
                using=name,
                query_filter=mine,
                search_params=params,
                limit=limit,
                with_payload=list(payload) or False,
            )
        ).points

    def nearest_pages(
        self, rows: Any, *, limit: int, among: Sequence[str] | None, shortlist: bool
    ) -> list[Any]:
        mine = self._mine() if among is None else self._among(among)
        asked: dict[str, Any] = {"query_filter": mine}
        if shortlist:
            asked = {"prefetch": models.Prefetch(query=rows, using="pooled", filter=mine, limit=limit)}
        return self._ask(
            lambda client: client.query_points(
                self.physical, query=rows, using="page", limit=limit, with_payload=False, **asked
            )
        ).points

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
        mine = self._mine(where)
        order = models.OrderBy(key="taken_at", direction=models.Direction.DESC) if newest_first else None
        return self._ask(
            lambda client: client.scroll(
                self.physical,
                scroll_filter=mine,
                limit=limit,
                offset=start,
                order_by=order,
                with_payload=list(payload) or False,
                with_vectors=list(vectors) or False,
            )
        )

    def retrieve(
        self, ids: Sequence[str], *, payload: bool = False, vectors: Sequence[str] = ()
    ) -> list[Any]:
        wanted: dict[str, Any] = {
            "with_payload": True if payload else [TENANT],
            "with_vectors": list(vectors) or False,
        }
        found: list[models.Record] = []
        for part in _parts(ids, PAGE):
            found += self._retrieve(part, wanted)
        # Ids of another collection are nobody's here.
        return [point for point in found if (point.payload or {}).get(TENANT) == self._tenant]

    def count(self, where: Sequence[Clause] = ()) -> int:
        mine = self._mine(where)
        return self._ask(lambda client: client.count(self.physical, count_filter=mine, exact=True)).count

    def facet(self, field: str, where: Sequence[Clause], limit: int) -> list[Any]:
        mine = self._mine(where)
        return self._ask(
            lambda client: client.facet(self.physical, field, mine, limit=limit, exact=True)
        ).hits

    def put(self, points: Sequence[Point]) -> None:
        made = [
            models.PointStruct(
                id=point.id,
                vector={name: _wire(vector) for name, vector in point.vectors.items()},
                payload={**point.payload, TENANT: self._tenant},
            )
            for point in points
        ]
        for part in _parts(made, self._batch):
            self._put(part)

    def set_payload(self, ids: Sequence[str], fields: dict[str, Any]) -> None:
        for part in _parts(ids, PAGE):
            self._set_payload(self._among(part), fields)

    def delete(self, ids: Sequence[str]) -> None:
        for part in _parts(ids, PAGE):
            self._delete(self._among(part))

    def delete_all(self) -> None:
        """Remove the tenant with all its points."""
        self._delete(self._mine())

    def close(self) -> None:
        self.server.close()

    def _retrieve(self, ids: list[Any], wanted: dict[str, Any]) -> list[models.Record]:
        return self._ask(lambda client: client.retrieve(self.physical, ids, **wanted))

    def _put(self, points: list[Any]) -> None:
        self._ask(lambda client: client.upsert(self.physical, points, wait=True))

    def _set_payload(self, which: models.Filter, fields: dict[str, Any]) -> None:
        self._ask(lambda client: client.set_payload(self.physical, payload=fields, points=which, wait=True))

    def _delete(self, which: models.Filter) -> None:
        selector = models.FilterSelector(filter=which)
        self._ask(lambda client: client.delete(self.physical, points_selector=selector, wait=True))

    def _mine(self, where: Sequence[Clause] = ()) -> models.Filter:
        return to_server_filter(self._tenant, where, substring=self.server.substring)

    def _among(self, ids: Sequence[Any]) -> models.Filter:
        return to_server_filter(self._tenant, (), models.HasIdCondition(has_id=list(ids)))

    def _ask(self, question: Callable[[QdrantClient], Answer]) -> Answer:
        return self.server.ask(question)


def _wire(vector: Any) -> Any:
    return server_sparse(vector) if isinstance(vector, edge.SparseVector) else vector


def _parts(items: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(items[at : at + size]) for at in range(0, len(items), size)]
