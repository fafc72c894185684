"""Largest parts, small parts, holes: against SciPy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medicalseg.errors import ConfigError
from medicalseg.inference.decision import pack, unpack
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume
from medicalseg.postprocessing import (
    FillHoles,
    KeepLargestComponent,
    RemoveSmallComponents,
    build_postprocessing,
    postprocess,
)

measure = pytest.importorskip("skimage.measure")
morphology = pytest.importorskip("skimage.morphology")
SPACING = (1.0, 0.5, 2.0)


def blobs(seed: int, classes: int = 3, shape: tuple[int, int, int] = (24, 20, 12)) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.2)
    return np.digitize(noise, np.quantile(noise, [0.6, 0.75, 0.9][:classes])).astype(np.uint8)


@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_largest_part_of_every_class(seed: int, connectivity: int) -> None:
    labels = blobs(seed)
    result = KeepLargestComponent(connectivity=connectivity)(labels, SPACING, "RAS")
    for label in (1, 2, 3):
        parts = measure.label(labels == label, connectivity=connectivity)
        regions = measure.regionprops(parts)
        areas = [region.area for region in regions]
        expected = parts == regions[int(np.argmax(areas))].label
        np.testing.assert_array_equal(result == label, expected)


def test_largest_part_of_the_foreground_keeps_all_classes_in_it() -> None:
    labels = blobs(4)
    parts = measure.label(labels > 0, connectivity=3)
    biggest = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
    result = KeepLargestComponent(per_class=False)(labels, SPACING, "RAS")
    np.testing.assert_array_equal(result, np.where(biggest, labels, 0))


def test_only_the_classes_that_are_named_change() -> None:
    labels = blobs(5)
    result = KeepLargestComponent(classes=[2])(labels, SPACING, "RAS")
    assert (result != labels).any()
    np.testing.assert_array_equal(result[labels != 2], labels[labels != 2])


@pytest.mark.parametrize("volume", [0.0, 3.0, 20.0])
def test_small_parts_as_scikit_image_removes_them(volume: float) -> None:
    labels = blobs(6)
    result = RemoveSmallComponents(volume)(labels, SPACING, "RAS")
    for label in (1, 2, 3):
        parts = measure.label(labels == label, connectivity=3)
        keep = [region.label for region in measure.regionprops(parts) if region.area * 1.0 >= volume]
        np.testing.assert_array_equal(result == label, np.isin(parts, keep))


def test_holes_of_one_class_as_scipy_fills_them() -> None:
    mask = morphology.ball(6)
    mask[5:8, 5:8, 5:8] = 0
    mask[3, 6, 6] = 0
    result = FillHoles()(mask, SPACING, "RAS")
    np.testing.assert_array_equal(result, ndimage.binary_fill_holes(mask))
    assert result.sum() == mask.sum() + 28


def test_a_hole_goes_to_the_class_around_most_of_it_and_other_classes_stay() -> None:
    labels = np.full((7, 7, 7), 0, np.uint8)
    labels[1:6, 1:6, 1:6] = 1
    labels[3:6, 1:6, 1:6] = 2
    labels[2:4, 3, 3] = 0
    labels[4, 2, 2] = 3
    result = FillHoles(classes=[1, 2])(labels, SPACING, "RAS")
    assert result[4, 2, 2] == 3
    assert set(result[2:4, 3, 3]) == {1}
    assert (result[labels != 0] == labels[labels != 0]).all()


def test_large_holes_stay_if_asked() -> None:
    mask = np.ones((9, 9, 9), np.uint8)
    mask[2, 2, 2] = mask[5:7, 5:7, 5:7] = 0
    result = FillHoles(max_volume_mm3=1.0)(mask, SPACING, "RAS")
    assert result[2, 2, 2] == 1
    assert (result[5:7, 5:7, 5:7] == 0).all()


@pytest.mark.parametrize("step", [KeepLargestComponent(), RemoveSmallComponents(5.0), FillHoles()])
def test_nothing_stays_nothing_and_the_argument_is_not_changed(step: object) -> None:
    empty = np.zeros((4, 5, 6), np.uint8)
    assert not step(empty, SPACING, "RAS").any()  # type: ignore[operator]
    labels = blobs(7)
    before = labels.copy()
    step(labels, SPACING, "RAS")  # type: ignore[operator]
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"type": "KeepLargestComponent", "classes": [0]}, "ids of classes from 1 on"),
        ({"type": "KeepLargestComponent", "classes": [1, 1]}, "comes twice"),
        ({"type": "KeepLargestComponent", "classes": 1}, "list of ids"),
        ({"type": "KeepLargestComponent", "connectivity": 4}, "connectivity"),
        ({"type": "KeepLargestComponent", "per_class": 1}, "per_class"),
        ({"type": "RemoveSmallComponents"}, "min_volume_mm3"),
        ({"type": "RemoveSmallComponents", "min_volume_mm3": -1}, "min_volume_mm3"),
        ({"type": "FillHoles", "max_volume_mm3": "big"}, "max_volume_mm3"),
        ({"type": "FillHole"}, "FillHoles"),
        ({"type": "FillHoles", "class": [1]}, "classes"),
        ("FillHoles", "mapping"),
        ({"type": "KeepLargestComponent", "classes": [7]}, "do not exist"),
    ],
)
def test_wrong_steps_are_named(block: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        build_postprocessing([{"type": "FillHoles"}, block], num_ids=4)  # type: ignore[list-item]
    assert "postprocessing[1]" in str(caught.value)


def test_a_task_applies_its_steps_in_order() -> None:
    labels = blobs(8)
    steps = [{"type": "RemoveSmallComponents", "min_volume_mm3": 4}, {"type": "FillHoles"}]
    task = TaskSpec(4, postprocessing=tuple(steps))
    volume = Volume(labels, np.diag([*SPACING, 1]))
    result = postprocess(volume, task)
    expected = FillHoles()(RemoveSmallComponents(4)(labels, SPACING, "RAS"), SPACING, "RAS")
    np.testing.assert_array_equal(result.array, expected)
    assert result.array.dtype == labels.dtype
    assert result.is_label
    assert postprocess(volume, TaskSpec(4)) is volume


def test_structures_that_overlap_go_one_by_one() -> None:
    masks = np.stack([blobs(9, 1), blobs(10, 1)])
    codes = pack(masks)
    task = TaskSpec(2, head="sigmoid", postprocessing=({"type": "KeepLargestComponent"},))
    result = unpack(postprocess(Volume(codes, np.eye(4)), task).array, 2)
    for mask, kept in zip(masks, result, strict=True):
        np.testing.assert_array_equal(kept, KeepLargestComponent()(mask, SPACING, "RAS"))
    together = TaskSpec(2, head="sigmoid", postprocessing=({"type": "KeepLargestComponent", "per_class": False},))
    union = KeepLargestComponent()(masks.any(axis=0).astype(np.uint8), SPACING, "RAS")
    result = unpack(postprocess(Volume(codes, np.eye(4)), together).array, 2)
    np.testing.assert_array_equal(result, masks * union)
    small = TaskSpec(
        2,
        head="sigmoid",
        postprocessing=({"type": "RemoveSmallComponents", "min_volume_mm3": 30, "per_class": False},),
    )
    union = RemoveSmallComponents(30)(masks.any(axis=0).astype(np.uint8), (1, 1, 1), "RAS")
    result = unpack(postprocess(Volume(codes, np.eye(4)), small).array, 2)
    np.testing.assert_array_equal(result, masks * union)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_holes_of_a_picture_are_enclosed_within_it(axis: int) -> None:
    plane = np.zeros((7, 9), np.uint8)
    plane[1:6, 1:8] = 2
    plane[3, 4] = 0
    filled = plane.copy()
    filled[3, 4] = 2
    result = FillHoles()(np.expand_dims(plane, axis), SPACING, "RAS")
    np.testing.assert_array_equal(result, np.expand_dims(filled, axis))
    single = np.ones((1, 1, 1), np.uint8)
    np.testing.assert_array_equal(FillHoles()(single, SPACING, "RAS"), single)
