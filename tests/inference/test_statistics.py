"""Counted percentiles and moments against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.inference import statistics
from medicalseg.inference.statistics import Values, moments, percentiles

PERCENTS = [0, 0.5, 33.3, 50, 99.5, 100]


def numbers(kind, shape=(41, 37, 53), seed=0):
    values = np.random.default_rng(seed).normal(20, 60, shape)
    limits = np.iinfo(kind) if np.issubdtype(kind, np.integer) else None
    return np.asfortranarray((np.clip(values, limits.min, limits.max) if limits else values).astype(kind))


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("chunk", [1 << 18, 1001])
def test_equal_to_numpy(kind, chunk, monkeypatch):
    monkeypatch.setattr(statistics, "CHUNK", chunk)
    array = numbers(kind)
    values = Values(array)
    plain = array.astype(np.float32)
    np.testing.assert_allclose(values.percentiles(PERCENTS), np.percentile(plain, PERCENTS), rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(values.moments(), (plain.mean(dtype=float), plain.std(dtype=float)), rtol=1e-6)
    inside = plain[plain != 0]
    np.testing.assert_allclose(values.moments("nonzero"), (inside.mean(dtype=float), inside.std(dtype=float)), 1e-6)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_statistics_after_a_step_that_turns_the_order_round(kind):
    array = numbers(kind)
    values = Values(array)
    values.then(lambda part: -2 * part.astype(np.float32))
    np.testing.assert_allclose(values.percentiles([10, 95]), np.percentile(-2.0 * array, [10, 95]), rtol=1e-6)
    np.testing.assert_allclose(values.moments()[0], -2 * array.mean(dtype=float), rtol=1e-6)


def test_integers_too_far_apart_to_count():
    array = numbers(np.int32) * 100_000
    np.testing.assert_allclose(Values(array).percentiles([7]), np.percentile(array, [7]), rtol=1e-6)


@pytest.mark.parametrize("case", ["constant", "signed zeros", "tiny and huge", "infinite", "strided"])
def test_awkward_floats(case):
    array = np.random.default_rng(1).normal(size=1 << 17).astype(np.float32)
    array = {
        "constant": np.full_like(array, -3.5),
        "signed zeros": np.where(array > 0, np.float32(0), np.float32(-0.0)),
        "tiny and huge": array * np.float32(10) ** np.random.default_rng(2).integers(-37, 37, array.size),
        "infinite": np.where(array > 4, np.inf, array),
        "strided": array[::-1],
    }[case].astype(np.float32)
    expected = np.percentile(array.astype(float), [0.5, 25, 75, 99.5])
    np.testing.assert_allclose(percentiles(array, [0.5, 25, 75, 99.5]), expected, rtol=1e-6)


def test_nan_stays_nan_and_nothing_but_zeros_has_no_moments():
    array = numbers(np.float32)
    array[3, 4, 5] = np.nan
    assert np.isnan(percentiles(array, [1, 99])).all()
    assert Values(np.zeros((3, 4, 5), np.int16)).moments("nonzero") is None
    assert Values(np.zeros((3, 4, 5), np.float32)).moments("nonzero") is None
    assert moments(np.full((3, 3), 7, np.uint8)) == (7, 0)
