"""Doubles are gathered as the ranking grows: the same groups as in one go, nothing compared twice."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from askpix.core.types import ImageRecord, Vectors, Why
from askpix.retrieval.search.diversity import Seen, collapsed
from askpix.retrieval.search.near_duplicates import Group, Groups, Ranked, spread
from tests.support.fakes import record, unit

ALIKE = 0.9


class Shelf:
    """Records and vectors by id, counting what is read."""

    def __init__(self, pictures: int, copies: int) -> None:
        generator = np.random.default_rng(3)
        bases = unit(generator.normal(size=(pictures, 32)))
        self.records: dict[str, ImageRecord] = {}
        self.rows: dict[str, Vectors] = {}
        self.read: Counter[str] = Counter()
        for number in range(pictures * copies):
            base = number % pictures
            phash = np.random.default_rng(base).bytes(32).hex()
            made = record(f"p{number}", phash=phash)
            self.records[made.id] = made
            self.rows[made.id] = unit(bases[base] + 0.01 * generator.normal(size=32))[0]
        order = generator.permutation(list(self.records))
        self.ranked: list[Ranked] = [(1.0 - at / 1e4, str(point), Why()) for at, point in enumerate(order)]

    def get(self, ids: Sequence[str]) -> list[ImageRecord]:
        self.read.update(ids)
        return [self.records[point] for point in ids if point in self.records]

    def vectors(self, ids: Sequence[str]) -> tuple[list[str], Vectors]:
        there = [point for point in ids if point in self.rows]
        return there, np.array([self.rows[point] for point in there], np.float32).reshape(len(there), 32)

    def at_once(self, count: int) -> list[tuple[str, tuple[str, ...]]]:
        points = [point for _, point, _ in self.ranked[:count] if point in self.records]
        seen = [Seen(self.records[point], self.rows[point]) for point in points]
        return [
            (points[head], tuple(points[i] for i in others)) for head, others in collapsed(seen, alike=ALIKE)
        ]


def shown(groups: list[Group]) -> list[tuple[str, tuple[str, ...]]]:
    return [(group.point, group.similar) for group in groups]


@pytest.mark.parametrize("steps", [(5, 40, 41, 600), (600,), (1, 2, 3)])
def test_growing_gives_the_groups_of_one_go_and_reads_each_image_once(steps: tuple[int, ...]) -> None:
    shelf = Shelf(8, 75)
    groups = Groups(shelf.get, shelf.vectors, alike=ALIKE)
    for count in steps:
        assert shown(groups.gather(shelf.ranked[:count])) == shelf.at_once(count)
    assert set(shelf.read.values()) == {1}
    assert len(shelf.at_once(600)) == 8


def test_a_ranking_that_changed_is_gathered_anew() -> None:
    shelf = Shelf(4, 5)
    groups = Groups(shelf.get, shelf.vectors, alike=ALIKE)
    groups.gather(shelf.ranked[:10])
    shelf.ranked = shelf.ranked[1:]
    assert shown(groups.gather(shelf.ranked)) == shelf.at_once(19)


def test_what_was_removed_meanwhile_is_left_out() -> None:
    shelf = Shelf(4, 5)
    gone = shelf.ranked[3][1]
    del shelf.records[gone], shelf.rows[gone]
    found = shown(Groups(shelf.get, shelf.vectors, alike=ALIKE).gather(shelf.ranked))
    assert gone not in {point for head, others in found for point in (head, *others)}
    assert found == shelf.at_once(20)


def test_spreading_reorders_the_pool_and_keeps_what_follows() -> None:
    shelf = Shelf(6, 1)
    groups = Groups(shelf.get, shelf.vectors, alike=ALIKE).gather(shelf.ranked)
    order = spread(groups, shelf.vectors, weight=0.2, pool=4)
    assert {group.point for group in order[:4]} == {group.point for group in groups[:4]}
    assert order[4:] == groups[4:]
    assert spread([], shelf.vectors, weight=0.5, pool=4) == []
