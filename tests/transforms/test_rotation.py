"""Rotations against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from medicalseg.transforms import RandomQuarterTurn3D, RandomRotation3D, RandomRotation4D
from medicalseg.transforms.sampling import rotatable_planes
from medicalseg.utils.seeding import sample_seed

PLANES = [(0, 1), (0, 2), (1, 2)]


def sample(shape=(23, 18, 11)):
    generator = np.random.default_rng(0)
    return generator.random(shape, dtype=np.float32), generator.integers(0, 20, shape).astype(np.int32)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("angle", [0.5, 13.0, -37.3, 45, 90, 121.0, 180, -90, 270.0])
def test_equals_scipy(plane, angle):
    image, label = sample()
    new_image, new_label = RandomRotation3D([angle, angle], [plane])(image, label)
    expected = scipy.ndimage.rotate(image, angle, axes=plane, reshape=False, order=1, mode="constant", cval=0)
    np.testing.assert_allclose(new_image, expected, atol=2e-6)
    nearest = scipy.ndimage.rotate(label, angle, axes=plane, reshape=False, order=0, mode="constant", cval=0)
    assert np.mean(new_label != nearest) < (0.002 if angle % 45 else 0.06)


def test_order_of_a_plane_does_not_matter():
    image, label = sample()
    a = RandomRotation3D([20, 20], [[0, 2]])(image, label)
    b = RandomRotation3D([20, 20], [[2, 0]])(image, label)
    np.testing.assert_array_equal(a[0], b[0])


def test_no_angle_is_identity():
    image, label = sample()
    new_image, new_label = RandomRotation3D(0, PLANES)(image, label)
    np.testing.assert_array_equal(new_image, image)
    np.testing.assert_array_equal(new_label, label)


def test_probability_0_is_identity():
    image, label = sample()
    for transform in (RandomRotation3D(90, prob=0), RandomQuarterTurn3D(prob=0)):
        np.testing.assert_array_equal(transform(image, label)[0], image)


def test_number_means_both_senses():
    assert RandomRotation3D(30).degrees == (-30, 30)
    assert RandomRotation3D([10, 30]).degrees == (10, 30)


@pytest.mark.parametrize(
    ("shape", "planes"),
    [
        ((512, 512, 12), [(0, 1)]),
        ((12, 512, 512), [(1, 2)]),
        ((128, 128, 128), PLANES),
        ((60, 60, 20), PLANES),
        ((60, 60, 19), [(0, 1)]),
        ((100, 20, 20), [(1, 2)]),
        ((100, 30, 3), []),
        ((1, 1, 1), PLANES),
    ],
)
def test_planes_that_leave_thin_axes_alone(shape, planes):
    assert list(rotatable_planes(shape)) == planes


def test_thin_volume_turns_in_plane_only():
    image = np.zeros((30, 30, 6), np.float32)
    image[..., 2] = np.random.default_rng(0).random((30, 30))
    for index in range(10):
        with sample_seed(index):
            turned = RandomRotation3D(90)(image)[0]
        assert turned[..., 2].any()
        assert not np.delete(turned, 2, axis=2).any()


def test_given_planes_are_obeyed():
    image = np.zeros((30, 30, 6), np.float32)
    image[..., 2] = 1
    with sample_seed(0):
        turned = RandomRotation3D([20, 20], [[0, 2]])(image)[0]
    assert turned[..., 3].any()


def test_all_planes_are_chosen_over_time():
    image, _ = sample((20, 20, 20))
    expected = [scipy.ndimage.rotate(image, 30, axes=plane, reshape=False, order=1) for plane in PLANES]
    seen = set()
    for index in range(30):
        with sample_seed(index):
            turned = RandomRotation3D([30, 30])(image)[0]
        seen.update(k for k in range(3) if np.allclose(turned, expected[k], atol=1e-5))
    assert seen == {0, 1, 2}


def test_4d_counts_axes_from_the_channel():
    image, label = sample()
    stack = np.stack([image, 2 * image])
    new_image, new_label = RandomRotation4D([25, 25], [[1, 3]])(stack, label)
    flat, flat_label = RandomRotation3D([25, 25], [[0, 2]])(image, label)
    np.testing.assert_allclose(new_image[0], flat, atol=1e-6)
    np.testing.assert_allclose(new_image[1], 2 * flat, atol=1e-6)
    np.testing.assert_array_equal(new_label, flat_label)


@pytest.mark.parametrize("plane", PLANES)
def test_quarter_turn_equals_scipy(plane):
    image, label = sample((9, 9, 9))
    new_image, new_label = RandomQuarterTurn3D(1.0, [plane])(image, label)
    expected = scipy.ndimage.rotate(image, 90, axes=plane, reshape=False, order=1)
    np.testing.assert_allclose(new_image, expected, atol=1e-6)
    np.testing.assert_array_equal(new_label, scipy.ndimage.rotate(label, 90, axes=plane, reshape=False, order=0))


def test_quarter_turn_keeps_the_grid():
    image, label = sample((8, 12, 3))
    new_image, new_label = RandomQuarterTurn3D(1.0)(image, label)
    assert new_image.shape == new_label.shape == image.shape
    np.testing.assert_allclose(
        new_image, scipy.ndimage.rotate(image, 90, axes=(0, 1), reshape=False, order=1), atol=1e-6
    )


def test_quarter_turn_prefers_square_planes():
    image, _ = sample((8, 12, 8))
    for index in range(5):
        with sample_seed(index):
            turned = RandomQuarterTurn3D(1.0)(image)[0]
        np.testing.assert_array_equal(turned, np.rot90(image, axes=(0, 2)))
