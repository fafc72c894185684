"""Loading, chaining, normalising."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError, DataError
from medicalseg.transforms import (
    BrightnessMultiplicativeTransform,
    Compose,
    RandomFlip3D,
    RandomPaddingCrop,
    RandomRotation3D,
    Resize3D,
)
from medicalseg.utils.seeding import sample_seed


@pytest.fixture
def sample():
    generator = np.random.default_rng(0)
    return generator.normal(50, 20, (10, 12, 4)).astype(np.float32), generator.integers(0, 5, (10, 12, 4), np.int32)


def test_kinds(sample):
    transform = Compose([RandomRotation3D(30), RandomFlip3D(1.0)])
    image, label = transform(*sample)
    assert image.shape == (1, 10, 12, 4)
    assert image.dtype == np.float32
    assert label.dtype == np.int64
    assert image.flags.c_contiguous
    assert label.flags.c_contiguous
    assert Compose([])(sample[0])[1] is None


def test_channel_axis(sample):
    assert Compose([], isnhwd=False)(sample[0])[0].shape == (10, 12, 4)
    assert Compose([])(np.stack([sample[0]] * 2))[0].shape == (2, 10, 12, 4)


def test_maximum_is_upstreams_number(sample):
    image = sample[0]
    np.testing.assert_array_equal(Compose([])(image)[0][0], image / image.max())
    assert Compose([]).normalize_name == "max"


def test_zscore(sample):
    image = sample[0]
    expected = (image - image.mean()) / image.std()
    for transform in (Compose([], use_std=True), Compose([], normalize="zscore")):
        np.testing.assert_allclose(transform(image)[0][0], expected, atol=1e-5)
        assert transform.normalize_name == "zscore"


def test_none(sample):
    transform = Compose(None, use_std=True, normalize="none")
    np.testing.assert_array_equal(transform(sample[0])[0][0], sample[0])
    assert transform.normalize_name == "none"


def test_image_without_positive_values_is_standardised(sample):
    image = sample[0] - 1000
    result = Compose([])(image)[0]
    assert result.mean() == pytest.approx(0, abs=1e-4)
    assert result.std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("value", [0, -5, 3])
@pytest.mark.parametrize("normalize", ["max", "zscore", "none"])
def test_constant_image(value, normalize):
    result = Compose([], normalize=normalize)(np.full((4, 4, 4), value, np.int16))[0]
    assert np.isfinite(result).all()
    assert np.ptp(result) == 0


def test_factor_comes_from_the_raw_image(sample):
    image = sample[0].copy()
    image[0, 0, 0] = 4000
    crop = RandomPaddingCrop([2, 2, 2])
    with sample_seed(1):
        result = Compose([crop])(image)[0]
    with sample_seed(1):
        np.testing.assert_allclose(result[0], crop(image)[0] / 4000, rtol=1e-6)
    brighter = Compose([BrightnessMultiplicativeTransform([2, 2])])(image)[0]
    np.testing.assert_allclose(brighter[0], 2 * image / 4000, rtol=1e-6)


def test_input_is_left_alone(sample):
    image, label = sample[0].copy(), sample[1].copy()
    result, new_label = Compose([], normalize="none")(image, label)
    result += 1
    new_label += 1
    np.testing.assert_array_equal(image, sample[0])
    np.testing.assert_array_equal(label, sample[1])


def test_paths(tmp_path, sample):
    np.save(tmp_path / "image.npy", sample[0])
    np.save(tmp_path / "label.npy", sample[1].astype(np.float32))
    image, label = Compose([Resize3D(6)])(tmp_path / "image.npy", str(tmp_path / "label.npy"))
    assert image.shape[1:] == label.shape == (15, 18, 6)


def test_one_and_two_results(sample):
    image, label = Compose([lambda im, label: (im + 1,), lambda im, label: (im, label)], normalize="none")(*sample)
    np.testing.assert_array_equal(image[0], sample[0] + 1)
    np.testing.assert_array_equal(label, sample[1])


class TestBadFiles:
    def test_missing(self, tmp_path):
        with pytest.raises(DataError, match=r"absent\.npy: no such file"):
            Compose([])(tmp_path / "absent.npy")

    def test_truncated(self, tmp_path, sample):
        path = tmp_path / "short.npy"
        np.save(path, sample[0])
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(DataError, match=r"short\.npy"):
            Compose([])(path)

    @pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00"])
    def test_not_npy(self, tmp_path, content):
        path = tmp_path / "text.npy"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"text\.npy"):
            Compose([])(path)

    def test_pickle_is_not_loaded(self, tmp_path):
        path = tmp_path / "object.npy"
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        with pytest.raises(DataError, match=r"object\.npy"):
            Compose([])(path)

    def test_archive(self, tmp_path, sample):
        path = tmp_path / "many.npz"
        np.savez(path, sample[0])
        with pytest.raises(DataError, match=r"many\.npz.*archive"):
            Compose([])(path)

    def test_fractional_label(self, tmp_path, sample):
        path = tmp_path / "label.npy"
        np.save(path, sample[1] + 0.5)
        with pytest.raises(DataError, match=r"label\.npy.*whole numbers"):
            Compose([])(sample[0], path)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, sample, value):
        image = sample[0].copy()
        image[1, 1, 1] = value
        with pytest.raises(DataError, match="NaN"):
            Compose([])(image)

    def test_grids_differ(self, sample):
        with pytest.raises(DataError, match="different grids"):
            Compose([])(sample[0], sample[1][1:])

    def test_two_dimensions(self, sample):
        with pytest.raises(DataError, match=r"\(X, Y, Z\)"):
            Compose([])(sample[0][0])
        with pytest.raises(DataError, match="list"):
            Compose([])([1, 2])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"transforms": "Resize3D"}, "transforms"),
        ({"transforms": [{"type": "Resize3D"}]}, "transforms"),
        ({"transforms": [], "isnhwd": 1}, "isnhwd"),
        ({"transforms": [], "normalize": "std"}, "max, zscore, none"),
    ],
)
def test_wrong_arguments(arguments, named):
    with pytest.raises(ConfigError, match=named):
        Compose(**arguments)


def test_registry_knows_upstreams_names():
    names = """Compose Resize3D RandomRotation3D RandomQuarterTurn3D RandomFlip3D RandomResizedCrop3D
    BinaryMaskToConnectComponent TopkLargestConnectComponent RandomRotation4D RandomFlip4D RandomCrop4D
    GaussianNoiseTransform GaussianBlurTransform BrightnessMultiplicativeTransform ContrastAugmentationTransform
    SimulateLowResolutionTransform GammaTransform MirrorTransform ResizeRangeScaling RandomPaddingCrop"""
    assert all(name in manager.TRANSFORMS for name in names.split())
