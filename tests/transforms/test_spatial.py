"""Patches cut and warped at once, against SciPy on the whole volume."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from medicalseg.transforms import NnUNetAugmentation, SpatialTransform, spatial
from medicalseg.transforms.boxes import needed_box
from medicalseg.transforms.elastic import displaced
from medicalseg.transforms.line_warp import warp_axis
from medicalseg.transforms.sampling import centred_offset, rotation_matrix, warp
from medicalseg.transforms.volume_warp import sample_volume
from medicalseg.utils.seeding import sample_seed

PLANES = [(0, 1), (0, 2), (1, 2)]


def sample(shape=(31, 26, 22)):
    generator = np.random.default_rng(0)
    return generator.random(shape, dtype=np.float32), generator.integers(0, 20, shape).astype(np.uint8)


def by_scipy(image, label, matrix, offset, shape):
    """Linear and nearest on the whole volume; and where no place is near a border or half way between voxels."""
    expected = scipy.ndimage.affine_transform(image, matrix, offset, shape, order=1)
    nearest = scipy.ndimage.affine_transform(label, matrix, offset, shape, order=0)
    places = np.tensordot(matrix, np.indices(shape), 1) + np.reshape(offset, (3, 1, 1, 1))
    ends = np.reshape(image.shape, (3, 1, 1, 1)) - 1
    clear = ((np.abs(places) > 1e-3) & (np.abs(places - ends) > 1e-3)).all(0)
    decided = (np.abs(places - np.floor(places) - 0.5) > 1e-3).all(0)
    return expected, nearest, clear, decided


MATRICES = {
    "three planes": rotation_matrix((0, 1), 17) @ rotation_matrix((0, 2), -9) @ rotation_matrix((1, 2), 23),
    "one plane": rotation_matrix((0, 2), 31.7),
    "one plane, third axis scaled": rotation_matrix((0, 1), 31.7) * [1, 1, 0.83],
    "scale": np.diag([0.71, 1.37, 1.09]),
    "mirrored axis": np.diag([1, -0.9, 1]),
    "shear": np.array([[1, 0.2, 0], [0, 1, 0.1], [0.05, 0, 1]]),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES.keys())
@pytest.mark.parametrize("shape", [(12, 9, 7), (31, 26, 22), (5, 40, 3), (1, 1, 1)])
@pytest.mark.parametrize("shift", [(0, 0, 0), (2.3, -4.1, 0.7), (9, 3, -5), (-60, 0, 0)])
def test_patch_equals_scipy(matrix, shape, shift):
    image, label = sample()
    offset = centred_offset(matrix, shape) + np.add(shift, 4.0137)
    expected, nearest, clear, decided = by_scipy(image, label, matrix, offset, shape)
    new_image, new_label = warp(np.stack([image, 1 - image]), label, matrix, offset, shape)
    assert new_image.shape == (2, *shape)
    assert new_image.dtype == np.float32
    assert new_label.dtype == label.dtype
    np.testing.assert_allclose(new_image[0][clear], expected[clear], atol=5e-5)
    np.testing.assert_array_equal(new_label[clear & decided], nearest[clear & decided])
    inside = scipy.ndimage.affine_transform(np.ones_like(image), matrix, offset, shape, order=1)
    np.testing.assert_allclose(new_image[1][clear], (inside - expected)[clear], atol=5e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    ("scale", "offset", "length"), [(0.7, 1.3, 20), (1.9, -4.2, 30), (-1.1, 20.3, 9), (1, 0.25, 1)]
)
def test_one_axis_equals_scipy(axis, scale, offset, length):
    image, label = sample()
    matrix, offsets, shape = np.eye(3), np.zeros(3), list(image.shape)
    matrix[axis, axis], offsets[axis], shape[axis] = scale, offset, length
    expected, nearest, _, _ = by_scipy(image, label, matrix, offsets, tuple(shape))
    new_image, new_label = warp_axis(image[None], label, axis, scale, offset, length)
    np.testing.assert_allclose(new_image[0], expected, atol=2e-6)
    np.testing.assert_array_equal(new_label, nearest)


@pytest.mark.parametrize("shape", [(9, 8, 7), (1, 5, 5), (1, 1, 1), (200, 130, 2)])
def test_any_places_equal_scipy(shape):
    image, label = sample(shape)
    places = np.random.default_rng(1).uniform(-2, np.reshape(shape, (3, 1, 1, 1)) + 1, (3, 7, 6, 5)).astype(np.float32)
    new_image, new_label = sample_volume(image[None], label, places.copy())
    ends = np.reshape(shape, (3, 1, 1, 1)) - 1
    clear = ((np.abs(places) > 1e-3) & (np.abs(places - ends) > 1e-3)).all(0)
    expected = scipy.ndimage.map_coordinates(image, places, order=1)
    np.testing.assert_allclose(new_image[0][clear], expected[clear], atol=1e-5)
    outside = ((places < 0) | (places > ends)).any(0)
    nearest = np.where(outside, 0, scipy.ndimage.map_coordinates(label, places, order=0))
    np.testing.assert_array_equal(new_label[clear], nearest[clear])


def test_needed_box_holds_every_neighbour():
    matrix = MATRICES["three planes"]
    offset = np.array([3.2, -5.1, 40.0])
    low, high = needed_box((31, 26, 22), matrix, offset, (8, 9, 10))
    places = np.tensordot(matrix, np.indices((8, 9, 10)), 1) + offset.reshape(3, 1, 1, 1)
    for axis, side in enumerate((31, 26, 22)):
        assert 0 <= low[axis] <= high[axis] <= side
        assert low[axis] <= max(0, np.floor(places[axis].min()))
        assert high[axis] >= min(side, np.floor(places[axis].max()) + 1)


def test_without_a_warp_the_patch_is_cut_out():
    image, label = sample()
    for index in range(20):
        with sample_seed(index):
            patch, ids = SpatialTransform([8, 26, 30], p_rotation=0, p_scaling=0)(image, label)
        assert not patch[..., :4].any()
        assert not patch[..., 26:].any()
        starts = [start for start in range(24) if np.array_equal(image[start : start + 8], patch[..., 4:26])]
        assert len(starts) == 1
        np.testing.assert_array_equal(label[starts[0] : starts[0] + 8], ids[..., 4:26])


def test_every_place_is_reached_and_the_middle_on_request():
    image = np.arange(6, dtype=np.float32).reshape(6, 1, 1)
    cut = SpatialTransform([3, 1, 1], p_rotation=0, p_scaling=0)
    seen = set()
    for index in range(60):
        with sample_seed(index):
            seen.add(int(cut(image)[0][0, 0, 0]))
    assert seen == {0, 1, 2, 3}
    middle = SpatialTransform([2, 1, 1], random_crop=False, p_rotation=0, p_scaling=0)
    assert middle(image)[0].ravel().tolist() == [2, 3]


def test_rotation_and_scaling_are_about_the_centre_of_the_patch():
    image = np.zeros((41, 41, 41), np.float32)
    image[16:25, 18:23, 18:23] = 1
    image = scipy.ndimage.gaussian_filter(image, 1)
    transform = SpatialTransform([31, 29, 27], False, 0, 1, [90, 90], [[0, 1]], 1, [0.5, 0.5])
    patch = transform(image)[0]
    np.testing.assert_allclose(scipy.ndimage.center_of_mass(patch), [15, 14, 13], atol=1e-3)
    assert patch.sum() / image.sum() == pytest.approx(8, rel=0.01)
    spread = np.argwhere(patch > 0.5)
    assert np.ptp(spread, axis=0)[1] > 1.5 * np.ptp(spread, axis=0)[0]


def test_thin_patches_turn_within_their_slices():
    image = np.zeros((40, 40, 6), np.float32)
    image[..., 3] = np.random.default_rng(0).random((40, 40))
    for index in range(6):
        with sample_seed(index):
            patch = SpatialTransform(p_rotation=1, p_scaling=1)(image)[0]
        assert patch[..., 3].any()
        assert not np.delete(patch, 3, axis=2).any()


def test_foreground_patches_show_every_id_alike():
    label = np.zeros((40, 40, 40), np.uint8)
    label[3, 4, 5] = 1
    label[20:36, 20:36, 20:36] = 2
    image = label.astype(np.float32)
    transform = SpatialTransform(7, p_foreground=1, p_rotation=0, p_scaling=0)
    centres = []
    for index in range(60):
        with sample_seed(index):
            patch, ids = transform(image, label)
        np.testing.assert_array_equal(patch, ids)
        centres.append(int(ids[3, 3, 3]))
    assert set(centres) == {1, 2}
    assert 15 <= centres.count(1) <= 45
    empty = transform(image, np.zeros_like(label))[1]
    assert empty.shape == (7, 7, 7)


def test_elastic_patch_equals_scipy(monkeypatch):
    seen = []

    def recorded(*arguments):
        seen.append(displaced(*arguments))
        return seen[-1].copy()

    monkeypatch.setattr(spatial, "displaced", recorded)
    image, label = sample()
    transform = SpatialTransform([15, 14, 13], False, 0, 0, p_scaling=0, p_elastic=1, max_displacement=0.05)
    with sample_seed(3):
        patch, ids = transform(image, label)
    assert np.abs(seen[0] - np.indices((15, 14, 13))).max() > 0.2
    places = seen[0] + np.reshape([(31 - 15) // 2, (26 - 14) // 2, (22 - 13) // 2], (3, 1, 1, 1))
    np.testing.assert_allclose(patch, scipy.ndimage.map_coordinates(image, places, order=1), atol=1e-5)
    decided = (np.abs(places - np.floor(places) - 0.5) > 1e-3).all(0)
    nearest = scipy.ndimage.map_coordinates(label, places, order=0)
    np.testing.assert_array_equal(ids[decided], nearest[decided])


def test_probabilities_of_the_recipe():
    """Steps that change grey values happen as often as nnU-Net's trainer says."""
    image = np.random.default_rng(0).standard_normal((6, 6, 6)).astype(np.float32)
    recipe = NnUNetAugmentation(p_foreground=0)
    steps = [recipe._spatial, *recipe._after_cut._before, *recipe._after_cut._after[:2]]
    rates = [0.36, 0.1, 0.1, 0.15, 0.15, 0.1, 0.3]
    for step, rate in zip(steps, rates, strict=True):
        changed = 0
        for index in range(600):
            with sample_seed(index):
                changed += not np.array_equal(step(image)[0], image)
        assert changed / 600 == pytest.approx(rate, abs=0.05), step


def test_recipe_follows_the_patch():
    thin, thick = NnUNetAugmentation([32, 32, 4]), NnUNetAugmentation(16)
    image, label = sample((40, 40, 8))
    assert thin(image, label)[0].shape == (32, 32, 4)
    assert thick(image, label)[1].shape == (16, 16, 16)
    assert len(NnUNetAugmentation(mirror_axes=None)._after_cut._after) == 2
