"""The measuring itself: exact answers are exact, and a store that loses some is seen to."""

from typing import Any

import numpy as np

from askpix.core.types import ImageRecord, Vectors, Where
from benchmarks.load.store_scale import (
    CASES,
    TOP,
    Data,
    ask,
    disk_mb,
    exact_best,
    fill,
    identity,
    memory,
    optimize_while_searching,
    overhead,
)
from tests.support.fakes import MemoryStore

POINTS, DIM = 3_000, 32


class Forgetful(MemoryStore):
    """Loses every second picture under a filter."""

    def search(
        self, sub_query: Any, query: Any, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Any]:
        hits = super().search(sub_query, query, where=where, limit=2 * limit)
        return hits[::2] if where.tags else hits[:limit]


def filled(kind: type[MemoryStore]) -> tuple[MemoryStore, Data]:
    data, store = Data(POINTS, DIM), kind(dim=DIM, text_dim=4)
    fill(store, data)
    return store, data


def test_the_exact_answers_are_those_of_a_full_sort() -> None:
    store, data = filled(MemoryStore)
    queries = data.queries(4)
    found = ask(store, queries, exact_best(data, queries))
    assert found.keys() == CASES.keys()
    assert {case.recall for case in found.values()} == {1.0}
    assert all(case.p50 <= case.p95 for case in found.values())


def test_a_store_that_loses_some_is_seen_to() -> None:
    store, data = filled(Forgetful)
    queries = data.queries(4)
    found = ask(store, queries, exact_best(data, queries))
    assert found["none"].recall == 1.0
    assert found["ten_percent"].recall <= 0.6


def test_the_data_are_the_same_at_every_call_and_as_described() -> None:
    rows, tags = [], []
    for first, chunk, clusters in Data(POINTS, DIM).chunks():
        rows.append(chunk)
        records: list[ImageRecord] = Data(POINTS, DIM).records(first, clusters)
        tags += [record.tags for record in records]
        assert records[7].id == identity(first + 7)
    again = np.concatenate([chunk for _, chunk, _ in Data(POINTS, DIM).chunks()])
    np.testing.assert_array_equal(np.concatenate(rows), again)
    np.testing.assert_allclose(np.linalg.norm(again, axis=1), 1, atol=1e-5)
    assert 0.003 < sum("one" in each for each in tags) / POINTS < 0.02
    assert 0.07 < sum("ten" in each for each in tags) / POINTS < 0.13
    assert 0.003 < sum("album" in each for each in tags) / POINTS < 0.03
    queries = Data(POINTS, DIM).queries(50)
    nearest: dict[str, Vectors] = {name: (rows @ again.T).max(axis=1) for name, rows in queries.items()}
    assert nearest["text"].mean() < nearest["like"].mean() - 0.05
    assert len({identity(n) for n in range(10_000)}) == 10_000


def test_what_is_timed_is_timed(tmp_path: Any) -> None:
    store, data = filled(MemoryStore)
    queries = data.queries(3)["like"]
    took, building = optimize_while_searching(store, queries)
    assert took >= 0
    assert building["worst"] >= building["p50"]
    ratio = overhead(store, lambda query: store.search("image", query, where=Where(), limit=TOP), queries)
    assert 0.2 < ratio < 5
    (tmp_path / "x").write_bytes(b"1" * 100_000)
    assert 0.09 < disk_mb(tmp_path) < 0.2
    assert memory()[1] > 10
