"""A Qdrant server or cluster as a ``VectorStore``: any number of collections in one physical collection.

Pictures made with the same models share a physical collection and are told apart by the payload field
``tenant``, which every request filters on: a physical collection costs a server memory of its own, a tenant
next to none. Each tenant has a graph of its own, and word statistics (IDF) of its own. An id names its
collection (it is hashed from the collection's), so two tenants never meet on one point.

Unlike the stores in a folder, several processes may have one open. Of two that write the same picture at the
same moment the later wins.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from qdrant_client import models

from askpix.core.errors import NotFoundError
from askpix.core.types import ImageRecord, Vectors, Where
from askpix.retrieval.qdrant.connection import ClusterShape, QdrantServer
from askpix.retrieval.qdrant.edge_store import bm25_engine, point_ids
from askpix.retrieval.qdrant.filters import to_filter
from askpix.retrieval.qdrant.server_models import TENANT, server_sparse, to_server_filter
from askpix.retrieval.stores.base import Leg, Scored, VectorStore
from askpix.retrieval.stores.facets import MOST, Facets, count_records, in_order
from askpix.retrieval.stores.filter_check import FACET_FIELDS, Check
from askpix.retrieval.stores.payload import path_fields, tag_fields, to_payload, to_record
from askpix.retrieval.text.tokenize import content_words, tokens

_CANDIDATES = 256
_SPARE = 8
_FACET_SPARE = 1_000
_PAGE = 1_000
"""Points that one scroll brings."""
_BATCH = 200
"""Points that one write sends: about 2 MB with vectors of 512 numbers."""
_WIDE = 1_000
"""Pages from here on are first measured against how much there is."""


class QdrantServerStore(VectorStore):
    """The pictures of one tenant. Threads and processes may share it."""

    def __init__(self, server: QdrantServer, physical: str, tenant: str, dims: tuple[int, int]) -> None:
        self._server, self._physical, self._tenant = server, physical, tenant
        self._dim, self._text_dim = dims
        # Here: ``set_text`` and ``set_copies`` read what they write back.
        self._writing = threading.Lock()
        self._bm25 = bm25_engine()

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
        """The pictures of ``tenant`` in the physical collection, made (in this ``shape``) when missing.

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

    # --- writing -------------------------------------------------------------------------------------

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        """Add or replace pictures with their image vectors; durable on return, in batches."""
        if image_vectors.shape != (len(records), self._dim):
            raise ValueError(f"{image_vectors.shape} is not {(len(records), self._dim)}")
        last = {record.id: at for at, record in enumerate(records)}
        points = [self._point(records[at], image_vectors[at].tolist()) for at in last.values()]
        with self._writing:
            self._put(points)

    def set_text(self, ids: Sequence[str], texts: Sequence[str], vectors: Sequence[Vectors], /) -> None:
        """Attach words and passage vectors to pictures that are there; a picture has all of it or none."""
        given = dict(zip(ids, zip(texts, vectors, strict=True), strict=True))
        for rows in vectors:
            if len(rows) and rows.shape[1:] != (self._text_dim,):
                raise ValueError(f"{rows.shape} is not (any, {self._text_dim})")
        with self._writing:
            points = []
            for old in self._retrieve(list(given), vector=True):
                text, rows = given[str(old.id)]
                record = replace(to_record(str(old.id), old.payload or {}), text=text)
                points.append(self._point(record, _vector(old), rows))
            self._put(points)

    def set_copies(self, record: ImageRecord, /) -> None:
        """Rewrite where the picture lies; ignored if it is not there."""
        if point_ids([record.id]):
            with self._writing:
                self._set_payload(path_fields(record), self._among([record.id]))

    def set_tags(self, tags: Mapping[str, Sequence[str]], /) -> None:
        """Rewrite what pictures are tagged with; ids that are not there are ignored."""
        alike: dict[tuple[str, ...], list[Any]] = {}
        for key in point_ids(list(tags)):
            alike.setdefault(tuple(tags[key]), []).append(key)
        with self._writing:
            for found, keys in alike.items():
                for at in range(0, len(keys), _PAGE):
                    self._set_payload(tag_fields(found), self._among(keys[at : at + _PAGE]))

    def _set_payload(self, fields: dict[str, Any], which: models.Filter) -> None:
        self._server.ask(
            lambda client: client.set_payload(self._physical, payload=fields, points=which, wait=True)
        )

    def delete(self, ids: Sequence[str], /) -> None:
        """Remove pictures; unknown ids are ignored."""
        known = point_ids(ids)
        with self._writing:
            for at in range(0, len(known), _PAGE):
                self._delete(self._among(known[at : at + _PAGE]))

    def delete_all(self) -> None:
        """Remove the tenant with all its pictures."""
        with self._writing:
            self._delete(to_server_filter(self._tenant, None))

    def _delete(self, which: models.Filter) -> None:
        selector = models.FilterSelector(filter=which)
        self._server.ask(lambda client: client.delete(self._physical, points_selector=selector, wait=True))

    def _among(self, ids: Sequence[Any]) -> models.Filter:
        return to_server_filter(self._tenant, None, models.HasIdCondition(has_id=list(ids)))

    def _point(self, record: ImageRecord, image: Any, passages: Vectors | None = None) -> models.PointStruct:
        named: dict[str, Any] = {"image": image}
        if passages is not None and len(passages):
            named["text"] = passages.tolist()
        if record.text and (terms := tokens(record.text)):
            named["words"] = server_sparse(self._bm25.embed_document(" ".join(terms)))
        return models.PointStruct(
            id=record.id, vector=named, payload={**to_payload(record), TENANT: self._tenant}
        )

    def _put(self, points: list[models.PointStruct]) -> None:
        for at in range(0, len(points), _BATCH):
            self._put_part(points[at : at + _BATCH])

    def _put_part(self, points: list[models.PointStruct]) -> None:
        self._server.ask(lambda client: client.upsert(self._physical, points, wait=True))

    # --- searching -----------------------------------------------------------------------------------

    def search(
        self, leg: Leg, query: Vectors | str, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Scored]:
        """Best first, ties by id: ``limit`` after ``offset`` of all that satisfy ``where``."""
        vector: Any
        if isinstance(query, str):
            terms = content_words(query) or tokens(query)
            vector = server_sparse(self._bm25.embed_query(" ".join(terms))) if terms else None
        else:
            vector = query.tolist() if leg == "image" else [query.tolist()]
        if vector is None or limit <= 0:
            return []
        # Shards sum in single precision, in any order: equal texts differ in the sixth digit.
        exact = partial(round, ndigits=4) if leg == "words" else float
        check, narrowed, wanted = Check(where), self._narrowed(where), offset + limit
        fetch, total = wanted + _SPARE, None
        while True:
            if total is None and fetch > _WIDE:
                total = self.count()
            fetch = fetch if total is None else min(fetch, total)
            points = self._nearest(leg, vector, narrowed, fetch, check.fields) if fetch else []
            found = [point for point in points if check(point.payload)]
            if len(points) < fetch or fetch == total or not fetch:
                break  # that is all there is
            if len(found) >= wanted and exact(points[-1].score) < exact(found[wanted - 1].score):
                break  # what was not fetched ranks behind
            fetch *= 4
        hits = [Scored(str(point.id), exact(point.score)) for point in found]
        hits.sort(key=lambda hit: (-hit.score, hit.id))
        return hits[offset:wanted]

    def _nearest(
        self, leg: Leg, vector: Any, narrowed: models.Filter, fetch: int, fields: list[str]
    ) -> list[models.ScoredPoint]:
        params = models.SearchParams(
            hnsw_ef=max(128, fetch),
            quantization=models.QuantizationSearchParams(
                rescore=True, oversampling=max(2.0, _CANDIDATES / fetch)
            ),
            # Walks a graph through filtered-out neighbours: keeps recall when the filter is narrow.
            acorn=models.AcornSearchParams(enable=True, max_selectivity=0.4),
        )
        if leg == "words":
            mine = to_server_filter(self._tenant, None)
            params = models.SearchParams(idf=models.IdfCorpusParams(corpus=mine))
        return self._server.ask(
            lambda client: client.query_points(
                self._physical,
                query=vector,
                using=leg,
                query_filter=narrowed,
                search_params=params,
                limit=fetch,
                with_payload=fields or False,
            )
        ).points

    def _narrowed(self, where: Where, *more: Any) -> models.Filter:
        substring = self._server.substring
        return to_server_filter(self._tenant, to_filter(where), *more, substring=substring)

    # --- reading -------------------------------------------------------------------------------------

    def scroll(self, where: Where, /, *, limit: int, offset: int = 0) -> list[str]:
        """Ids that satisfy the filter, newest first, then undated ones, ties by id."""
        if limit <= 0:
            return []
        wanted = offset + limit
        ordered = self._newest(where, wanted)
        if len(ordered) < wanted:
            empty = models.IsEmptyCondition(is_empty=models.PayloadField(key="taken_at"))
            undated = self._matching(where, empty)
            ordered += [key for _, key in zip(range(wanted - len(ordered)), undated, strict=False)]
        return ordered[offset:wanted]

    def _newest(self, where: Where, wanted: int) -> list[str]:
        check, narrowed = Check(where), self._narrowed(where)
        newest_first = models.OrderBy(key="taken_at", direction=models.Direction.DESC)
        total = self.count()
        fetch = wanted + _SPARE
        while True:
            fetch = min(fetch, total)
            points = (
                self._scroll(narrowed, fetch, ["taken_at", *check.fields], order_by=newest_first)[0]
                if fetch
                else []
            )
            found = [
                ((point.payload or {})["taken_at"], str(point.id)) for point in points if check(point.payload)
            ]
            if len(points) < fetch or fetch == total:
                break
            if len(found) >= wanted and (points[-1].payload or {})["taken_at"] < found[wanted - 1][0]:
                break
            fetch *= 4
        found.sort(key=lambda pair: pair[1])
        found.sort(key=lambda pair: pair[0], reverse=True)
        return [key for _, key in found[:wanted]]

    def get(self, ids: Sequence[str], /) -> list[ImageRecord]:
        """Records in the order of ``ids``; unknown ids are left out."""
        by_id = {
            str(point.id): to_record(str(point.id), point.payload or {}) for point in self._retrieve(ids)
        }
        return [by_id[key] for key in ids if key in by_id]

    def image_vectors(self, ids: Sequence[str], /) -> Vectors:
        """``(len(ids), dim)``; an unknown id is a ``NotFoundError``."""
        by_id = {str(point.id): _vector(point) for point in self._retrieve(ids, vector=True)}
        for key in ids:
            if key not in by_id:
                raise NotFoundError(f"no picture with id {key!r}")
        return np.array([by_id[key] for key in ids], np.float32).reshape(len(ids), self._dim)

    def sample_vectors(self, n: int, /) -> Vectors:
        """Image vectors of the ``n`` smallest ids, which are hashes and so a fair sample."""
        rows: list[Any] = []
        start: Any = None
        while len(rows) < n:
            points, start = self._scroll(
                self._narrowed(Where()), min(_PAGE, n - len(rows)), False, offset=start, vectors=["image"]
            )
            rows += [_vector(point) for point in points]
            if start is None:
                break
        return np.array(rows, np.float32).reshape(len(rows), self._dim)

    def passages(self, ids: Sequence[str], /) -> list[Vectors]:
        """The passage vectors of pictures, ``(n_i, text_dim)`` each, in the order of ``ids``."""
        held: dict[str, Any] = {}
        for point in self._retrieve(ids, vector=True, names=["text"]):
            vectors: Any = point.vector or {}
            held[str(point.id)] = vectors.get("text", ())
        return [np.array(held.get(key, ()), np.float32).reshape(-1, self._text_dim) for key in ids]

    def ids(self) -> Iterator[str]:
        """Every id, ascending."""
        return self._matching(Where())

    def count(self, where: Where | None = None, /) -> int:
        """How many pictures satisfy the filter."""
        where = where or Where()
        if Check(where).fields:
            return sum(1 for _ in self._matching(where))
        narrowed = self._narrowed(where)
        return self._server.ask(
            lambda client: client.count(self._physical, count_filter=narrowed, exact=True)
        ).count

    def facets(self, where: Where, /, *, most: int = MOST) -> Facets:
        """How what satisfies the filter spreads: the ``most`` frequent values of each facet."""
        if Check(where).fields:
            ids = list(self._matching(where))
            pages = (self.get(ids[at : at + _PAGE]) for at in range(0, len(ids), _PAGE))
            return count_records((record for page in pages for record in page), most=most)
        narrowed, found = self._narrowed(where), {}
        for facet, field in FACET_FIELDS.items():
            # More than asked for: those of equal counts are put in order here.
            answer = self._facet(field, narrowed, most + _FACET_SPARE)
            found[facet] = in_order(((hit.value, hit.count) for hit in answer.hits), most=most)
        return found

    def _facet(self, field: str, narrowed: models.Filter, limit: int) -> models.FacetResponse:
        return self._server.ask(
            lambda client: client.facet(self._physical, field, narrowed, limit=limit, exact=True)
        )

    def _matching(self, where: Where, *more: Any) -> Iterator[str]:
        """Ids that satisfy ``where`` and the server's conditions ``more``, ascending."""
        check, narrowed = Check(where), self._narrowed(where, *more)
        start: Any = None
        while True:
            points, start = self._scroll(narrowed, _PAGE, check.fields or False, offset=start)
            yield from (str(point.id) for point in points if check(point.payload))
            if start is None:
                return

    def _scroll(
        self,
        narrowed: models.Filter,
        limit: int,
        payload: Any,
        *,
        offset: Any = None,
        order_by: Any = None,
        vectors: Any = False,
    ) -> tuple[list[models.Record], Any]:
        return self._server.ask(
            lambda client: client.scroll(
                self._physical,
                scroll_filter=narrowed,
                limit=limit,
                offset=offset,
                order_by=order_by,
                with_payload=payload,
                with_vectors=vectors,
            )
        )

    def _retrieve(
        self, ids: Sequence[str], *, vector: bool = False, names: Sequence[str] = ("image",)
    ) -> list[models.Record]:
        known, found = point_ids(ids), []
        for at in range(0, len(known), _PAGE):
            found += self._fetch(known[at : at + _PAGE], list(names) if vector else False)
        # Ids of another collection are nobody's here.
        return [point for point in found if (point.payload or {}).get(TENANT) == self._tenant]

    def _fetch(self, ids: list[Any], vectors: Any) -> list[models.Record]:
        return self._server.ask(
            lambda client: client.retrieve(self._physical, ids, with_payload=True, with_vectors=vectors)
        )

    # --- upkeep --------------------------------------------------------------------------------------

    def optimize(self) -> None:
        """Nothing to do: the server quantises and builds graphs by itself, beside the searches."""

    def close(self) -> None:
        """Let go of the connections; closing twice is fine."""
        self._server.close()


def _vector(point: models.Record) -> Any:
    vectors: Any = point.vector
    return vectors["image"]
