"""A vector store on Qdrant's engine, in this process or on a server.

Three vectors an image: ``image`` (dense), ``text`` (one row per passage read in it, best row counts) and
``words`` (BM25).
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import qdrant_edge as edge

from askpix.core.errors import NotFoundError
from askpix.core.types import ImageRecord, Vectors, Where
from askpix.retrieval.qdrant.engine import PAGE, Engine, Point, point_ids
from askpix.retrieval.stores.base import Scored, SubQuery, VectorStore
from askpix.retrieval.stores.conditions import FACET_FIELDS, Check, Clause, Condition, to_clauses
from askpix.retrieval.stores.facets import MOST, Facets, count_records, in_order
from askpix.retrieval.stores.payload import path_fields, tag_fields, to_payload, to_record
from askpix.retrieval.text.tokenize import content_words, tokens

_SPARE = 8
"""Fetched beyond what was asked for: to see whether equal scores go on behind the edge of the page."""
_WIDE = 1_000
"""Pages from here on are first measured against how much there is."""


class QdrantStore(VectorStore):
    """The images of one collection. Threads may share it."""

    def __init__(self, engine: Engine, dims: tuple[int, int]) -> None:
        self._engine = engine
        self._dim, self._text_dim = dims
        # One writer at a time: ``set_text`` reads what it writes back.
        self._writing = threading.Lock()
        # ``words.tokens`` makes the words, for any language; the engine only splits at spaces.
        self._bm25 = edge.Bm25(
            edge.Bm25Config(
                tokenizer=edge.TokenizerType.Whitespace,
                stopwords=edge.StopwordsSet(),
                stemmer=edge.DisabledStemmer(),
                avg_len=60.0,
            )
        )

    # --- writing -------------------------------------------------------------------------------------

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        """Add or replace images with their image vectors; durable on return."""
        if image_vectors.shape != (len(records), self._dim):
            raise ValueError(f"{image_vectors.shape} is not {(len(records), self._dim)}")
        last = {record.id: at for at, record in enumerate(records)}
        points = [self._point(records[at], image_vectors[at].tolist()) for at in last.values()]
        with self._writing:
            self._engine.put(points)

    def set_text(self, ids: Sequence[str], texts: Sequence[str], vectors: Sequence[Vectors], /) -> None:
        """Attach words and passage vectors to images that are there; an image has all of it or none."""
        given = dict(zip(ids, zip(texts, vectors, strict=True), strict=True))
        for rows in vectors:
            if len(rows) and rows.shape[1:] != (self._text_dim,):
                raise ValueError(f"{rows.shape} is not (any, {self._text_dim})")
        with self._writing:
            points = []
            for old in self._engine.retrieve(point_ids(list(given)), payload=True, vectors=["image"]):
                text, rows = given[str(old.id)]
                points.append(self._point(replace(_record(old), text=text), old.vector["image"], rows))
            self._engine.put(points)

    def set_copies(self, record: ImageRecord, /) -> None:
        """Rewrite where the image lies; ignored if it is not there."""
        with self._writing:
            self._engine.set_payload(point_ids([record.id]), path_fields(record))

    def set_tags(self, tags: Mapping[str, Sequence[str]], /) -> None:
        """Rewrite the tags of images; unknown ids are ignored."""
        alike: dict[tuple[str, ...], list[Any]] = {}
        for key in point_ids(list(tags)):
            alike.setdefault(tuple(tags[key]), []).append(key)
        with self._writing:
            for found, keys in alike.items():
                self._engine.set_payload(keys, tag_fields(found))

    def delete(self, ids: Sequence[str], /) -> None:
        """Remove images; unknown ids are ignored."""
        with self._writing:
            self._engine.delete(point_ids(ids))

    def _point(self, record: ImageRecord, image: Any, passages: Vectors | None = None) -> Point:
        named: dict[str, Any] = {"image": image}
        if passages is not None and len(passages):
            named["text"] = passages.tolist()
        if record.text and (terms := tokens(record.text)):
            named["words"] = self._bm25.embed_document(" ".join(terms))
        return Point(record.id, named, to_payload(record))

    # --- searching -----------------------------------------------------------------------------------

    def search(
        self, sub_query: SubQuery, query: Vectors | str, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Scored]:
        """Best first, ties by id: ``limit`` after ``offset`` of all that satisfy ``where``."""
        vector: Any
        if isinstance(query, str):
            # Query words that nobody looks for ("the", "show") would match every page of prose.
            terms = content_words(query) or tokens(query)
            vector = self._bm25.embed_query(" ".join(terms)) if terms else None
        else:
            vector = query.tolist() if sub_query == "image" else [query.tolist()]
        if vector is None or limit <= 0:
            return []
        # BM25 sums in single precision, in any order: equal texts differ in the sixth digit.
        exact = partial(round, ndigits=4) if sub_query == "words" else float
        check = Check(where)
        narrowed = to_clauses(where)
        wanted = offset + limit

        def fetch(count: int) -> list[Any]:
            return self._engine.nearest(vector, sub_query, where=narrowed, limit=count, payload=check.fields)

        found = self._first(wanted, fetch, check, lambda point: exact(point.score))
        hits = [Scored(str(point.id), exact(point.score)) for point in found]
        hits.sort(key=lambda hit: (-hit.score, hit.id))
        return hits[offset:wanted]

    def _first(
        self, wanted: int, fetch: Callable[[int], list[Any]], check: Check, rank: Callable[[Any], Any]
    ) -> list[Any]:
        """Return at least the first ``wanted`` points that pass the check, and all that rank as the last."""
        count = wanted + _SPARE
        total = None
        while True:
            if total is None and count > _WIDE:
                total = self._engine.count()
            count = count if total is None else min(count, total)
            points = fetch(count) if count else []
            found = [point for point in points if check(point.payload)]
            if len(points) < count or count == total:
                return found  # that is all there is
            if len(found) >= wanted and rank(points[-1]) < rank(found[wanted - 1]):
                return found  # what was not fetched ranks behind
            count *= 4

    # --- reading -------------------------------------------------------------------------------------

    def scroll(self, where: Where, /, *, limit: int, offset: int = 0) -> list[str]:
        """Ids that satisfy the filter, newest first, then undated ones, ties by id."""
        if limit <= 0:
            return []
        wanted = offset + limit
        check = Check(where)
        narrowed = to_clauses(where)

        def fetch(count: int) -> list[Any]:
            fields = ["taken_at", *check.fields]
            return self._engine.scroll(narrowed, limit=count, payload=fields, newest_first=True)[0]

        dated = self._first(wanted, fetch, check, lambda point: point.payload["taken_at"])
        dated.sort(key=lambda point: str(point.id))
        dated.sort(key=lambda point: point.payload["taken_at"], reverse=True)
        ordered = [str(point.id) for point in dated[:wanted]]
        if len(ordered) < wanted:
            undated = self._matching(where, Clause((Condition("taken_at", "absent"),)))
            ordered += [key for _, key in zip(range(wanted - len(ordered)), undated, strict=False)]
        return ordered[offset:wanted]

    def get(self, ids: Sequence[str], /) -> list[ImageRecord]:
        """Records in the order of ``ids``; unknown ids are left out."""
        points = self._engine.retrieve(point_ids(ids), payload=True)
        by_id = {str(point.id): _record(point) for point in points}
        return [by_id[key] for key in ids if key in by_id]

    def image_vectors(self, ids: Sequence[str], /) -> Vectors:
        """``(len(ids), dim)``; an unknown id is a ``NotFoundError``."""
        points = self._engine.retrieve(point_ids(ids), vectors=["image"])
        by_id = {str(point.id): point.vector["image"] for point in points}
        for key in ids:
            if key not in by_id:
                raise NotFoundError(f"no image with id {key!r}")
        return np.array([by_id[key] for key in ids], np.float32).reshape(len(ids), self._dim)

    def passages(self, ids: Sequence[str], /) -> list[Vectors]:
        """The text vectors of images, ``(n_i, text_dim)`` each, in the order of ``ids``; unknown: none."""
        points = self._engine.retrieve(point_ids(ids), vectors=["text"])
        held = {str(point.id): (point.vector or {}).get("text", ()) for point in points}
        return [np.array(held.get(key, ()), np.float32).reshape(-1, self._text_dim) for key in ids]

    def sample_vectors(self, n: int, /) -> Vectors:
        """Image vectors of the ``n`` smallest ids, which are hashes and so a fair sample."""
        rows: list[Any] = []
        start: Any = None
        while len(rows) < n:
            points, start = self._engine.scroll(
                (), limit=min(PAGE, n - len(rows)), start=start, vectors=["image"]
            )
            rows += [point.vector["image"] for point in points]
            if start is None:
                break
        return np.array(rows, np.float32).reshape(len(rows), self._dim)

    def ids(self) -> Iterator[str]:
        """Every id, ascending."""
        return self._matching(Where())

    def count(self, where: Where | None = None, /) -> int:
        """Return how many images satisfy the filter."""
        where = where or Where()
        if Check(where).fields:
            return sum(1 for _ in self._matching(where))
        return self._engine.count(to_clauses(where))

    def facets(self, where: Where, /, *, limit: int = MOST) -> Facets:
        """Count the values of each facet among the images that satisfy the filter: the ``limit`` most
        frequent of each.
        """
        if Check(where).fields:
            ids = list(self._matching(where))
            pages = (self.get(ids[at : at + PAGE]) for at in range(0, len(ids), PAGE))
            return count_records((record for page in pages for record in page), limit=limit)
        narrowed = to_clauses(where)
        fetched = limit + self._engine.facet_spare
        return {
            facet: in_order(
                ((hit.value, hit.count) for hit in self._engine.facet(field, narrowed, fetched)),
                limit=limit,
            )
            for facet, field in FACET_FIELDS.items()
        }

    def _matching(self, where: Where, *extra: Clause) -> Iterator[str]:
        """Ids that satisfy ``where`` and the ``extra`` clauses, ascending."""
        check = Check(where)
        points = self._engine.each([*to_clauses(where), *extra], payload=check.fields)
        return (str(point.id) for point in points if check(point.payload))

    def close(self) -> None:
        """Flush and let go; closing twice is fine."""
        with self._writing:
            self._engine.close()


def _record(point: Any) -> ImageRecord:
    return to_record(str(point.id), point.payload or {})
