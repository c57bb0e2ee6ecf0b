"""Measures of rankings, with bootstrap confidence intervals. Ranks are 1-based; None = not found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rank = int | None
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def recall_at(ranks: Sequence[Rank], k: int) -> Floats:
    """Return 1.0 for each query whose one relevant image is among the first ``k``, else 0.0."""
    return np.array([1.0 if rank is not None and rank <= k else 0.0 for rank in ranks])


def reciprocal_rank(ranks: Sequence[Rank]) -> Floats:
    """Return 1/rank for each query, 0.0 when not found."""
    return np.array([1.0 / rank if rank is not None else 0.0 for rank in ranks])


def ndcg_at(ranks: Sequence[Rank], k: int) -> Floats:
    """nDCG@k with one relevant image: 1/log2(1 + rank) within the first ``k`` (Järvelin 2002)."""
    return np.array([1.0 / np.log2(1.0 + rank) if rank is not None and rank <= k else 0.0 for rank in ranks])


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Probability that a positive scores above a negative, ties half (Mann-Whitney U). Needs both."""
    if not len(positive) or not len(negative):
        raise ValueError("AUROC needs positives and negatives")
    scores = np.concatenate([np.asarray(positive, float), np.asarray(negative, float)])
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # Ties share the mean of the ranks they take.
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    wins = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2.0
    return float(wins / (len(positive) * len(negative)))


def bootstrap(
    values: Floats,
    *,
    statistic: Callable[[Floats], float] = lambda sample: float(sample.mean()),
    rounds: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The statistic with a 95 % percentile interval over resampled queries (Efron 1979)."""
    if len(values) == 0:
        return Estimate(0.0, 0.0, 0.0)
    generator = np.random.default_rng(seed)
    samples = [statistic(generator.choice(values, len(values))) for _ in range(rounds)]
    low, high = np.quantile(samples, [0.025, 0.975])
    return Estimate(statistic(values), float(low), float(high))
