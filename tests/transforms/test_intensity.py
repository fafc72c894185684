"""Grey values against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from medicalseg.transforms import (
    BrightnessMultiplicativeTransform,
    ContrastAugmentationTransform,
    GammaTransform,
    GaussianBlurTransform,
    GaussianNoiseTransform,
    RandomBrightness,
    SimulateLowResolutionTransform,
)
from medicalseg.utils.seeding import sample_seed


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(5, 2, (2, 30, 28, 12)).astype(np.float32)


def test_noise_has_the_given_standard_deviation(image):
    with sample_seed(0):
        noise = GaussianNoiseTransform([0.3, 0.3])(image)[0] - image
    assert noise.std() == pytest.approx(0.3, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_noise_strength_for_each_channel(image):
    def strengths(per_channel):
        with sample_seed(1):
            noise = GaussianNoiseTransform([0.1, 1], per_channel=per_channel)(image)[0] - image
        return noise[0].std(), noise[1].std()

    common, separate = strengths(False), strengths(True)
    assert common[0] == pytest.approx(common[1], rel=0.05)
    assert separate[0] != pytest.approx(separate[1], rel=0.1)


def test_blur_equals_scipy(image):
    result = GaussianBlurTransform([1.5, 1.5])(image)[0]
    expected = np.stack([scipy.ndimage.gaussian_filter(channel, 1.5) for channel in image])
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_brightness(image):
    np.testing.assert_allclose(BrightnessMultiplicativeTransform([1.5, 1.5])(image)[0], image * 1.5, rtol=1e-6)
    shifted = RandomBrightness([0.2, 0.2])(image)[0]
    span = np.ptp(image, axis=(1, 2, 3))[:, None, None, None]
    np.testing.assert_allclose(shifted, image + 0.2 * span, rtol=1e-5)


def test_contrast(image):
    result = ContrastAugmentationTransform([1.2, 1.2], preserve_range=False)(image)[0]
    mean = image.mean((1, 2, 3), keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(result, (image - mean) * 1.2 + mean, atol=1e-5)
    kept = ContrastAugmentationTransform([1.2, 1.2])(image)[0]
    assert kept.max() <= image.max()
    assert kept.min() >= image.min()


def test_gamma(image):
    low, span = image.min(), np.ptp(image)
    result = GammaTransform([1.7, 1.7])(image)[0]
    np.testing.assert_allclose(result, ((image - low) / span) ** 1.7 * span + low, rtol=2e-4, atol=2e-6)
    inverted = GammaTransform([1.7, 1.7], invert_image=True)(image)[0]
    high = image.max()
    np.testing.assert_allclose(inverted, high - ((high - image) / span) ** 1.7 * span, rtol=2e-4, atol=2e-6)


def test_gamma_keeps_the_statistics(image):
    result = GammaTransform([1.7, 1.7], per_channel=True, retain_stats=True)(image)[0]
    for new, old in zip(result, image, strict=True):
        assert new.mean() == pytest.approx(old.mean(), rel=1e-4)
        assert new.std() == pytest.approx(old.std(), rel=1e-4)


def test_factors_below_and_above_1_are_equally_likely():
    ramp = np.linspace(0, 1, 1000, dtype=np.float32).reshape(10, 10, 10)
    above = 0
    for index in range(200):
        with sample_seed(index):
            above += GammaTransform([0.5, 10])(ramp)[0].mean() < 0.5
    assert 70 < above < 130


def test_low_resolution_equals_scipy(image):
    transform = SimulateLowResolutionTransform([0.5, 0.5], order_downsample=1, order_upsample=0)
    result = transform(image)[0][0]
    coarse = scipy.ndimage.zoom(image[0], 0.5, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(
        result, scipy.ndimage.zoom(coarse, 2, order=0, mode="nearest", grid_mode=True), atol=1e-5
    )
    assert result[0, 0, 0] == result[1, 1, 1]


def test_low_resolution_of_chosen_channels_and_axes(image):
    transform = SimulateLowResolutionTransform([0.5, 0.5], channels=[1], ignore_axes=[2])
    result = transform(image)[0]
    np.testing.assert_array_equal(result[0], image[0])
    assert (result[1, 0, 0] == result[1, 1, 1]).all()
    assert result[1, 0, 0, 0] != result[1, 0, 0, 1]


def test_depth_is_not_the_channel_axis():
    """A 3D image is one channel: all its slices get the same factor (in PaddleSeg3D each slice got its own)."""
    volume = np.ones((14, 8, 8), np.float32)
    with sample_seed(0):
        assert np.unique(BrightnessMultiplicativeTransform()(volume)[0]).size == 1
