"""A second look measured: what it gains over the search it looks at again, and what it costs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from askpix.evaluation.data.manifest import Case
from askpix.evaluation.metrics.ranking import Estimate, Rank, bootstrap, ndcg_at, recall_at
from askpix.evaluation.suites.retrieval import RetrievalReport, Retrieve, evaluate


@dataclass(frozen=True, slots=True)
class RerankReport:
    """The same queries without and with the second look.

    Gains are means of paired differences, with 95 % bootstrap intervals over queries: one that holds 0 is no
    proof of a gain. Times are milliseconds a query, search included.
    """

    reranker: str
    before: RetrievalReport
    after: RetrievalReport
    ms_before: float
    ms_after: float
    gains: dict[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The gains and the cost for a person."""
        shown = ", ".join(
            f"{name} {100 * gain.value:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
            for name, gain in self.gains.items()
        )
        return [
            f"gain of {self.reranker} in points: {shown}",
            f"cost: {self.ms_after:.0f} instead of {self.ms_before:.0f} ms a query",
        ]


def compare(
    dataset: str,
    cases: Sequence[Case],
    before: Retrieve,
    after: Retrieve,
    *,
    reranker: str,
    gallery: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> RerankReport:
    """Ask every case both ways. Both give the first ten hits or more."""
    plain = _Watched(before, cases)
    looked = _Watched(after, cases)
    reports = [
        evaluate(dataset, cases, way, gallery=gallery, on_progress=on_progress) for way in (plain, looked)
    ]
    gains = {
        "R@1": bootstrap(recall_at(looked.ranks, 1) - recall_at(plain.ranks, 1)),
        "R@5": bootstrap(recall_at(looked.ranks, 5) - recall_at(plain.ranks, 5)),
        "nDCG@10": bootstrap(ndcg_at(looked.ranks, 10) - ndcg_at(plain.ranks, 10)),
    }
    return RerankReport(reranker, reports[0], reports[1], plain.ms(), looked.ms(), gains)


class _Watched:
    """A ``Retrieve`` that notes ranks and times; asked case by case, in order."""

    def __init__(self, retrieve: Retrieve, cases: Sequence[Case]) -> None:
        self._retrieve = retrieve
        self._cases = cases
        self.ranks: list[Rank] = []
        self._seconds = 0.0

    def __call__(self, query: str) -> tuple[bool, Sequence[Sequence[str]]]:
        began = time.perf_counter()
        matched, hits = self._retrieve(query)
        self._seconds += time.perf_counter() - began
        image = str(self._cases[len(self.ranks)].image)
        self.ranks.append(next((at for at, held in enumerate(hits, start=1) if image in held), None))
        return matched, hits

    def ms(self) -> float:
        return round(1000 * self._seconds / max(1, len(self.ranks)), 1)
