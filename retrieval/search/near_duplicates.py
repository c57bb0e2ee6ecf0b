"""Found images as they are shown: doubles gathered into one hit, fed with a ranking that grows.

A search among many copies must walk past all of them before its page is full. So what was compared once is
not compared again when the ranking is asked for further: only what is new in it is read from the store.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from askpix.core.types import ImageRecord, Vectors, Why
from askpix.retrieval.search.diversity import Doubles, Seen, spread_out

Ranked = tuple[float, str, Why]
"""Score, id and what the sub-queries thought."""


@dataclass(frozen=True, slots=True)
class Group:
    """A hit to be, with the ids of those that are as good as the same."""

    score: float
    point: str
    why: Why
    similar: tuple[str, ...] = ()


class Groups:
    """Gathers what is ranked. ``records`` and ``vectors`` read the store: unknown ids are left out by both,
    and ``vectors`` says which are there."""

    def __init__(
        self,
        records: Callable[[Sequence[str]], list[ImageRecord]],
        vectors: Callable[[Sequence[str]], tuple[list[str], Vectors]],
        *,
        alike: float,
    ) -> None:
        self._records = records
        self._vectors = vectors
        self._alike = alike
        self._start([])

    def _start(self, ranked: Sequence[Ranked]) -> None:
        self._fed = [item[1] for item in ranked]
        self._left: list[Ranked] = []
        self._doubles = Doubles(self._alike)

    def gather(self, ranked: Sequence[Ranked]) -> list[Group]:
        """The groups of a ranking that begins with what was given before."""
        points = [point for _, point, _ in ranked]
        known = len(self._fed)
        if points[:known] != self._fed:  # written to meanwhile: begin anew
            self._start([])
            known = 0
        new = points[known:]
        records = {record.id: record for record in self._records(new)}
        there, vectors = self._vectors([point for point in new if point in records])
        by_id = dict(zip(there, vectors, strict=True))
        left = [item for item in ranked[known:] if item[1] in by_id]
        self._doubles.add([Seen(records[point], by_id[point]) for _, point, _ in left])
        self._left += left
        self._fed = points
        return [
            Group(*self._left[head], similar=tuple(self._left[i][1] for i in others))
            for head, others in self._doubles.groups
        ]


def spread(
    groups: list[Group],
    vectors: Callable[[Sequence[str]], tuple[list[str], Vectors]],
    *,
    weight: float,
    pool: int,
) -> list[Group]:
    """The first ``pool`` groups in the order of ``spread_out``, the others behind them."""
    there, rows = vectors([group.point for group in groups[:pool]])
    by_id = dict(zip(there, rows, strict=True))
    first = [group for group in groups[:pool] if group.point in by_id]
    if not first:
        return groups[pool:]
    order = spread_out(
        [group.score for group in first], np.stack([by_id[group.point] for group in first]), weight=weight
    )
    return [*(first[i] for i in order), *groups[pool:]]
