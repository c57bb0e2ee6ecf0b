"""Retrieval: run the sub-queries, fuse them, judge whether anything matches, and say why.

Scores do not depend on how many hits are asked for, so pages joined are one long result: the text sub-queries
give their best ``found_texts.DEPTH`` each, always; as many of the image sub-query are joined to these as the
page needs.
"""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from PIL import Image

from askpix.core.errors import BadQueryError
from askpix.core.types import Box, Hit, ImageRecord, Mode, Query, SearchResult, Vectors, Where, Why
from askpix.retrieval.embedders.base import Embedder, TextEmbedder
from askpix.retrieval.late_interaction.page_search import PageScores, PageSubQuery
from askpix.retrieval.late_interaction.region_search import SheetsFound, SheetSubQuery
from askpix.retrieval.model_hub.languages import Route, route
from askpix.retrieval.search.calibration import Calibration, calibrate
from askpix.retrieval.search.diversity import alike_from
from askpix.retrieval.search.near_duplicates import Group, Groups, spread
from askpix.retrieval.search.query_vector import image_vector, query_vector
from askpix.retrieval.search.ranking import Ranking, Search
from askpix.retrieval.search.sub_queries import PAGES, REGIONS, SubQueries
from askpix.retrieval.search.text_search import FoundTexts, find_texts
from askpix.retrieval.stores.base import SubQuery, VectorStore
from askpix.retrieval.stores.excluding import LeftOut
from askpix.retrieval.text.snippet import snippet

_log = logging.getLogger(__name__)
POOL = 100
"""Hits that are spread out when a diverse page is asked for: the same ones for every page."""
BEHIND = (
    "an older version made this collection: dates, sums and countries are filtered right only after the next"
    " `askpix index`"
)
_SPARE = 32
"""Looked at beyond the page: doubles of its hits that follow it are counted as far as that."""


