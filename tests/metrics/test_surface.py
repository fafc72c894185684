"""Surface measures: areas and distances by formula, brute force, SimpleITK and (where installed) MONAI."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from medicalseg.errors import DataError
from medicalseg.metrics import (
    average_surface_distance,
    hausdorff_distance,
    normalized_surface_dice,
    surface_distances,
)
from medicalseg.metrics.surface_elements import element_areas, surface_elements

SPACINGS = [(1.0, 1.0, 1.0), (0.9, 0.5, 3.0), (0.9375, 0.9375, 4.0)]


def blobs(seed: int, shape: tuple[int, ...] = (24, 20, 12)) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(seed).normal(size=(2, *shape))
    return tuple(gaussian_filter(one, 2.0) > 0.03 for one in noise)  # type: ignore[return-value]


def box(shape: tuple[int, ...], start: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(first, first + length) for first, length in zip(start, size, strict=True))] = True
    return mask


@pytest.mark.parametrize("spacing", SPACINGS)
def test_area_of_a_box_with_its_edges_cut(spacing):
    size = (5, 4, 3)
    _, areas = surface_elements(box((9, 9, 9), (2, 2, 2), size), spacing)
    sides = np.array(spacing)
    flat = [size[axis] - 1 for axis in range(3)]
    expected = 0.0
    for a, b in itertools.combinations(range(3), 2):
        expected += 2 * flat[a] * flat[b] * sides[a] * sides[b]
        other = 3 - a - b
        expected += 4 * flat[other] * sides[other] * np.hypot(sides[a], sides[b]) / 2
    products = [sides[a] * sides[b] for a, b in itertools.combinations(range(3), 2)]
    expected += 8 * np.linalg.norm(products) / 8
    assert areas.sum() == pytest.approx(expected)


def test_codes_of_a_complement_have_the_same_area():
    areas = element_areas((0.7, 1.1, 2.0))
    np.testing.assert_allclose(areas, areas[::-1])
    assert areas[0] == areas[255] == 0
    assert (areas[1:255] > 0).all()


def test_lengths_of_two_dimensions():
    areas = element_areas((0.7, 2.0))
    half = np.hypot(0.7, 2.0) / 2
    first = [0, half, half, 2.0, half, 0.7, 2 * half, half]
    np.testing.assert_allclose(areas, [*first, *first[::-1]])


@pytest.mark.parametrize("spacing", SPACINGS)
def test_area_is_that_of_marching_cubes(spacing):
    measure = pytest.importorskip("skimage.measure")
    mask = np.pad(blobs(1)[0], 1)
    vertices, faces, _, _ = measure.marching_cubes(mask.astype(float), 0.5, spacing=spacing, method="lorensen")
    _, areas = surface_elements(mask, spacing)
    assert areas.sum() == pytest.approx(measure.mesh_surface_area(vertices, faces), rel=0.02)


def test_elements_lie_between_voxels():
    places, _ = surface_elements(box((4, 4, 4), (1, 2, 0), (1, 1, 1)), (1, 1, 1))
    assert sorted(map(tuple, places)) == sorted(itertools.product((1, 2), (2, 3), (0, 1)))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", [0, 1])
def test_distances_by_brute_force(spacing, seed):
    prediction, reference = blobs(seed)
    (points, areas), (others, other_areas) = (surface_elements(mask, spacing) for mask in (prediction, reference))
    pairs = cdist(points * np.array(spacing), others * np.array(spacing))
    near, far = pairs.min(axis=1), pairs.min(axis=0)
    found = surface_distances(prediction, reference, spacing)
    np.testing.assert_allclose(found.prediction, np.sort(near), atol=1e-9)
    np.testing.assert_allclose(found.reference, np.sort(far), atol=1e-9)
    assert hausdorff_distance(found) == pytest.approx(max(near.max(), far.max()))
    total = areas.sum() + other_areas.sum()
    assert average_surface_distance(found) == pytest.approx(((near * areas).sum() + (far * other_areas).sum()) / total)
    for tolerance in (0.0, 1.3, 2.6):
        close = areas[near <= tolerance + 1e-9].sum() + other_areas[far <= tolerance + 1e-9].sum()
        assert normalized_surface_dice(found, tolerance) == pytest.approx(close / total)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", [2, 3])
def test_surface_dice_is_monais(spacing, seed):
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.metrics")
    masks = blobs(seed)
    prediction, reference = (torch.tensor(np.stack([~mask, mask])[None]) for mask in masks)
    found = surface_distances(*masks, spacing)
    for tolerance in (0.5, 1.2, 2.1):
        theirs = monai.compute_surface_dice(prediction, reference, [tolerance], spacing=spacing, use_subvoxels=True)
        assert normalized_surface_dice(found, tolerance) == pytest.approx(theirs.item(), abs=1e-5)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("spacing", SPACINGS)
def test_shifted_boxes_by_hand_and_by_simpleitk(spacing, axis):
    start = [4, 4, 4]
    reference = box((18, 16, 14), tuple(start), (6, 5, 4))
    start[axis] += 2
    prediction = box((18, 16, 14), tuple(start), (6, 5, 4))
    found = surface_distances(prediction, reference, spacing)
    shift = 2 * spacing[axis]
    images = [SimpleITK.GetImageFromArray(mask.transpose().astype(np.uint8)) for mask in (prediction, reference)]
    for image in images:
        image.SetSpacing(spacing)
    theirs = SimpleITK.HausdorffDistanceImageFilter()
    theirs.Execute(*images)
    assert hausdorff_distance(found) == pytest.approx(shift)
    assert hausdorff_distance(found) == pytest.approx(theirs.GetHausdorffDistance())
    assert normalized_surface_dice(found, shift) == 1
    assert normalized_surface_dice(found, 0.99 * shift) < 1


def test_parallel_planes_weigh_by_their_area():
    lower, upper = box((40, 40, 12), (0, 0, 0), (40, 40, 4)), box((40, 40, 12), (0, 0, 0), (40, 40, 6))
    found = surface_distances(upper, lower, (1.0, 1.0, 2.5))
    assert hausdorff_distance(found) == pytest.approx(5.0)
    assert hausdorff_distance(found, 95) == pytest.approx(5.0)
    assert hausdorff_distance(found, 50) == 0


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (0.4, 0.4, 1.0)])
def test_spheres_in_one_another(spacing):
    counts = [round(30 / side) for side in spacing]
    axes = [(np.arange(n) + 0.5) * side - 15 for n, side in zip(counts, spacing, strict=True)]
    radius = np.sqrt(sum(x**2 for x in np.meshgrid(*axes, indexing="ij")))
    found = surface_distances(radius <= 12, radius <= 9, spacing)
    assert hausdorff_distance(found) == pytest.approx(3, abs=0.5)
    assert hausdorff_distance(found, 95) == pytest.approx(3, abs=0.35)
    assert normalized_surface_dice(found, 1.9) == 0
    assert normalized_surface_dice(found, 3.6) == 1


def test_a_tolerance_of_one_voxel_reaches_it_whatever_the_rounding():
    first, second = box((20, 6, 6), (3, 1, 1), (7, 4, 4)), box((20, 6, 6), (4, 1, 1), (7, 4, 4))
    for side in (0.1, 0.3, 0.7, 0.9375):
        assert normalized_surface_dice(surface_distances(first, second, (side, 1, 1)), side) == 1


def test_equal_masks():
    mask = blobs(4)[0]
    found = surface_distances(mask, mask, (1, 2, 3))
    assert normalized_surface_dice(found, 0) == 1
    assert hausdorff_distance(found) == average_surface_distance(found) == 0


def test_absent_masks():
    mask, empty = box((5, 5, 5), (1, 1, 1), (2, 2, 2)), np.zeros((5, 5, 5), bool)
    for pair in ((mask, empty), (empty, mask)):
        found = surface_distances(*pair, (1, 1, 1))
        assert normalized_surface_dice(found, 5) == 0
        assert np.isnan(hausdorff_distance(found))
        assert np.isnan(average_surface_distance(found))
    found = surface_distances(empty, empty, (1, 1, 1))
    assert np.isnan(normalized_surface_dice(found, 5))


def test_a_volume_of_one_slice_is_a_picture():
    mask, other = blobs(5, (30, 30)), blobs(6, (30, 30))
    flat = surface_distances(mask[0], other[0], (1.0, 0.5))
    deep = surface_distances(mask[0][:, None], other[0][:, None], (1.0, 9.0, 0.5))
    np.testing.assert_allclose(flat.prediction, deep.prediction)
    np.testing.assert_allclose(flat.reference_areas, deep.reference_areas)


def test_wrong_input():
    mask = np.ones((3, 3, 3), bool)
    with pytest.raises(DataError, match=r"shape \(3, 3, 3\)"):
        surface_distances(mask, mask[:2], (1, 1, 1))
    with pytest.raises(DataError, match="spacing"):
        surface_distances(mask, mask, (1, 0, 1))
    with pytest.raises(DataError, match="spacing"):
        surface_distances(mask, mask, (1, 1))
    with pytest.raises(DataError, match="axes"):
        surface_distances(mask[0, 0], mask[0, 0], (1,))
