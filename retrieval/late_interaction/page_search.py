"""The sub-query of search that compares the query's tokens with the patches of pages.

MaxSim scores of one query are comparable, those of two are not, and every query finds some page that is best.
So a score is told as a distance from what this query usually gets: the mean over a fixed sample of the pages,
in units of their spread.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from askpix.retrieval.late_interaction.base import LateEmbedder
from askpix.retrieval.late_interaction.reranker import LateReranker
from askpix.retrieval.stores.pages import PageStore

PAGE_DEPTH = 50
"""Pages that the sub-query brings into a search, however many hits are asked for."""
SAMPLE = 32
"""Pages that say what is usual: their ids are hashes, so the first ones are a fair sample."""
_MIN_SPREAD = 0.01
"""Least spread of mean cosines: fewer pages, or pages all alike, would make any difference look large."""
_FEW = 8
"""Pages below which a sample tells nothing of what is usual."""
_BEYOND_CHANCE = 1.5
"""Spreads; not measured on trained weights yet, so on the side of refusing."""


@dataclass(frozen=True, slots=True)
class PageScores:
    """Mean best cosines by id, of the pages found, and what is usual for this query."""

    cosines: dict[str, float] = field(default_factory=dict)
    usual: float = 0.0
    spread: float = 1.0
    threshold: float = float("inf")
    """Evidence from which the best page answers and is not only the best of many."""

    def evidence(self, point: str) -> float | None:
        """Return how strongly the page answers, in spreads above the usual; None when it was not found."""
        cosine = self.cosines.get(point)
        return None if cosine is None else (cosine - self.usual) / self.spread

    def stands_out(self) -> bool:
        """Return whether the best page fits better than the best of so many would by chance."""
        return max((self.evidence(point) or 0.0 for point in self.cosines), default=0.0) > self.threshold


class PageSubQuery:
    """Late interaction on an open page store. Thread-safe as far as its parts are."""

    def __init__(self, embedder: LateEmbedder, pages: PageStore) -> None:
        self._embedder = embedder
        self._pages = pages

    def reranker(self) -> LateReranker:
        """The same model as a second look, by the matrices that are there."""
        return LateReranker(self._embedder, self._pages)

    def find(self, text: str, *, limit: int = PAGE_DEPTH, among: Collection[str] | None = None) -> PageScores:
        """The best ``limit`` pages for the words, among those ids or all."""
        (query,) = self._embedder.embed_texts([text])
        hits = self._pages.search_pages(query, limit=limit, among=among)
        if not hits:
            return PageScores()
        sample = list(islice(self._pages.ids(), SAMPLE))
        usual = [hit.score for hit in self._pages.search_pages(query, limit=SAMPLE, among=sample)]
        if len(usual) < _FEW:
            return PageScores({hit.id: hit.score for hit in hits}, min(hit.score for hit in hits), 1.0)
        return PageScores(
            {hit.id: hit.score for hit in hits},
            float(np.mean(usual)),
            max(_MIN_SPREAD, float(np.std(usual))),
            # The best of n unrelated ones stands some sqrt(2 ln n) spreads above the mean.
            math.sqrt(2 * math.log(max(2, self._pages.count()))) + _BEYOND_CHANCE,
        )