class Retriever:
    """Searches one open collection. Thread-safe as far as its embedders and store are."""

    def __init__(
        self,
        embedder: Embedder,
        text_embedder: TextEmbedder,
        store: VectorStore,
        calibration: Calibration | None = None,
        page_sub_query: PageSubQuery | None = None,
        *,
        sheet_sub_query: SheetSubQuery | None = None,
    ) -> None:
        self._embedder = embedder
        self._text_embedder = text_embedder
        self._store = store
        self._calibration = calibration or calibrate(embedder, store)
        self._ranking = Ranking(store, self._calibration)
        self.page_sub_query = page_sub_query
        self._sheet_sub_query = sheet_sub_query

    @property
    def store(self) -> VectorStore:
        """The store that is searched."""
        return self._store

    def without(self, ids: Collection[str]) -> "Retriever":
        """The same, as if the images ``ids`` were not there; what is usual is not measured anew."""
        return self._on(LeftOut(self._store, ids), self._sheet_sub_query)

    def with_sheets(self, sub_query: SheetSubQuery | None) -> "Retriever":
        """The same, which looks at the images on sheets too."""
        return self if sub_query is None else self._on(self._store, sub_query)

    def _on(self, store: VectorStore, sheets: SheetSubQuery | None) -> "Retriever":
        sub_queries = self._calibration, self.page_sub_query
        return Retriever(self._embedder, self._text_embedder, store, *sub_queries, sheet_sub_query=sheets)

    def run_sub_query(self, sub_query: SubQuery, text: str, *, where: Where, top_k: int) -> list[ImageRecord]:
        """Return what one sub-query alone finds for ``text``, best first: to compare sub-queries, not to
        search with.
        """
        vector: Vectors | str = text
        if sub_query == "image":
            vector = query_vector(self._embedder, Query(text=text), None)
        elif sub_query == "text":
            vector = self._text_embedder.embed_queries([text])[0]
        found = self._store.search(sub_query, vector, where=where, limit=top_k)
        return self._store.get([hit.id for hit in found])

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
        collapse: bool = True,
        diverse: float | None = None,
        partial: bool = False,
    ) -> SearchResult:
        """The best ``top_k`` after ``offset``; by words, by an image (``image``, ``image_id``), or both.

        When nothing matches, ``hits`` is empty unless ``show_all``. An image always has nearest ones: with
        one, something matches unless the filter leaves nothing. Mode ``image`` compares images only,
        ``text`` only the words in them; ``auto`` and ``hybrid`` do all that the query allows. A query of
        filters alone lists the newest first, with score 0.

        ``collapse`` makes one hit of bursts and near duplicates (``diversity``). ``diverse`` (0..1, 1 keeps
        the order) spreads the first ``POOL`` hits over what there is.

        ``partial``: where texts, pages or regions cannot be searched, a note says so and the rest is
        returned. Where images, or all that was to be searched, cannot, it is a ``StoreUnavailableError``.

        Raises ``BadQueryError`` for a query that asks for nothing, a page that cannot be, or an image in
        mode ``text``; ``NotFoundError`` for an unknown ``image_id``.
        """
        began = time.perf_counter()
        if top_k < 1 or offset < 0:
            raise BadQueryError(f"a page of {top_k} hits after {offset} cannot be; ask for at least one")
        by_picture = image_vector(self._embedder, self._store, image, image_id)
        if by_picture is not None and mode == "text":
            raise BadQueryError("mode 'text' searches words only; leave the image out or take mode 'auto'")
        if diverse is not None and not 0 <= diverse <= 1:
            raise BadQueryError(f"diverse is {diverse}; it goes from 0 (unlike each other) to 1 (best first)")
        by_language = route(
            query.text,
            self._embedder.base_id,
            self._text_embedder.model_id,
        )
        wanted = max(offset + top_k, 0 if diverse is None else POOL)
        depth = wanted + (_SPARE if collapse else 0)
        search = None
        if query.text or query.parts or by_picture is not None:
            search = self._search(query, by_picture, mode, SubQueries(partial=partial))
        calibration = self._calibration
        alike = alike_from(calibration.likeness, calibration.likeness_spread)
        gathered = Groups(self._store.get, self._ranking.vectors, alike=alike)
        while True:
            if search:
                ranked, verdict = self._ranking.rank(search, mode, depth, by_language)
                reason = verdict.reason
                sure = verdict.confidence if by_picture is None else None
            elif query.where != Where():
                listed = self._store.scroll(query.where, limit=depth)
                ranked = [(0.0, point, Why()) for point in listed]
                reason = None if ranked else self._ranking.nothing_there(query)
                sure = None
            else:
                raise BadQueryError("nothing to search for: give words, a picture or a filter")
            if reason and not show_all:
                groups = []
                break
            groups = gathered.gather(ranked) if collapse else [Group(*item) for item in ranked]
            if len(groups) >= wanted or len(ranked) < depth:
                break
            # As far as it takes if it goes on like this: many copies are passed in few steps.
            depth = max(2 * depth, min(4 * depth, depth * wanted // max(1, len(groups))))
        if diverse is not None:
            groups = spread(groups, self._ranking.vectors, weight=diverse, pool=POOL)
        page = self._hits(query, groups[offset : offset + top_k], search, offset)
        notes = (*self._notes(query, mode, by_language), *(search.parts.notes() if search else ()))
        if reason:
            reason = "; ".join([reason, *notes])
        took_ms = (time.perf_counter() - began) * 1000
        _log.info("search: %d hits in %.1f ms%s", len(page), took_ms, "; nothing matches" if reason else "")
        _log.debug("search: %s; %s; weights by language: %s", query, reason or "matched", by_language)
        return SearchResult(query, reason is None, reason, page, took_ms, notes, sure)

    def _notes(self, query: Query, mode: Mode, by_language: Route) -> tuple[str, ...]:
        """Return the notes for a person on the result."""
        found = [by_language.note] if by_language.note and mode != "text" else []
        regions = any("-" in (each.country or "") for each in (query.where, *query.where.must_not))
        behind = self._store.without_regions if regions else self._store.behind
        if behind and _asks_what_is_derived(query.where):
            found.append(BEHIND)
        return tuple(found)

    def _hits(
        self, query: Query, page: Sequence[Group], search: Search | None, offset: int
    ) -> tuple[Hit, ...]:
        records = {record.id: record for record in self._store.get([group.point for group in page])}
        texts = search.texts if search else FoundTexts()
        regions: dict[str, Box] = {}
        if search:
            regions = search.parts.ask(REGIONS, lambda: search.sheets.regions(records), regions)
        phrases = query.where.phrases
        return tuple(
            Hit(
                rank=rank,
                record=records[group.point],
                score=group.score,
                why=group.why,
                snippet=snippet(records[group.point].text, texts.weights, phrases)
                if phrases or group.point in texts.cosines or group.point in texts.bm25
                else None,
                region=regions.get(group.point),
                similar=group.similar,
            )
            for rank, group in enumerate(page, start=offset + 1)
            if group.point in records  # else removed a moment ago
        )

    def _search(self, query: Query, by_picture: Vectors | None, mode: Mode, parts: SubQueries) -> Search:
        """Ask the sub-queries whose answers do not depend on the page."""
        where = query.where
        vector = None if mode == "text" else query_vector(self._embedder, query, by_picture)
        texts = (
            find_texts(self._store, self._text_embedder, query.text, where, parts)
            if query.text and mode != "image"
            else FoundTexts()
        )
        pages = PageScores()
        sheets = SheetsFound()
        if (sub_query := self.page_sub_query) and query.text and mode != "text":
            pages = parts.ask(PAGES, lambda: sub_query.find(query.text, among=self._among(where)), pages)
        if (inner := self._sheet_sub_query) and vector is not None:
            sheets = SheetsFound(inner, vector)
            sheets.cosines = parts.ask(
                REGIONS, lambda: inner.find(vector, among=self._among(where)), sheets.cosines
            )
        if vector is None:
            parts.raise_if_none_answered()
        others = list(dict.fromkeys([*texts.ids(), *pages.cosines, *sheets.cosines]))
        return Search(query, by_picture is not None, vector, texts, pages, others, sheets=sheets, parts=parts)

    def _among(self, where: Where) -> list[str] | None:
        return None if where == Where() else self._store.scroll(where, limit=self._store.count(where))


def _asks_what_is_derived(where: Where) -> bool:
    asked = replace(where, path=None, kind=None, tags=(), camera=None, phrases=(), without=(), near=None)
    return asked != Where()
