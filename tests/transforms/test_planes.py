"""Every transform on images: grids (X, Y, 1), as slices and image files come to training."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from medicalseg import transforms as T
from medicalseg.errors import DataError
from medicalseg.transforms.elastic import displaced
from medicalseg.transforms.flat import flat_axes, grid_of, is_image
from medicalseg.transforms.sampling import rotatable_planes, thin_axes
from medicalseg.transforms.spatial import usual_degrees
from medicalseg.utils.seeding import sample_seed

SHAPE = (48, 36, 1)
ALL_PLANES = [[0, 1], [0, 2], [1, 2]]

SPATIAL = {
    "Resize3D": T.Resize3D(24),
    "ResizeRangeScaling": T.ResizeRangeScaling(1.6, 2.5, interpolation=1),
    "RandomRotation3D": T.RandomRotation3D(180),
    "RandomRotation3D all planes": T.RandomRotation3D(30, ALL_PLANES),
    "RandomRotation4D all planes": T.RandomRotation4D(30, [[1, 2], [1, 3], [2, 3]]),
    "RandomQuarterTurn3D": T.RandomQuarterTurn3D(1.0),
    "RandomQuarterTurn3D all planes": T.RandomQuarterTurn3D(1.0, ALL_PLANES),
    "RandomFlip3D": T.RandomFlip3D(1.0),
    "RandomFlip4D": T.RandomFlip4D(1.0),
    "MirrorTransform": T.MirrorTransform(),
    "RandomResizedCrop3D": T.RandomResizedCrop3D(32, scale=[0.3, 1]),
    "RandomResizedCrop3D pre_crop": T.RandomResizedCrop3D(24, scale=[0.5, 1], pre_crop=True, nonzero_mask=True),
    "RandomCrop4D": T.RandomCrop4D(30, nonzero_mask=True),
    "RandomCrop4D padded": T.RandomCrop4D([64, 20, 1]),
    "RandomPaddingCrop": T.RandomPaddingCrop(40),
    "RandomPaddingCrop usual": T.RandomPaddingCrop(),
    "RandomAffine3D": T.RandomAffine3D(30, [0.8, 1.3], 0.1),
    "RandomAffine3D one plane": T.RandomAffine3D(30, [0.8, 1.3], 0.1, [[0, 1]]),
    "RandomAffine3D all planes": T.RandomAffine3D(30, [0.8, 1.3], 0.1, ALL_PLANES, isotropic=False),
    "RandomAffine3D spacing": T.RandomAffine3D(30, spacing=[1, 1, 4]),
    "RandomScale3D": T.RandomScale3D(isotropic=False),
    "RandomElastic3D": T.RandomElastic3D(5, 0.1),
    "RandomCutout": T.RandomCutout(0.3, label="background", prob=1),
    "SpatialTransform": T.SpatialTransform(p_rotation=1, p_scaling=1),
    "SpatialTransform patch": T.SpatialTransform(32, p_foreground=0.5, p_rotation=1, p_scaling=1),
    "SpatialTransform all planes": T.SpatialTransform(32, True, 0, 1, 30, ALL_PLANES, 1, [0.7, 1.4], False),
    "SpatialTransform elastic": T.SpatialTransform(32, p_rotation=1, p_elastic=1, control_points=5),
    "NnUNetAugmentation": T.NnUNetAugmentation(),
    "NnUNetAugmentation patch": T.NnUNetAugmentation(32),
}
BORDERED = {
    "RandomResizedCrop3D with a border": T.RandomResizedCrop3D(32, scale=[1, 2.5]),
    "RandomResizedCrop3D pre_crop with a border": T.RandomResizedCrop3D(24, scale=[1, 1.8], pre_crop=True),
}
INTENSITY = {
    "GaussianNoiseTransform": T.GaussianNoiseTransform(),
    "GaussianBlurTransform": T.GaussianBlurTransform([0.5, 2], different_sigma_per_axis=True),
    "BrightnessMultiplicativeTransform": T.BrightnessMultiplicativeTransform(),
    "RandomBrightness": T.RandomBrightness(),
    "ContrastAugmentationTransform": T.ContrastAugmentationTransform(),
    "GammaTransform": T.GammaTransform(retain_stats=True),
    "SimulateLowResolutionTransform": T.SimulateLowResolutionTransform([0.4, 0.7]),
}
spatial = pytest.mark.parametrize("transform", SPATIAL.values(), ids=SPATIAL.keys())
EVERY = {**SPATIAL, **BORDERED, **INTENSITY}
every = pytest.mark.parametrize("transform", EVERY.values(), ids=EVERY.keys())


def ramps():
    """Channels that count X and Y from 1, and a label that counts the pixels of X."""
    image = np.stack(np.indices(SHAPE))[:2].astype(np.float32) + 1
    return image, image[0].astype(np.int32)


def picture(sides=SHAPE[:2]):
    noise = np.random.default_rng(0).random(sides)
    return scipy.ndimage.gaussian_filter(noise, 2).astype(np.float32)


@every
@pytest.mark.parametrize("channels", [1, 3])
def test_image_stays_an_image_and_is_not_wiped_out(transform, channels):
    image = np.stack([1 + picture()] * channels)[..., None]
    label = np.ones(SHAPE, np.int32)
    for seed in range(12):
        with sample_seed(seed):
            new, new_label = transform(image, label)
        assert new.shape[-1] == 1
        assert new_label.shape == new.shape[1:]
        assert len(new) == channels
        assert np.isfinite(new).all()
        assert new_label.any()
        assert new[:, new_label > 0].any()


@spatial
def test_image_and_label_move_together(transform):
    if "NnUNet" in type(transform).__name__:
        pytest.skip("changes the grey values too")
    image, label = ramps()
    for seed in range(12):
        with sample_seed(seed):
            new, new_label = transform(image, label)
        inside = (new_label > 0) & (new[0] >= 1)
        assert inside.any()
        assert np.abs(new[0] - new_label)[inside].max() <= 0.5 + 1e-3
        assert not new_label[new[0] == 0].any()


def test_rotation_equals_scipy_in_two_dimensions():
    image = picture()
    for planes in (None, [[0, 1]], ALL_PLANES):
        turned = T.RandomRotation3D([25, 25], planes)(image[..., None])[0]
        expected = scipy.ndimage.rotate(image, 25, reshape=False, order=1)
        np.testing.assert_allclose(turned[..., 0], expected, atol=1e-5)


@pytest.mark.parametrize("planes", [None, [[0, 1]], ALL_PLANES])
def test_shift_keeps_to_the_plane(planes):
    image = 1 + picture()
    moved = T.RandomAffine3D(0, [1, 1], [0.25, 0.25], planes)(image[..., None])[0][..., 0]
    expected = scipy.ndimage.shift(image, (12, 9), order=1)
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_scale_is_about_the_centre_of_the_plane():
    image = picture()
    for planes in (None, ALL_PLANES):
        scaled = T.RandomAffine3D(0, [2, 2], 0, planes)(image[..., None])[0][..., 0]
        centre = (np.array(image.shape) - 1) / 2
        expected = scipy.ndimage.affine_transform(image, [0.5, 0.5], centre / 2, order=1)
        np.testing.assert_allclose(scaled, expected, atol=1e-5)


def test_elastic_equals_scipy_in_two_dimensions():
    image = picture()
    with sample_seed(5):
        bent = T.RandomElastic3D(5, 0.1)(image[..., None])[0][..., 0]
    with sample_seed(5):
        T.base.happens(1.0)
        places = displaced(SHAPE, (5, 5, 5), 0.1)
    assert (places[2] == 0).all()
    expected = scipy.ndimage.map_coordinates(image, places[:2, ..., 0], order=1, mode="nearest")
    np.testing.assert_allclose(bent, expected, atol=1e-5)


def test_blur_leaves_the_single_axis_alone():
    image = picture()
    blurred = T.GaussianBlurTransform([3, 3])(image[..., None])[0][..., 0]
    np.testing.assert_allclose(blurred, scipy.ndimage.gaussian_filter(image, 3), atol=1e-5)


def test_low_resolution_equals_scipy_in_two_dimensions():
    image = picture()
    coarse = T.SimulateLowResolutionTransform([0.5, 0.5])(image[..., None])[0][..., 0]
    down = scipy.ndimage.zoom(image, 0.5, order=1, mode="nearest", grid_mode=True)
    expected = np.kron(down, np.ones((2, 2)))
    np.testing.assert_allclose(coarse, expected, atol=1e-5)


@pytest.mark.parametrize(
    "transform",
    [
        T.RandomRotation3D(30, [[0, 2]]),
        T.RandomRotation4D(30, [[2, 3]]),
        T.RandomQuarterTurn3D(1.0, [[1, 2]]),
        T.RandomAffine3D(rotate_planes=[[0, 2], [1, 2]]),
        T.SpatialTransform(p_rotation=1, rotate_planes=[[0, 2]]),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_planes_that_all_leave_the_image_are_refused(transform):
    with pytest.raises(DataError, match=r"out of its plane.*\[0, 1\]") as error:
        transform(picture()[..., None])
    assert type(transform).__name__ in str(error.value)
    assert "48 x 36 x 1" in str(error.value)


def test_a_listed_plane_is_drawn_from_those_of_the_image():
    image = picture()[..., None]
    for seed in range(10):
        with sample_seed(seed):
            assert T.RandomRotation3D([40, 40], ALL_PLANES)(image)[0][24, 18, 0] > 0


def test_flip_is_not_spent_on_the_single_axis():
    image, _ = ramps()
    for seed in range(30):
        with sample_seed(seed):
            assert not np.array_equal(T.RandomFlip3D(1.0)(image)[0], image)


def test_area_of_a_resized_crop():
    image = np.ones((1, *SHAPE), np.float32)
    for seed in range(10):
        with sample_seed(seed):
            seen = T.RandomResizedCrop3D([96, 72, 1], scale=[4, 4], ratio=[1, 1])(image)[0]
        assert seen.mean() == pytest.approx(0.25, abs=0.03)


def test_one_number_is_a_square():
    image, label = ramps()
    sizes = {
        "crop": T.RandomPaddingCrop(40)(image, label),
        "crop4d": T.RandomCrop4D(40)(image, label),
        "resized": T.RandomResizedCrop3D(40)(image, label),
        "patch": T.SpatialTransform(40)(image, label),
        "nnunet": T.NnUNetAugmentation(40)(image, label),
    }
    for new, new_label in sizes.values():
        assert new.shape == (2, 40, 40, 1)
        assert new_label.shape == (40, 40, 1)
    assert T.Resize3D(18)(image, label)[1].shape == (24, 18, 1)
    assert T.Resize3D([10, 12, 1])(image, label)[1].shape == (10, 12, 1)


def test_volumes_keep_their_meaning():
    image = np.ones((20, 20, 12), np.float32)
    assert T.RandomPaddingCrop(16)(image)[0].shape == (16, 16, 16)
    assert T.Resize3D(6)(image)[0].shape == (10, 10, 6)


@pytest.mark.parametrize(
    ("shape", "degrees"),
    [((64, 64, 1), 180), ((64, 96, 1), 180), ((64, 97, 1), 15), ((64, 64, 12), 180), ((64, 64, 64), 30)],
)
def test_angles_of_nnunet(shape, degrees):
    assert usual_degrees(shape) == (-degrees, degrees)


def test_which_grids_are_images():
    assert flat_axes((5, 4, 1)) == (2,)
    assert flat_axes((1, 1, 1)) == ()
    assert is_image((1, 5, 4))
    assert not is_image((1, 1, 4))
    assert not is_image((2, 5, 4))
    assert thin_axes((100, 20, 1)) == (2,)
    assert list(rotatable_planes((100, 20, 1))) == [(0, 1)]
    assert grid_of(8, (3, 4, 1)) == (8, 8, 1)
    assert grid_of(8, (3, 4, 5)) == (8, 8, 8)
    assert grid_of((8, 9, 2), (3, 4, 1)) == (8, 9, 2)
