"""One kind of vector of a FAISS store: its log, its living rows, and the index that proposes candidates."""

import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from askpix.core.types import Vectors
from askpix.retrieval.faiss.index import FaissIndex, IndexKind, Positions, kind_for
from askpix.retrieval.faiss.vector_log import VectorLog

FEW = 2_000
"""Rows that are scored at once without asking an index."""
FEW_SHARE = 0.02
"""Share of all rows, up to ``_FEW_MOST``, below which rows are scored exactly: an index cannot beat it
without losing some.
"""
_FEW_MOST = 20_000
_CANDIDATES = {"hnsw": 48, "ivf_pq": 2_000}
"""Fewest candidates rescored with the vectors themselves: 8-bit codes hardly err, product codes do."""
_SCANNED = {"ivf_pq": 4_000}
"""Fewest candidates rescored after a filtered scan: product codes separate distant neighbours badly (0.94
with 400).
"""
_SCAN_SHARE = 0.1
"""An index that must propose more than this share of its rows is slower than a scan."""
_UNSAVED = 1_000
"""Rows that an index may have beyond its snapshot: adding them again at the next start takes a second."""
ROUNDING = 4e-6
"""Largest error of a score in single precision."""
Scores = NDArray[np.float64]


class FaissSubQuery:
    """Rows by number. Searching may go on side by side; all that changes it needs to be alone."""

    def __init__(self, path: Path, dim: int, *, rows: int, alive: Positions) -> None:
        """Open the log at ``path`` with its ``rows`` committed rows, and the snapshot beside it."""
        self.path = path
        self._dim = dim
        self.log = VectorLog(path, dim, committed=rows)
        self._alive: NDArray[np.bool_] = np.zeros(max(1024, rows), np.bool_)
        self._alive[alive] = True
        self._living = len(alive)
        index = FaissIndex.load(path.with_suffix(".faiss"), dim, at_most=rows)
        self._index = index or FaissIndex.build("flat", VectorLog.empty(dim), dim, count=0)
        self._saved = len(self._index)
        self._catch_up(self._index)

    @property
    def kind(self) -> IndexKind:
        """The index in use."""
        return self._index.kind

    @property
    def dead(self) -> int:
        """Rows that belong to nobody any more."""
        return len(self.log) - self._living

    # --- changing ------------------------------------------------------------------------------------

    def append(self, rows: Vectors) -> int:
        """Write rows behind the last; the number of the first. They are nobody's until ``enliven``."""
        first = len(self.log)
        self.log.append(rows)
        return first

    def enliven(self, first: int, count: int) -> None:
        """Rows that were appended are committed now."""
        self._reserve(first + count)
        self._alive[first : first + count] = True
        self._living += count
        self._catch_up(self._index)

    def bury(self, numbers: Positions) -> None:
        """Mark these rows as deleted."""
        self._living -= int(self._alive[numbers].sum())
        self._alive[numbers] = False

    def _reserve(self, count: int) -> None:
        if count > len(self._alive):
            grown = np.zeros(max(count, 2 * len(self._alive)), np.bool_)
            grown[: len(self._alive)] = self._alive
            self._alive = grown

    def _catch_up(self, index: FaissIndex) -> None:
        while len(index) < len(self.log):
            at = len(index)
            index.add(self.log.view(at, min(at + 20_000, len(self.log))))

    def wanted_kind(self, chosen: IndexKind | None) -> IndexKind:
        """The index this sub-query should have: the chosen one, or the one that suits its size."""
        return chosen or kind_for(len(self.log))

    def build(self, kind: IndexKind, count: int, stop: threading.Event | None = None) -> FaissIndex:
        """An index of the first ``count`` rows, all committed; searches and writes may go on meanwhile."""
        return FaissIndex.build(kind, self.log, self._dim, count=count, stop=stop)

    def use(self, index: FaissIndex) -> None:
        """Take an index that was built, with what was written meanwhile."""
        self._catch_up(index)
        self._index = index

    def save(self) -> None:
        """Write the snapshot that the next start loads instead of building the index."""
        self._index.save(self.path.with_suffix(".faiss"))
        self._saved = len(self._index)

    def save_if_changed(self) -> None:
        """The same, when enough was added since for the next start to notice."""
        if len(self._index) - self._saved > _UNSAVED:
            self.save()

    def close(self) -> None:
        """Let go of the log."""
        self.log.close()

    # --- searching -----------------------------------------------------------------------------------

    def nearest(
        self, query: Vectors, k: int, among: Positions | None = None
    ) -> tuple[Positions, Scores, bool]:
        """Return at least ``k`` living rows (of ``among``, when given) nearest to the query, best first:
        their numbers and exact scores, and whether these are all there are. Others score at most ``ROUNDING``
        above the last, as far as the index can tell.
        """
        if among is not None:
            among = among[self._alive[among]]
        total = self._living if among is None else len(among)
        if not total or k <= 0:
            return np.empty(0, np.int64), np.empty(0), not total
        if among is not None and len(among) <= max(FEW, min(_FEW_MOST, FEW_SHARE * len(self.log))):
            return self._all_of(among, query, k)
        fetch = min(total, k if self._index.exact else max(_CANDIDATES[self.kind], 2 * k))
        found = np.empty(0, np.int64)
        if among is None and self._index.exact and not self.dead:
            found = self._index.nearest(query, fetch)
        elif among is None and not self._index.exact and fetch + self.dead <= _SCAN_SHARE * total:
            found = self._index.nearest(query, fetch + min(self.dead, fetch))
            found = found[self._alive[found]]
        if len(found) < min(k, total):
            fetch = max(fetch, min(total, _SCANNED.get(self.kind, 0)))
            found = self._index.nearest_among(query, fetch, self._allowed(among))
        return *self._all_of(found, query, k)[:2], len(found) >= total

    def _all_of(self, among: Positions, query: Vectors, k: int) -> tuple[Positions, Scores, bool]:
        among = np.sort(among)
        if len(among) > 4 * k:
            rough = self.log.rough_scores(among, query)
            edge = np.partition(rough, len(rough) - k)[len(rough) - k]
            kept = among[rough >= edge - 2 * ROUNDING]
        else:
            kept = among
        return *self._scored(kept, query), len(kept) == len(among)

    def _allowed(self, among: Positions | None) -> NDArray[np.bool_]:
        if among is None:
            return self._alive
        allowed = np.zeros(len(self._alive), np.bool_)
        allowed[among] = True
        return allowed

    def _scored(self, numbers: Positions, query: Vectors) -> tuple[Positions, Scores]:
        numbers = np.sort(numbers)  # in the order of the file
        scores = self.log.scores(numbers, query)
        order = np.argsort(-scores, kind="stable")
        return numbers[order], scores[order]
