"""Qdrant's engine in this process (``qdrant-edge-py``): the store that needs no server.

Three vectors a picture: ``image`` (dense), ``text`` (one row per passage read in it, best row counts) and
``words`` (BM25). Up to half a million pictures a scan over 4-bit codes, rescored with the originals, is both
exact and fast, and no filter can break it; above that a graph is built (measured: README, "Numbers").
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge

from askpix.core.errors import NotFoundError
from askpix.core.types import ImageRecord, Vectors, Where
from askpix.retrieval.qdrant.edge_shard import Shard
from askpix.retrieval.qdrant.filters import to_filter
from askpix.retrieval.stores.base import Leg, Scored, VectorStore
from askpix.retrieval.stores.facets import MOST, Facets, count_records, in_order
from askpix.retrieval.stores.filter_check import FACET_FIELDS, Check
from askpix.retrieval.stores.folder import PAYLOAD
from askpix.retrieval.stores.payload import derived_fields, path_fields, tag_fields, to_payload, to_record
from askpix.retrieval.text.tokenize import content_words, tokens

GRAPH_FROM = 500_000
"""Pictures from which a graph pays: below, the quantised scan takes some 10 ms and finds everything."""
_EXACT_TO = 2_000
"""Pictures up to which a scan of the originals takes a millisecond: no need for codes."""
_CANDIDATES = 256
"""At least so many are rescored with their originals: one page more or less does not reorder the others."""
_SPARE = 8
"""Fetched beyond what was asked for: to see whether equal scores go on behind the edge of the page."""
_FACET_SPARE = 10_000
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_PAGE = 2_000
"""Points a scroll brings at once."""


class QdrantEdgeStore(VectorStore):
    """A ``VectorStore`` in a folder. One process holds it at a time; its threads may share it."""

    def __init__(self, shard: Shard, dims: tuple[int, int]) -> None:
        self._shard = shard
        self._dim, self._text_dim = dims
        # One writer at a time: ``set_text`` and ``set_copies`` read what they write back.
        self._writing = threading.Lock()
        self._bm25 = bm25_engine()
        self._writes = 0
        self._counted: tuple[int, int] | None = None
        """After how many writes, and how many pictures there were."""

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

    # --- writing -------------------------------------------------------------------------------------

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        """Add or replace pictures with their image vectors; durable on return."""
        if image_vectors.shape != (len(records), self._dim):
            raise ValueError(f"{image_vectors.shape} is not {(len(records), self._dim)}")
        rows = image_vectors.tolist()
        points = [self._point(record, row) for record, row in zip(records, rows, strict=True)]
        with self._writing:
            self._put(points)

    def set_text(self, ids: Sequence[str], texts: Sequence[str], vectors: Sequence[Vectors], /) -> None:
        """Attach words and passage vectors to pictures that are there; durable on return, all or nothing."""
        given = dict(zip(ids, zip(texts, vectors, strict=True), strict=True))
        for rows in vectors:
            if len(rows) and rows.shape[1:] != (self._text_dim,):
                raise ValueError(f"{rows.shape} is not (any, {self._text_dim})")
        with self._writing:
            points = []
            for old in self._retrieve(list(given), payload=True, vectors=["image"]):
                text, rows = given[str(old.id)]
                record = replace(to_record(str(old.id), old.payload or {}), text=text)
                points.append(self._point(record, _vector(old, "image"), rows))
            self._put(points)

    def set_copies(self, record: ImageRecord, /) -> None:
        """Rewrite where the picture lies; ignored if it is not there."""
        with self._writing:
            if self._retrieve([record.id]):
                change = edge.UpdateOperation.set_payload([record.id], path_fields(record))
                self._shard.update(change, 1)

    def set_tags(self, tags: Mapping[str, Sequence[str]], /) -> None:
        """Rewrite the tags of pictures; unknown ids are ignored."""
        with self._writing:
            there = {str(point.id) for point in self._retrieve(list(tags))}
            alike: dict[tuple[str, ...], list[Any]] = {}
            for point, found in tags.items():
                if point in there:
                    alike.setdefault(tuple(found), []).append(point)
            for found, points in alike.items():
                change = edge.UpdateOperation.set_payload(points, tag_fields(found))
                self._shard.update(change, len(points))

    def delete(self, ids: Sequence[str], /) -> None:
        """Remove pictures; unknown ids are ignored."""
        known = point_ids(ids)
        if known:
            with self._writing, self._changing_number():
                self._shard.update(edge.UpdateOperation.delete_points(known), len(known), deletes=True)

    def _point(self, record: ImageRecord, image: Any, passages: Vectors | None = None) -> edge.Point:
        named: dict[str, Any] = {"image": image}
        if passages is not None and len(passages):
            named["text"] = passages.tolist()
        if record.text and (terms := tokens(record.text)):
            named["words"] = self._bm25.embed_document(" ".join(terms))
        return edge.Point(record.id, named, to_payload(record))

    def _put(self, points: list[edge.Point]) -> None:
        if points:
            with self._changing_number():
                self._shard.update(edge.UpdateOperation.upsert_points(points), len(points))

    @contextmanager
    def _changing_number(self) -> Iterator[None]:
        """What was counted before it, or meanwhile, is not remembered."""
        self._writes += 1
        try:
            yield
        finally:
            self._writes += 1

    # --- searching -----------------------------------------------------------------------------------

    def search(
        self, leg: Leg, query: Vectors | str, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Scored]:
        """Best first, ties by id: ``limit`` after ``offset`` of all that satisfy ``where``."""
        vector: Any
        if isinstance(query, str):
            # Query words that nobody looks for ("the", "show") would match every page of prose.
            terms = content_words(query) or tokens(query)
            vector = self._bm25.embed_query(" ".join(terms)) if terms else None
        else:
            vector = query.tolist() if leg == "image" else [query.tolist()]
        if vector is None or limit <= 0:
            return []
        # BM25 sums in single precision, in any order: equal texts differ in the sixth digit.
        exact = partial(round, ndigits=4) if leg == "words" else float
        check, narrowed, wanted = Check(where), to_filter(where), offset + limit
        with self._shard.use() as engine:
            total = engine.info().points_count
            fetch = wanted + _SPARE
            while True:
                fetch = min(fetch, total)
                if not fetch:
                    return []
                request = edge.QueryRequest(
                    limit=fetch,
                    query=edge.Query.Nearest(vector, leg),
                    filter=narrowed,
                    with_payload=check.fields or False,
                    params=self._params(leg, total, fetch, filtered=narrowed is not None),
                )
                points = engine.query(request)
                found = [point for point in points if check(point.payload)]
                if len(points) < fetch or fetch == total:
                    break  # that is all there is
                if len(found) >= wanted and exact(points[-1].score) < exact(found[wanted - 1].score):
                    break  # what was not fetched ranks behind
                fetch *= 4
        hits = [Scored(str(point.id), exact(point.score)) for point in found]
        hits.sort(key=lambda hit: (-hit.score, hit.id))
        return hits[offset:wanted]

    def _params(self, leg: Leg, total: int, fetch: int, *, filtered: bool) -> edge.SearchParams:
        oversampling = max(2.0, _CANDIDATES / fetch)
        # Walks a graph through filtered-out neighbours: keeps recall when the filter is narrow.
        acorn = edge.AcornSearchParams(enable=True, max_selectivity=0.4)
        return edge.SearchParams(
            exact=leg != "words" and total <= _EXACT_TO,
            quantization=edge.QuantizationSearchParams(rescore=True, oversampling=oversampling),
            acorn=acorn if filtered and self._shard.has_graph else None,
        )

    # --- reading -------------------------------------------------------------------------------------

    def scroll(self, where: Where, /, *, limit: int, offset: int = 0) -> list[str]:
        """Ids that satisfy the filter, newest first, then undated ones, ties by id."""
        if limit <= 0:
            return []
        wanted = offset + limit
        ordered = self._newest(where, wanted)
        if len(ordered) < wanted:
            undated = self._matching(where, edge.IsEmptyCondition("taken_at"))
            ordered += [point_id for _, point_id in zip(range(wanted - len(ordered)), undated, strict=False)]
        return ordered[offset:wanted]

    def _newest(self, where: Where, wanted: int) -> list[str]:
        check, narrowed = Check(where), to_filter(where)
        newest_first = edge.OrderBy("taken_at", edge.Direction.Desc)
        with self._shard.use() as engine:
            total = engine.info().points_count
            fetch = wanted + _SPARE
            while True:
                fetch = min(fetch, total)
                request = edge.ScrollRequest(
                    limit=fetch,
                    filter=narrowed,
                    order_by=newest_first,
                    with_payload=["taken_at", *check.fields],
                )
                points = engine.scroll(request)[0] if fetch else []
                found = [
                    ((point.payload or {})["taken_at"], str(point.id))
                    for point in points
                    if check(point.payload)
                ]
                if len(points) < fetch or fetch == total:
                    break
                if len(found) >= wanted and (points[-1].payload or {})["taken_at"] < found[wanted - 1][0]:
                    break
                fetch *= 4
        found.sort(key=lambda pair: pair[1])
        found.sort(key=lambda pair: pair[0], reverse=True)
        return [point_id for _, point_id in found[:wanted]]

    def get(self, ids: Sequence[str], /) -> list[ImageRecord]:
        """Records in the order of ``ids``; unknown ids are left out."""
        points = self._retrieve(ids, payload=True)
        by_id = {str(point.id): to_record(str(point.id), point.payload or {}) for point in points}
        return [by_id[point_id] for point_id in ids if point_id in by_id]

    def image_vectors(self, ids: Sequence[str], /) -> Vectors:
        """``(len(ids), dim)``; an unknown id is a ``NotFoundError``."""
        by_id = {str(point.id): _vector(point, "image") for point in self._retrieve(ids, vectors=["image"])}
        for point_id in ids:
            if point_id not in by_id:
                raise NotFoundError(f"no picture with id {point_id!r}")
        return np.array([by_id[point_id] for point_id in ids], np.float32).reshape(len(ids), self._dim)

    def passages(self, ids: Sequence[str], /) -> list[Vectors]:
        """The text vectors of pictures, ``(n_i, text_dim)`` each, in the order of ``ids``; unknown: none."""
        held = {str(point.id): _vector(point, "text") for point in self._retrieve(ids, vectors=["text"])}
        return [
            np.array([] if held.get(key) is None else held[key], np.float32).reshape(-1, self._text_dim)
            for key in ids
        ]

    def sample_vectors(self, n: int, /) -> Vectors:
        """Image vectors of the ``n`` smallest ids, which are hashes and so a fair sample."""
        rows: list[Any] = []
        start: Any = None
        while len(rows) < n:
            request = edge.ScrollRequest(
                offset=start, limit=min(_PAGE, n - len(rows)), with_payload=False, with_vector=["image"]
            )
            with self._shard.use() as engine:
                points, start = engine.scroll(request)
            rows += [_vector(point, "image") for point in points]
            if start is None:
                break
        return np.array(rows, np.float32).reshape(len(rows), self._dim)

    def ids(self) -> Iterator[str]:
        """Every id, ascending."""
        return self._matching(Where())

    def count(self, where: Where | None = None, /) -> int:
        """How many pictures satisfy the filter."""
        where = where or Where()
        if Check(where).fields:
            return sum(1 for _ in self._matching(where))
        # Every search asks how many there are, and the engine counts anew each time: 4 ms of 100,000.
        writes, everything = self._writes, where == Where()
        with self._shard.use() as engine:
            if everything and self._counted is not None and self._counted[0] == writes:
                return self._counted[1]
            found = engine.count(edge.CountRequest(exact=True, filter=to_filter(where)))
        if everything:
            self._counted = writes, found
        return found

    def facets(self, where: Where, /, *, most: int = MOST) -> Facets:
        """How what satisfies the filter spreads: the ``most`` frequent values of each facet."""
        if Check(where).fields:
            ids = list(self._matching(where))
            pages = (self.get(ids[at : at + _PAGE]) for at in range(0, len(ids), _PAGE))
            return count_records((record for page in pages for record in page), most=most)
        narrowed, found = to_filter(where), {}
        with self._shard.use() as engine:
            for facet, field in FACET_FIELDS.items():
                # More than asked for: those of equal counts are put in order here.
                request = edge.FacetRequest(field, limit=most + _FACET_SPARE, exact=True, filter=narrowed)
                found[facet] = in_order(
                    ((hit.value, hit.count) for hit in engine.facet(request).hits), most=most
                )
        return found

    def _matching(self, where: Where, *extra: Any) -> Iterator[str]:
        """Ids that satisfy ``where`` and Qdrant's ``extra`` conditions, ascending."""
        check, narrowed = Check(where), to_filter(where, *extra)
        start: Any = None
        while True:
            request = edge.ScrollRequest(
                offset=start, limit=_PAGE, filter=narrowed, with_payload=check.fields or False
            )
            with self._shard.use() as engine:
                points, start = engine.scroll(request)
            yield from (str(point.id) for point in points if check(point.payload))
            if start is None:
                return

    def _retrieve(
        self, ids: Sequence[str], *, payload: bool = False, vectors: Sequence[str] = ()
    ) -> list[edge.Record]:
        known = point_ids(ids)
        if not known:
            return []
        with self._shard.use() as engine:
            return engine.retrieve(known, with_payload=payload, with_vector=list(vectors) or False)

    @property
    def behind(self) -> bool:
        """Whether filters on dates, places and sums miss pictures until the next ``optimize``: an older
        version wrote them without what these filters look at."""
        return self._shard.payload_version < PAYLOAD and self.count() > 0

    # --- upkeep --------------------------------------------------------------------------------------

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
        for at in range(0, len(ids), _PAGE):
            for record in self.get(ids[at : at + _PAGE]):
                fields = {
                    name: value for name, value in derived_fields(record).items() if value not in (None, [])
                }
                if fields:
                    self._shard.update(edge.UpdateOperation.set_payload([record.id], fields), 1)
        self._shard.note_payload_version(PAYLOAD)

    def close(self) -> None:
        """Flush and let go; closing twice is fine."""
        with self._writing:
            self._shard.close()


def bm25_engine() -> edge.Bm25:
    """What weighs words. ``words.tokens`` makes them, for any language; the engine only splits at spaces."""
    return edge.Bm25(
        edge.Bm25Config(
            tokenizer=edge.TokenizerType.Whitespace,
            stopwords=edge.StopwordsSet(),
            stemmer=edge.DisabledStemmer(),
            avg_len=60.0,
        )
    )


def point_ids(ids: Sequence[str]) -> list[Any]:
    """Those that can be ids of this store at all: the engine refuses a whole request for one that cannot."""
    return [point_id for point_id in dict.fromkeys(ids) if _is_uuid(point_id)]


def _is_uuid(text: Any) -> bool:
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


def _vector(point: edge.Record, name: str) -> Any:
    vectors: Any = point.vector
    return (vectors or {}).get(name)
