"""Retrieval measured: does each query find its image, and how high does it stand?"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from askpix.evaluation.data.manifest import Case
from askpix.evaluation.metrics.ranking import Estimate, Rank, bootstrap, ndcg_at, recall_at, reciprocal_rank

Retrieve = Callable[[str], tuple[bool, Sequence[Sequence[str]]]]
"""Query -> (matched?, the sources of each hit in rank order, nothing left out)."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of a group of queries. ``matched`` is the share that was not refused as "nothing matches"."""

    group: str
    queries: int
    recall_1: Estimate
    recall_5: Estimate
    recall_10: Estimate
    mrr: Estimate
    ndcg_10: Estimate
    matched: float


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """Overall first, then by kind of query and by source of image, where there are several."""

    dataset: str
    gallery: int
    scores: tuple[Scores, ...]
    absent: int = 0
    """Queries that nothing answers."""
    absent_refused: Estimate | None = None
    """The share of those that were met with "nothing matches"."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def rows(self) -> list[tuple[str, ...]]:
        """Rows of a table: group, queries, R@1, R@5, R@10 (95 % interval), MRR, nDCG@10, matched; in %."""
        return [
            (
                scores.group,
                str(scores.queries),
                *(
                    f"{100 * e.value:.1f} ({100 * e.low:.1f}-{100 * e.high:.1f})"
                    for e in (scores.recall_1, scores.recall_5, scores.recall_10)
                ),
                f"{100 * scores.mrr.value:.1f}",
                f"{100 * scores.ndcg_10.value:.1f}",
                f"{100 * scores.matched:.1f}",
            )
            for scores in self.scores
        ]


COLUMNS = ("queries of", "n", "R@1 %", "R@5 %", "R@10 %", "MRR", "nDCG@10", "matched %")


def evaluate(
    dataset: str,
    cases: Sequence[Case],
    retrieve: Retrieve,
    *,
    gallery: int,
    absent: Sequence[str] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> RetrievalReport:
    """Ask every case. The rank of an image is that of the first hit that has it among its sources.

    ``absent`` queries are right when they are refused.
    """
    ranks: list[Rank] = []
    matched: list[bool] = []
    for number, case in enumerate(cases, start=1):
        found, hits = retrieve(case.query)
        matched.append(found)
        ranks.append(_rank(case.image, hits))
        if on_progress:
            on_progress(number, len(cases))
    groups = {"all": list(range(len(cases)))}
    for names in ([case.kind for case in cases], [case.set for case in cases]):
        if len(set(names)) > 1:
            for position, name in enumerate(names):
                groups.setdefault(name, []).append(position)
    scores = tuple(
        _score(name, [ranks[i] for i in chosen], [matched[i] for i in chosen])
        for name, chosen in groups.items()
    )
    refused = np.array([not retrieve(query)[0] for query in absent], dtype=float)
    return RetrievalReport(dataset, gallery, scores, len(absent), bootstrap(refused) if absent else None)


def _rank(image: Path, hits: Sequence[Sequence[str]]) -> Rank:
    wanted = str(image)
    return next((rank for rank, sources in enumerate(hits, start=1) if wanted in sources), None)


def _score(name: str, ranks: Sequence[Rank], matched: Sequence[bool]) -> Scores:
    return Scores(
        group=name,
        queries=len(ranks),
        recall_1=bootstrap(recall_at(ranks, 1)),
        recall_5=bootstrap(recall_at(ranks, 5)),
        recall_10=bootstrap(recall_at(ranks, 10)),
        mrr=bootstrap(reciprocal_rank(ranks)),
        ndcg_10=bootstrap(ndcg_at(ranks, 10)),
        matched=sum(matched) / max(1, len(matched)),
    )
