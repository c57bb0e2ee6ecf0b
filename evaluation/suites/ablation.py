"""Ablation: each sub-query of search alone beside all of them together, to see whether the whole is ever
worse than its best part.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

import numpy as np

from askpix.evaluation.data.manifest import Case
from askpix.evaluation.metrics.ranking import Estimate, Floats, Rank, bootstrap, ndcg_at, recall_at

SUB_QUERIES = ("image", "text", "words", "hybrid")
"""Image vectors, passage vectors, BM25, and what ``askpix search`` does."""

RunSubQuery = Callable[[str, str, str | None], Sequence[Sequence[str]]]
"""(sub-query, query, folder to search in or None for all) -> the sources of each hit in rank order."""

COLUMNS = (
    "queries of",
    "n",
    "gallery",
    "sub_query",
    "R@1 %",
    "R@5 %",
    "nDCG@10 %",
    "hybrid - sub-query, nDCG@10",
)


@dataclass(frozen=True, slots=True)
class SubQueryScores:
    """Scores of one sub-query on one group of queries in one gallery (``alone``: only the group's own
    folder).
    """

    group: str
    queries: int
    gallery: str
    sub_query: str
    recall_1: Estimate
    recall_5: Estimate
    ndcg_10: Estimate
    hybrid_gains: Estimate
    """nDCG@10 of the hybrid less that of this sub-query, paired by query; 0 for the hybrid itself."""


@dataclass(frozen=True, slots=True)
class SubQueriesReport:
    """Scores of all groups, galleries and sub-queries."""

    gallery: int
    scores: tuple[SubQueryScores, ...]

    def worse(self) -> tuple[SubQueryScores, ...]:
        """Groups where a single sub-query is significantly better than all together: its whole interval below
        0.
        """
        return tuple(score for score in self.scores if score.hybrid_gains.high < 0)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"worse": [asdict(score) for score in self.worse()]}

    def rows(self) -> list[tuple[str, ...]]:
        """Rows of a table, see ``COLUMNS``; values with 95 % intervals, in %."""
        return [
            (
                score.group,
                str(score.queries),
                score.gallery,
                score.sub_query,
                *(_shown(e) for e in (score.recall_1, score.recall_5, score.ndcg_10)),
                "" if score.sub_query == "hybrid" else _shown(score.hybrid_gains, sign="+"),
            )
            for score in self.scores
        ]


def in_half(case: Case, half: str | None) -> bool:
    """Return whether the case belongs to half ``a`` or ``b`` of the images: constants are chosen on one of
    them and reported on the other. All queries of an image are on one side.
    """
    return half is None or "ab"[crc32(case.image.name.encode()) % 2] == half


def compare_sub_queries(
    groups: Sequence[tuple[str, str | None, Sequence[Case]]],
    ask: RunSubQuery,
    *,
    gallery: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> SubQueriesReport:
    """Ask every case of every group: ``(name, folder, cases)``, each sub-query, in the folder alone and in
    all.

    A group without a folder is asked in all only.
    """
    scores: list[SubQueryScores] = []
    total = sum(len(cases) * (1 + (folder is not None)) for _, folder, cases in groups)
    done = 0
    for name, folder, cases in groups:
        for title, where in ((("alone", folder),) if folder else ()) + (("all", None),):
            ranks: dict[str, list[Rank]] = {sub_query: [] for sub_query in SUB_QUERIES}
            for case in cases:
                for sub_query in SUB_QUERIES:
                    ranks[sub_query].append(_rank(str(case.image), ask(sub_query, case.query, where)))
                done += 1
                if on_progress:
                    on_progress(done, total)
            hybrid = ndcg_at(ranks["hybrid"], 10)
            scores += [_scores(name, title, sub_query, ranks[sub_query], hybrid) for sub_query in SUB_QUERIES]
    return SubQueriesReport(gallery, tuple(scores))


def _scores(
    group: str, gallery: str, sub_query: str, ranks: Sequence[Rank], hybrid: Floats
) -> SubQueryScores:
    own = ndcg_at(ranks, 10)
    return SubQueryScores(
        group=group,
        queries=len(ranks),
        gallery=gallery,
        sub_query=sub_query,
        recall_1=bootstrap(recall_at(ranks, 1)),
        recall_5=bootstrap(recall_at(ranks, 5)),
        ndcg_10=bootstrap(own),
        hybrid_gains=bootstrap(hybrid - own) if sub_query != "hybrid" else bootstrap(np.zeros(len(ranks))),
    )


def _rank(wanted: str, hits: Sequence[Sequence[str]]) -> Rank:
    return next((rank for rank, sources in enumerate(hits, start=1) if wanted in sources), None)


def _shown(estimate: Estimate, sign: str = "") -> str:
    value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
    return f"{value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"
