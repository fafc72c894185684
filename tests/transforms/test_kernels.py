"""Blocks of large arrays against whole-array formulas."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from medicalseg.transforms import (
    Compose,
    ContrastAugmentationTransform,
    GammaTransform,
    GaussianNoiseTransform,
    MirrorTransform,
    RandomFlip3D,
)
from medicalseg.transforms.gaussian import smooth
from medicalseg.transforms.noise import _quantiles
from medicalseg.transforms.pointwise import mean_and_deviation, raise_to
from medicalseg.utils.seeding import sample_seed


@pytest.mark.parametrize("shape", [(7, 9, 11), (1, 1, 1), (2, 1, 3), (70, 3, 300), (3, 300, 2), (40, 41, 42)])
@pytest.mark.parametrize("sigmas", [(0.5, 0.8, 1.0), (0, 3, 0.1), (6, 0, 2)])
def test_smoothing_equals_scipy(shape, sigmas):
    image = np.random.default_rng(0).normal(3, 10, shape).astype(np.float32)
    before = image.copy()
    np.testing.assert_allclose(smooth(image, sigmas), scipy.ndimage.gaussian_filter(image, sigmas), atol=3e-5)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("size", [1, 1000, 70_001])
@pytest.mark.parametrize("mean", [0, -3e4])
def test_mean_and_deviation(size, mean):
    array = np.random.default_rng(0).normal(mean, 2, size).astype(np.float32)
    found = mean_and_deviation(array)
    assert found[0] == pytest.approx(array.mean(dtype=np.float64), rel=1e-7, abs=1e-6)
    assert found[1] == pytest.approx(array.std(dtype=np.float64), rel=1e-5, abs=1e-6)


def test_a_constant_has_no_deviation():
    assert mean_and_deviation(np.full(100_000, 0.1, np.float32)) == (np.float32(0.1), 0)


def test_power():
    values = np.r_[0, np.logspace(-6, 0, 1000)].astype(np.float32)
    for exponent in (0.3, 1.7):
        found = values.copy()
        raise_to(found, exponent)
        np.testing.assert_allclose(found, values.astype(np.float64) ** exponent, rtol=1e-5)


def test_noise_is_normal():
    assert _quantiles().std() == pytest.approx(1, abs=1e-6)
    assert _quantiles().mean() == pytest.approx(0, abs=1e-6)
    with sample_seed(0):
        noise = GaussianNoiseTransform([2, 2])(np.zeros((50, 50, 41), np.float32))[0].ravel()
    assert scipy.stats.kstest(noise / 2, "norm").pvalue > 0.01
    assert scipy.stats.kurtosis(noise) == pytest.approx(0, abs=0.05)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.01


class Keeps:
    """A transform from outside that hands out, and looks again at, an array of its own."""

    def __init__(self, image):
        self.image, self.before = image, image.copy()

    def __call__(self, im, label):
        return self.image, label


def test_chain_equals_its_steps_and_overwrites_nothing_of_others():
    image = np.random.default_rng(0).normal(5, 2, (2, 14, 12, 9)).astype(np.float32)
    chain = [
        ContrastAugmentationTransform((1.2, 1.2)),
        MirrorTransform(),
        GammaTransform((1.4, 1.4), retain_stats=True),
        RandomFlip3D(1.0),
        GaussianNoiseTransform(),
    ]
    with sample_seed(1):
        expected = image
        for transform in chain:
            expected = transform(expected)[0]
    before = image.copy()
    with sample_seed(1):
        made = Compose(chain, normalize="none")(image)[0]
    np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(image, before)
    outside = Keeps(image[0].copy())
    Compose([outside, *chain], normalize="zscore")(image[1])
    np.testing.assert_array_equal(outside.image, outside.before)
