"""Bootstrap intervals: against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medicalseg.errors import UserError
from medicalseg.metrics import Bootstrap


def test_interval_of_a_mean_is_scipys():
    values = np.random.default_rng(0).beta(8, 2, size=40)
    bootstrap = Bootstrap(40, 20000, seed=1)
    own = bootstrap.interval(bootstrap.means(values))
    other = stats.bootstrap((values,), np.mean, n_resamples=20000, method="percentile", random_state=2)
    assert own.low == pytest.approx(other.confidence_interval.low, abs=0.002)
    assert own.high == pytest.approx(other.confidence_interval.high, abs=0.002)


def test_seed_and_classes_share_their_draws():
    values = np.random.default_rng(0).random((12, 3))
    first, second = Bootstrap(12, 200, seed=3), Bootstrap(12, 200, seed=3)
    np.testing.assert_array_equal(first.means(values), second.means(values))
    np.testing.assert_allclose(first.means(values[:, 1]), first.means(values)[:, 1])
    assert not np.array_equal(first.means(values), Bootstrap(12, 200, seed=4).means(values))


def test_cases_that_are_not_applicable_are_left_out():
    values = np.array([0.5, np.nan, 0.5, np.nan])
    bootstrap = Bootstrap(4, 300)
    means = bootstrap.means(values)
    assert np.isnan(means).any()
    assert set(means[~np.isnan(means)]) == {0.5}
    assert bootstrap.interval(means).to_list() == [0.5, 0.5]


def test_one_case_has_no_interval():
    bootstrap = Bootstrap(1, 100)
    assert np.isnan(bootstrap.interval(bootstrap.means(np.array([0.7]))).low)


def test_wrong_values():
    with pytest.raises(UserError, match="draws"):
        Bootstrap(3, -1)
