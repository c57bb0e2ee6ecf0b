"""From a query to hits: ask the legs, fuse, judge whether anything matches, say why."""

import time
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from PIL import Image

from core.errors import BadQueryError
from core.types import Hit, ImageRecord, Mode, Query, SearchResult, Vectors, Where, Why
from retrieval.calibration import SAMPLE, Calibration, calibrate, normal_scores
from retrieval.embedder import Embedder, TextEmbedder
from retrieval.fusion import Evidence, coverage, fuse, trust
from retrieval.snippet import snippet
from retrieval.store import Scored, VectorStore
from retrieval.words import content_words, tokens

_DEPTH = 100
"""Candidates of each leg, at least: what stands lower in all of them is in no first page."""
_WORDS_ENOUGH = 0.5
"""Share of the query's words (rare ones count more) that makes a text match by itself."""
_MEANING_ENOUGH = 0.45
"""Cosine of a passage (all-MiniLM-L6-v2) that does; unrelated passages reach 0.4 in one query of ten."""


class Retriever:
    """Searches one open collection. Thread-safe as far as its embedders and store are."""

    def __init__(
        self,
        embedder: Embedder,
        text_embedder: TextEmbedder,
        store: VectorStore,
        calibration: Calibration | None = None,
    ) -> None:
        self._embedder = embedder
        self._text_embedder = text_embedder
        self._store = store
        self._calibration = calibration or calibrate(embedder, store)

    def retrieve(
        self,
        query: Query,
        *,
        image: Image.Image | None = None,
        image_id: str | None = None,
        top_k: int = 10,
        offset: int = 0,
        mode: Mode = "auto",
        show_all: bool = False,
    ) -> SearchResult:
        """The best ``top_k`` after ``offset``; by words, by a picture (``image``, ``image_id``), or both.

        When nothing matches, ``hits`` is empty unless ``show_all``. Mode ``image`` compares pictures only,
        ``text`` only the words in them. Raises ``BadQueryError`` for a query that asks for nothing, and
        ``NotFoundError`` for an unknown ``image_id``.
        """
        began = time.perf_counter()
        by_picture = self._picture_vector(image, image_id)
        if query.text or by_picture is not None:
            ranked, reason = self._rank(query, by_picture, mode, offset + top_k)
            page = ranked[offset : offset + top_k]
        elif query.where != Where():
            ids = self._store.scroll(query.where, limit=top_k, offset=offset)
            page = [(0.0, Why(), record) for record in self._store.get(ids)]
            reason = None if page or offset else "no picture satisfies the filter"
        else:
            raise BadQueryError("nothing to search for; give words, a picture or a filter")
        hits = () if reason and not show_all else self._hits(query, page, offset)
        return SearchResult(query, reason is None, reason, hits, (time.perf_counter() - began) * 1000)

    @staticmethod
    def _hits(query: Query, page: Sequence[tuple[float, Why, ImageRecord]], offset: int) -> tuple[Hit, ...]:
        return tuple(
            Hit(
                rank=offset + position,
                record=record,
                score=score,
                why=why,
                snippet=snippet(record.text, query.text, query.where.phrases),
            )
            for position, (score, why, record) in enumerate(page, start=1)
        )

    # --- the legs ------------------------------------------------------------------------------------

    def _picture_vector(self, image: Image.Image | None, image_id: str | None) -> Vectors | None:
        if image is not None:
            vectors = self._embedder.embed_images([image])
        elif image_id is not None:
            vectors = self._store.image_vectors([image_id])
        else:
            return None
        row: Vectors = vectors[0]
        return row

    def _rank(
        self, query: Query, by_picture: Vectors | None, mode: Mode, wanted: int
    ) -> tuple[list[tuple[float, Why, ImageRecord]], str | None]:
        """Every candidate by falling score, and why nothing matches (None when something does)."""
        depth = max(_DEPTH, 4 * wanted)
        vector = self._image_query(query.text, by_picture) if mode != "text" or not query.text else None
        image_leg = self._search("image", vector, query.where, depth)
        text_leg: dict[str, float] = {}
        words_leg: dict[str, float] = {}
        if query.text and mode != "image":
            meaning = self._text_embedder.embed_texts([query.text])[0]
            text_leg = self._search("text", meaning, query.where, depth)
            words_leg = self._search("words", query.text, query.where, depth)
        records = self._store.get(sorted({*image_leg, *text_leg, *words_leg}))
        if vector is not None:
            self._fill_cosines(image_leg, vector, records)
        terms = content_words(query.text)
        held = {record.id: frozenset(tokens(record.text)) for record in records}
        shares = coverage(terms, held) if mode != "image" else dict.fromkeys(held, 0.0)
        mean, spread = 0.0, 1.0
        if vector is not None:
            mean, spread = normal_scores(vector, self._sample, self._calibration.spread)
        belief = trust(max(image_leg.values(), default=0.0), self._calibration.threshold)
        ranked: list[tuple[float, Why, ImageRecord]] = []
        for record in records:
            cosine, meaning_cosine = image_leg.get(record.id), text_leg.get(record.id)
            z = belief * (cosine - mean) / spread if cosine is not None else None
            score = fuse(Evidence(z, meaning_cosine, shares[record.id]))
            if mode == "image" or not query.text:
                score = cosine or 0.0
            ranked.append((score, Why(cosine, meaning_cosine), record))
        ranked.sort(key=lambda item: (-item[0], item[2].id))
        if by_picture is not None and ranked:
            return ranked, None
        return ranked, self._why_nothing(query, ranked, shares, terms)

    def _image_query(self, text: str, by_picture: Vectors | None) -> Vectors | None:
        """The vector that pictures are compared with: of the words, of the picture, or half of each."""
        parts = [] if by_picture is None else [by_picture]
        if text:
            parts.append(self._embedder.embed_texts([text])[0])
        if not parts:
            return None
        total: Vectors = np.sum(parts, axis=0)
        return (total / max(float(np.linalg.norm(total)), 1e-12)).astype(np.float32)

    def _search(self, leg: str, query: Vectors | str | None, where: Where, depth: int) -> dict[str, float]:
        if query is None:
            return {}
        found: list[Scored] = self._store.search(leg, query, where=where, limit=depth)  # type: ignore[arg-type]
        return {hit.id: hit.score for hit in found}

    def _fill_cosines(self, leg: dict[str, float], vector: Vectors, records: Sequence[ImageRecord]) -> None:
        """Cosines of the candidates that only the text legs found: each candidate is judged by all legs."""
        missing = [record.id for record in records if record.id not in leg]
        if missing:
            cosines = self._store.image_vectors(missing) @ vector
            leg.update(zip(missing, (float(cosine) for cosine in cosines), strict=True))

    @cached_property
    def _sample(self) -> Vectors:
        return self._store.sample_vectors(SAMPLE)

    # --- the verdict ---------------------------------------------------------------------------------

    def _why_nothing(
        self,
        query: Query,
        ranked: Sequence[tuple[float, Why, ImageRecord]],
        shares: dict[str, float],
        terms: Sequence[str],
    ) -> str | None:
        """None when the best hits show what was asked, or hold its words; else what was missing."""
        if not ranked:
            if self._calibration.count == 0 and self._store.count() == 0:
                return "the collection is empty"
            return "no picture satisfies the filter and the exact words"
        best_cosine = max((why.image for _, why, _ in ranked if why.image is not None), default=None)
        if best_cosine is not None and best_cosine > self._calibration.threshold:
            return None
        if terms and max(shares.values(), default=0.0) >= _WORDS_ENOUGH:
            return None
        if max((why.text for _, why, _ in ranked if why.text is not None), default=0.0) >= _MEANING_ENOUGH:
            return None
        if query.where.phrases:
            return None
        return (
            f"no picture shows it (best {best_cosine or 0.0:.2f}, sentences about nothing reach "
            f"{self._calibration.threshold:.2f}) and no text speaks of it"
        )
