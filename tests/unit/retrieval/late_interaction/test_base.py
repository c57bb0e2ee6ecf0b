"""MaxSim and pooling."""

import numpy as np
import pytest

from askpix.retrieval.late_interaction.base import maxsim, pool_clusters
from askpix.retrieval.stores.pages import Matrix


def rows(count: int, *, dim: int = 16, seed: int = 0, topics: int | None = None) -> Matrix:
    rng = np.random.default_rng(seed)
    made = rng.standard_normal((count, dim))
    if topics:
        made = rng.standard_normal((topics, dim))[rng.integers(0, topics, count)] + 0.05 * made
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)


def test_maxsim_is_the_mean_of_the_best_cosines() -> None:
    query, pages = rows(3, seed=1), [rows(5, seed=2), rows(9, seed=3), rows(1, seed=4)]
    expected = [
        sum(max(float(q.astype(float) @ p.astype(float)) for p in page) for q in query) / 3 for page in pages
    ]
    np.testing.assert_allclose(maxsim(query, pages), expected, atol=1e-3)
    assert maxsim(query, [query])[0] == pytest.approx(1, abs=2e-3)


def test_maxsim_of_nothing_is_nothing() -> None:
    none = rows(0)
    assert maxsim(none, [rows(2)]).tolist() == [0]
    assert maxsim(rows(2), [none, rows(2)])[0] == 0
    assert maxsim(rows(2), []).shape == (0,)


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 63, 100, 729, 1030])
def test_pooling_gives_so_many_unit_vectors(count: int) -> None:
    pooled = pool_clusters(rows(count, dim=32))
    assert pooled.shape == (min(count, 32), 32) and pooled.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(pooled.astype(np.float32), axis=1), 1, atol=2e-3)


def test_clusters_are_found_wherever_their_rows_stand() -> None:
    """Twelve topics scattered over a page: twelve vectors stand for all of it."""
    page = rows(400, dim=64, topics=12)
    pooled = pool_clusters(page, 12)
    assert (page.astype(np.float32) @ pooled.T.astype(np.float32)).max(axis=1).min() > 0.9


def test_clusters_are_wards() -> None:
    """Against merging, each time, the two clusters whose union adds least to the squared error."""
    page = rows(40, dim=8, seed=5)
    groups = [[row] for row in page.astype(np.float64)]
    while len(groups) > 6:

        def cost(pair: tuple[int, int]) -> float:
            a, b = (np.array(groups[i]) for i in pair)
            apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
            return float(len(a) * len(b) / (len(a) + len(b)) * apart)

        i, j = min(((i, j) for i in range(len(groups)) for j in range(i)), key=cost)
        groups[j] += groups.pop(i)
    means = np.array([np.sum(group, axis=0) for group in groups])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    close = pool_clusters(page, 6).astype(np.float64) @ means.T
    np.testing.assert_allclose(close.max(axis=1), 1, atol=2e-3)
    assert sorted(close.argmax(axis=1)) == list(range(6))


def test_rows_that_are_all_alike_are_pooled_too() -> None:
    same = np.repeat(rows(1, dim=8), 100, axis=0)
    pooled = pool_clusters(same, 32)
    assert pooled.shape == (32, 8) and np.isfinite(pooled).all()
