"""Merge the sub-query results into one ranking and decide whether anything matches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from askpix.core.errors import NotFoundError
from askpix.core.types import Mode, Query, Vectors, Where, Why
from askpix.retrieval.late_interaction.page_search import PageScores
from askpix.retrieval.late_interaction.region_search import SheetsFound
from askpix.retrieval.model_hub.languages import Route
from askpix.retrieval.query.operators import names_papers_only
from askpix.retrieval.search.calibration import FIRST, Calibration
from askpix.retrieval.search.fusion import fuse
from askpix.retrieval.search.near_duplicates import Ranked
from askpix.retrieval.search.no_match import Verdict, decide
from askpix.retrieval.search.sub_queries import REGIONS, SubQueries
from askpix.retrieval.search.text_search import FoundTexts
from askpix.retrieval.stores.base import VectorStore

_SPEAKS = 1.5
"""Evidence of a text, in the units of ``fusion``: a passage of cosine 0.3, or a rare word of the query."""


@dataclass(slots=True)
class Search:
    """State of one search, shared by the pages of its ranking."""

    query: Query
    by_picture: bool
    vector: Vectors | None
    texts: FoundTexts
    pages: PageScores
    others: list[str]
    filled: dict[str, float] = field(default_factory=dict)
    """Cosines of what the other sub-queries found and the image sub-query did not."""
    sheets: SheetsFound = field(default_factory=SheetsFound)
    parts: SubQueries = field(default_factory=SubQueries)
    verdict: Verdict | None = None


class Ranking:
    """Ranks and judges what is in one store, by what is usual there."""

    def __init__(self, store: VectorStore, calibration: Calibration) -> None:
        self._store = store
        self._calibration = calibration

    def rank(
        self, search: Search, mode: Mode, wanted: int, by_language: Route
    ) -> tuple[list[Ranked], Verdict]:
        """The best ``wanted`` by falling score, and whether anything matches."""
        where = search.query.where
        vector = search.vector
        texts = search.texts
        pages = search.pages
        others = search.others
        seen: dict[str, float] = {}
        if vector is not None:
            # So many that, whatever the other sub-queries found comes first, the page is filled.
            limit = max(FIRST, wanted + len(others))
            seen = {
                hit.id: hit.score for hit in self._store.search("image", vector, where=where, limit=limit)
            }
        nearest = list(seen)[:FIRST]
        if vector is not None:
            self._fill_cosines(seen, vector, search)
            nearest = search.sheets.join(seen, nearest, first=FIRST)
        usual = 0.0 if vector is None else self._calibration.usual(vector)
        # What an embedder makes of a language that it never learned is no evidence beside texts that fit.
        read = not search.by_picture and not by_language.pictures and by_language.texts
        told = read and any(texts.evidence(id_, self._calibration.count) > _SPEAKS for id_ in texts.ids())
        ranked = [
            (
                self._score(point, {} if told else seen, texts, pages, usual),
                point,
                Why(
                    seen.get(point),
                    texts.cosines.get(point),
                    page=pages.cosines.get(point),
                    words=texts.bm25.get(point),
                ),
            )
            for point in {**seen, **dict.fromkeys(texts.ids())}
        ]
        ranked.sort(key=lambda item: (-item[0], item[1]))
        if search.verdict is None:
            search.verdict = self._verdict(search, mode, nearest, found=bool(ranked))
        return ranked[:wanted], search.verdict

    def _verdict(self, search: Search, mode: Mode, nearest: Sequence[str], *, found: bool) -> Verdict:
        query = search.query
        if not found:
            return Verdict(self.nothing_there(query, mode), 0.0)
        if search.by_picture or query.where.phrases or _met_by_filter(query) or search.pages.stands_out():
            return Verdict(None, 1.0)
        return self._judge(search, nearest)

    def _score(
        self, point: str, seen: dict[str, float], texts: FoundTexts, pages: PageScores, usual: float
    ) -> float:
        cosine = seen.get(point)
        if not texts.terms and not pages.cosines and cosine is not None:
            return cosine
        says = texts.evidence(point, self._calibration.count)
        shows = None if cosine is None else (cosine - usual) / self._calibration.spread
        if (patches := pages.evidence(point)) is not None:
            shows = patches if shows is None else max(shows, patches)
        return fuse(shows, says)

    def _fill_cosines(self, seen: dict[str, float], vector: Vectors, search: Search) -> None:
        """Cosines of the images that only the text sub-queries found: each is judged by all sub-queries."""
        missing = [point for point in search.others if point not in seen and point not in search.filled]
        if missing:
            missing, vectors = self.vectors(missing)
            search.filled.update(zip(missing, (float(cosine) for cosine in vectors @ vector), strict=True))
        for point in search.others:
            if point in search.filled:
                seen.setdefault(point, search.filled[point])

    def vectors(self, points: Sequence[str]) -> tuple[list[str], Vectors]:
        """Return those of ``points`` that still exist, with their image vectors."""
        try:
            return list(points), self._store.image_vectors(points)
        except NotFoundError:  # another thread removed some since they were found
            left = [record.id for record in self._store.get(points)]
            return left, self._store.image_vectors(left)

    def _judge(self, search: Search, nearest: Sequence[str]) -> Verdict:
        """Judge whether the best hits show what was asked, hold its words, or are named so."""
        calibration = self._calibration
        vector = search.vector
        texts = search.texts
        shown = None
        if vector is not None:
            ids, rows = self.vectors(nearest)
            rows = search.parts.ask(REGIONS, partial(search.sheets.shown, ids, rows), rows)
            shown = calibration.evidence(vector, rows)
        return decide(
            search.query.text,
            shown=shown,
            needed=None if shown is None else calibration.threshold,
            image_confidence=0.0 if shown is None else calibration.confidence(shown),
            text_fit=texts.fit() if texts.terms else None,
            uris=self._uris(nearest),
        )

    def _uris(self, ids: Sequence[str]) -> Iterator[str]:
        """Yield the images' files, lazily: mostly the other evidence is enough."""
        for record in self._store.get(ids):
            yield from (record.uri, *record.copies)

    def nothing_there(self, query: Query, mode: Mode = "auto") -> str:
        """Return why a search found nothing, for a person."""
        if self._store.count() == 0:
            return "the collection is empty"
        if query.where != Where() and not self._store.scroll(query.where, limit=1):
            return "no image satisfies the filter"
        return "no text in an image mentions it" if mode == "text" else "nothing fits"


def _met_by_filter(query: Query) -> bool:
    """Return whether the filter alone is the query: nothing else was asked, or "receipts" with a sum."""
    sum_asked = query.where.amount_min is not None or query.where.amount_max is not None
    return not query.text or (sum_asked and names_papers_only(query.text))
