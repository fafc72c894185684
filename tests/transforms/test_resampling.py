"""Resizing, affine maps and elastic deformation against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from medicalseg.transforms import RandomAffine3D, RandomElastic3D, RandomScale3D, Resize3D, ResizeRangeScaling
from medicalseg.transforms.elastic import _spline_basis
from medicalseg.transforms.sampling import centred_offset, resize, resize_label, rotation_matrix, warp
from medicalseg.utils.seeding import sample_seed


def sample(shape=(20, 17, 9)):
    generator = np.random.default_rng(0)
    return generator.random(shape, dtype=np.float32), generator.integers(0, 20, shape).astype(np.int16)


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("target", [(10, 17, 12), (33, 40, 5), (1, 1, 1), (20, 3, 18)])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_resize_equals_scipy(target, order, corners):
    image, label = sample()
    factors = np.array(target) / image.shape
    expected = scipy.ndimage.zoom(image, factors, order=order, mode="nearest", grid_mode=not corners)
    np.testing.assert_allclose(resize(image[None], target, order, corners=corners)[0], expected, atol=2e-6)
    nearest = scipy.ndimage.zoom(label, factors, order=0, mode="nearest", grid_mode=not corners)
    np.testing.assert_array_equal(resize_label(label, target, corners=corners), nearest)


def test_resize_from_one_voxel():
    image, label = sample((1, 1, 1))
    new_image, new_label = Resize3D(4)(image, label)
    assert (new_image == image.item()).all()
    assert (new_label == label.item()).all()


def test_resize_of_the_shortest_side():
    assert Resize3D(5).target((20, 17, 9)) == (11, 9, 5)
    assert Resize3D([5, 5, 5]).target((20, 17, 9)) == (5, 5, 5)


def test_resize_to_the_same_grid_is_identity():
    image, label = sample()
    new_image, new_label = Resize3D(list(image.shape))(image, label)
    np.testing.assert_array_equal(new_image, image)
    np.testing.assert_array_equal(new_label, label)


def test_range_scaling_changes_all_sides_alike():
    image, label = sample((40, 20, 10))
    with sample_seed(3):
        new_image, _ = ResizeRangeScaling(0.5, 0.8)(image, label)
    factors = np.array(new_image.shape) / image.shape
    assert np.ptp(factors) < 0.06
    assert factors.min() >= 0.45
    assert factors.max() <= 0.85


def test_warp_in_three_dimensions_equals_scipy_inside():
    image, label = sample()
    matrix = rotation_matrix((0, 1), 12) @ rotation_matrix((1, 2), -7) / 1.1
    offset = centred_offset(matrix, image.shape) + [0.3, -1.2, 0.4]
    new_image, new_label = warp(image[None], label, matrix, offset)
    expected = scipy.ndimage.affine_transform(image, matrix, offset, order=1)
    nearest = scipy.ndimage.affine_transform(label, matrix, offset, order=0)
    grid = np.indices(image.shape).reshape(3, -1)
    places = matrix @ grid + offset[:, None]
    inside = ((places > 0) & (places < np.array(image.shape)[:, None] - 1)).all(0).reshape(image.shape)
    assert inside.mean() > 0.4
    np.testing.assert_allclose(new_image[0][inside], expected[inside], atol=1e-5)
    np.testing.assert_array_equal(new_label[inside], nearest[inside])
    far = ((places < -0.51) | (places > np.array(image.shape)[:, None] - 0.49)).any(0).reshape(image.shape)
    assert not new_image[0][far].any()
    assert not new_label[far].any()


@pytest.mark.parametrize("plane", [(0, 1), (0, 2), (1, 2)])
def test_warp_in_a_plane_equals_scipy(plane):
    image, label = sample()
    matrix = np.eye(3)
    # Odd numbers, so that no point falls on a border or half way between voxels, where SciPy's releases differ.
    matrix[np.ix_(plane, plane)] = [[0.9113, 0.2037], [-0.3071, 1.1939]]
    offset = np.zeros(3)
    offset[list(plane)] = [1.3177, -0.7239]
    new_image, new_label = warp(image[None], label, matrix, offset)
    np.testing.assert_allclose(new_image[0], scipy.ndimage.affine_transform(image, matrix, offset, order=1), atol=2e-6)
    np.testing.assert_array_equal(new_label, scipy.ndimage.affine_transform(label, matrix, offset, order=0))


def test_affine_moves_a_blob_as_told():
    image = np.zeros((21, 21, 21), np.float32)
    image[8:13, 8:13, 8:13] = 1
    one = [[0, 1], [0, 2], [1, 2]]
    shifted = RandomAffine3D(0, [1, 1], [0.2, 0.2], one)(image)[0]
    np.testing.assert_allclose(scipy.ndimage.center_of_mass(shifted), [14.2] * 3, atol=1e-3)
    image = scipy.ndimage.gaussian_filter(image, 1)
    larger = RandomScale3D([1.5, 1.5])(image)[0]
    assert larger.sum() / image.sum() == pytest.approx(1.5**3, rel=0.01)
    np.testing.assert_allclose(scipy.ndimage.center_of_mass(larger), [10] * 3, atol=1e-3)


def test_affine_identity():
    image, label = sample()
    transform = RandomAffine3D(0, [1, 1], 0, [[0, 1], [0, 2], [1, 2]])
    new_image, new_label = transform(image, label)
    np.testing.assert_array_equal(new_image, image)
    np.testing.assert_array_equal(new_label, label)
    np.testing.assert_array_equal(RandomAffine3D(prob=0)(image)[0], image)


def test_affine_rotation_equals_scipy():
    image, label = sample((20, 20, 5))
    new_image, new_label = RandomAffine3D([25, 25], [1, 1], 0)(image, label)
    np.testing.assert_allclose(
        new_image, scipy.ndimage.rotate(image, 25, reshape=False, axes=(0, 1), order=1), atol=2e-6
    )
    np.testing.assert_array_equal(new_label, scipy.ndimage.rotate(label, 25, reshape=False, axes=(0, 1), order=0))


def test_spacing_makes_rotations_rigid():
    """A bar of 12 mm along x, voxels of 1 x 1 x 4 mm, turned to z by 90 degrees: 12 mm are 3 slices."""
    image = np.zeros((41, 9, 11), np.float32)
    image[14:27, 4, 5] = 1
    transform = RandomAffine3D([90, 90], [1, 1], 0, [[0, 2]], spacing=[1, 1, 4])
    turned = transform(image)[0]
    assert np.flatnonzero(turned[20, 4] > 0.5).tolist() == [4, 5, 6]


def test_thin_axis_is_left_alone():
    image = np.zeros((40, 40, 6), np.float32)
    image[10:30, 10:30, 3] = 1
    for index in range(5):
        with sample_seed(index):
            moved = RandomAffine3D(30, [0.8, 1.2], 0.2)(image)[0]
        assert moved[..., 3].any()
        assert not np.delete(moved, 3, axis=2).any()


@pytest.mark.parametrize(("side", "points"), [(30, 7), (3, 4), (1, 5), (512, 4)])
def test_spline_weights_sum_to_1(side, points):
    basis = _spline_basis(side, points)
    assert basis.shape == (side, points + 2)
    np.testing.assert_allclose(basis.sum(1), 1, atol=1e-6)
    assert basis.min() >= 0


def test_spline_basis_equals_scipy():
    from scipy.interpolate import BSpline

    points = 6
    values = np.random.default_rng(0).random(points + 2)
    knots = np.arange(-3, points + 3)
    places = np.linspace(0, points - 1, 50)
    np.testing.assert_allclose(_spline_basis(50, points) @ values, BSpline(knots, values, 3)(places), atol=1e-6)


def test_elastic_does_not_fold():
    shape = (40, 36, 30)
    transform = RandomElastic3D(5, 0.1)
    for index in range(4):
        with sample_seed(index):
            places = transform._places(shape)
        assert all((np.diff(places[axis], axis=axis) > -1e-4).all() for axis in range(3))


def test_elastic_without_displacement_is_identity():
    image, label = sample()
    assert RandomElastic3D(max_displacement=0)(image, label)[1] is label
    np.testing.assert_array_equal(RandomElastic3D(prob=0)(image)[0], image)
