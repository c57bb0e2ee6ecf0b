import numpy as np
import pytest

from askpix.evaluation.metrics.ranking import auroc, bootstrap, ndcg_at, recall_at, reciprocal_rank

RANKS = [1, 3, None, 10, 11]


def test_measures_of_a_ranking_by_hand() -> None:
    assert recall_at(RANKS, 1).tolist() == [1, 0, 0, 0, 0]
    assert recall_at(RANKS, 10).mean() == pytest.approx(0.6)
    assert reciprocal_rank(RANKS).mean() == pytest.approx((1 + 1 / 3 + 1 / 10 + 1 / 11) / 5)
    assert ndcg_at(RANKS, 10).tolist() == pytest.approx([1, 1 / np.log2(4), 0, 1 / np.log2(11), 0])


def test_auroc_by_hand() -> None:
    assert auroc([3, 4], [1, 2]) == 1.0
    assert auroc([1, 2], [3, 4]) == 0.0
    assert auroc([1, 3], [2, 2]) == 0.5
    assert auroc([2, 2, 2], [2, 2]) == 0.5
    assert auroc([2, 3], [1, 2]) == pytest.approx(3.5 / 4)
    with pytest.raises(ValueError, match="needs"):
        auroc([], [1])


def test_bootstrap_brackets_the_mean_and_is_repeatable() -> None:
    values = np.array([1.0] * 40 + [0.0] * 60)
    estimate = bootstrap(values)
    assert estimate == bootstrap(values)
    assert estimate.value == 0.4 and 0.28 < estimate.low < 0.36 < 0.44 < estimate.high < 0.52
    assert bootstrap(np.array([])).value == 0.0


def test_a_certain_measure_has_no_width_and_a_statistic_may_be_any() -> None:
    sure = bootstrap(np.ones(5))
    assert (sure.value, sure.low, sure.high) == (1.0, 1.0, 1.0)
    middle = bootstrap(np.arange(101.0), statistic=lambda sample: float(np.median(sample)))
    assert middle.value == 50.0 and middle.low < 50.0 < middle.high
