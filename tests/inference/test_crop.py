"""The crop in front of resampling, and the way back: background outside the box."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medicalseg.errors import ConfigError
from medicalseg.inference.content import SAMPLES, body_bounds, bounds_of, find_body
from medicalseg.inference.grid import GridRecord, oriented_bounds
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.io import Volume, read_label, read_volume, reorient

OBLIQUE = np.array([[0, 0, 2.0, 5], [-1.5, 0.1, 0, 3], [0, 1.0, 0.05, 2], [0, 0, 0, 1]])
BOX = (slice(3, 15), slice(2, 18), slice(4, 9))


def inside_a_box(shape: tuple[int, int, int] = (20, 23, 11)) -> np.ndarray:
    array = np.zeros(shape, np.float32)
    array[BOX] = np.random.default_rng(0).uniform(1, 2, array[BOX].shape)
    return array


@pytest.mark.parametrize("orientation", [None, "LPS", "SRA"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_nonzero_box_equals_numpy(orientation: str | None, order: str) -> None:
    array = np.asarray(inside_a_box(), order=order)
    volume = Volume(array, OBLIQUE)
    steps = Preprocessing(crop="nonzero", orientation=orientation)
    result, record = steps.apply(volume)
    oriented = volume if orientation is None else reorient(volume, orientation)
    edges = [(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(oriented.array)]
    assert [(part.start, part.stop) for part in record.box] == edges
    np.testing.assert_array_equal(result[0], oriented.array[record.box])
    assert steps.grid(volume) == record
    assert GridRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


@pytest.mark.parametrize("settings", [{}, {"size": [16, 24, 8], "fit": "pad", "divisor": [8, 8, 8]}])
@pytest.mark.parametrize("orientation", [None, "LPS", "SRA"])
def test_labels_in_the_box_come_back_exactly(settings: dict, orientation: str | None) -> None:
    volume = Volume(inside_a_box(), OBLIQUE)
    labels = np.random.default_rng(1).integers(0, 5, volume.shape).astype(np.uint8)
    steps = Preprocessing(crop="nonzero", orientation=orientation, **settings)
    _, record = steps.apply(volume)
    restored = steps.restore(steps.apply_label(Volume(labels, OBLIQUE), record), record)
    expected = np.zeros_like(labels)
    expected[BOX] = labels[BOX]
    np.testing.assert_array_equal(restored.array, expected)
    np.testing.assert_array_equal(restored.affine, OBLIQUE)


@pytest.mark.parametrize("structures", [None, 2])
def test_resampled_crop_is_the_resampling_of_the_cut_volume(structures: int | None) -> None:
    """Cutting by hand, with the origin moved, gives the same network grid and the same labels inside the box."""
    volume = Volume(inside_a_box(), OBLIQUE)
    moved = OBLIQUE.copy()
    moved[:3, 3] += OBLIQUE[:3, :3] @ [part.start for part in BOX]
    cut = Volume(volume.array[BOX], moved)
    steps = Preprocessing(crop="nonzero", orientation="RAS", spacing=(1.2, 2.1, 0.9), image_order=3)
    result, record = steps.apply(volume)
    expected, alone = Preprocessing(orientation="RAS", spacing=(1.2, 2.1, 0.9), image_order=3).apply(cut)
    np.testing.assert_array_equal(result, expected)
    assert record.network_shape == alone.network_shape
    labels = np.random.default_rng(1).integers(0, 4, record.network_shape).astype(np.uint8)
    restored = steps.restore(labels, record, structures).array
    np.testing.assert_array_equal(restored[BOX], steps.restore(labels, alone, structures).array)
    restored[BOX] = 0
    assert not restored.any()


def test_channels_share_one_box() -> None:
    array = np.zeros((2, 12, 10, 8), np.int16)
    array[0, 2:5, 3:5, 1:3] = 7
    array[1, 4:9, 1:4, 2:7] = -3
    result, record = Preprocessing(crop="nonzero").apply(Volume(array, np.eye(4)))
    assert record.box == (slice(2, 9), slice(1, 5), slice(1, 7))
    np.testing.assert_array_equal(result, array[(slice(None), *record.box)])


@pytest.mark.parametrize("crop", ["nonzero", "body"])
def test_an_empty_image_is_not_cropped(crop: str) -> None:
    volume = Volume(np.zeros((5, 6, 7), np.uint8), np.eye(4))
    result, record = Preprocessing(crop=crop).apply(volume)
    assert result.shape == (1, 5, 6, 7)
    assert record.box_shape == (5, 6, 7)


def test_numbers_of_an_image_are_those_of_its_crop() -> None:
    array = inside_a_box()
    result, _ = Preprocessing(crop="nonzero", intensity=({"type": "zscore"},)).apply(Volume(array, np.eye(4)))
    part = array[BOX]
    np.testing.assert_allclose(result[0], (part - part.mean()) / part.std(), atol=1e-5)


def test_a_label_needs_its_images_record() -> None:
    with pytest.raises(ConfigError, match="record"):
        Preprocessing(crop="body").apply_label(Volume(np.zeros((3, 3, 3), np.uint8), np.eye(4)))
    with pytest.raises(ConfigError, match=r"preprocessing\.crop.*'body'"):
        Preprocessing(crop="bodies")


def test_old_records_are_not_cropped() -> None:
    record = Preprocessing().grid(Volume(np.zeros((3, 4, 5), np.uint8), np.eye(4)))
    content = {key: value for key, value in record.to_dict().items() if not key.startswith("crop")}
    assert GridRecord.from_dict(content) == record
    assert record.box == (slice(0, 3), slice(0, 4), slice(0, 5))


def ball(shape: tuple[int, int, int], centre: tuple[float, ...], radius: float) -> np.ndarray:
    grids = np.ogrid[tuple(slice(size) for size in shape)]
    return sum((grid - at) ** 2 for grid, at in zip(grids, centre, strict=True)) < radius**2


def test_body_is_the_largest_bright_part() -> None:
    """A ball of tissue in noise, with a cushion of the same brightness beside it that is no body."""
    shape = (50, 44, 40)
    body, cushion = ball(shape, (20, 22, 20), 12), ball(shape, (44, 38, 4), 4)
    rng = np.random.default_rng(0)
    array = np.abs(rng.normal(0, 5, shape)) + np.where(body | cushion, rng.normal(300, 40, shape), 0)
    found = find_body(array.astype(np.float32))
    parts, _ = ndimage.label(array > 40)
    assert found.values.size == np.count_nonzero(parts == parts[20, 22, 20])
    np.testing.assert_allclose(found.values.mean(), array[body].mean(), rtol=0.01)
    edges = [(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(body)]
    assert found.bounds == edges
    grown = body_bounds(array, (1.0, 2.5, 20.0))
    expected = [(first - n, last + n) for (first, last), n in zip(edges, (5, 2, 1), strict=True)]
    assert grown == expected


def test_a_large_body_is_found_on_fewer_voxels() -> None:
    shape = (200, 190, 180)
    body = ball(shape, (90, 100, 80), 60)
    assert body.size > SAMPLES
    array = np.where(body, 1000, 0).astype(np.int16)
    exact = bounds_of(body.view(np.uint8))
    for (first, last), (low, high) in zip(find_body(array).bounds, exact, strict=True):
        assert first <= low <= first + 2
        assert last - 2 <= high <= last


def test_what_lies_outside_a_scanners_field_is_no_body() -> None:
    shape = (40, 40, 20)
    array = np.where(ball(shape, (20, 20, 10), 18), -1000, -3024).astype(np.int16)
    body = ball(shape, (20, 20, 10), 9)
    array[body] = 50
    np.testing.assert_array_equal(np.sort(find_body(array).values), np.full(np.count_nonzero(body), 50))


def test_zscore_of_the_body() -> None:
    shape = (30, 30, 30)
    body = ball(shape, (15, 15, 15), 10)
    array = np.where(body, np.random.default_rng(0).normal(500, 50, shape), 0).astype(np.float32)
    for crop in ("none", "body"):
        steps = Preprocessing(crop=crop, intensity=({"type": "zscore", "mask": "body"},))
        result, record = steps.apply(Volume(array, np.eye(4)))
        expected = (array - array[body].mean()) / array[body].std()
        np.testing.assert_allclose(result[0], expected[record.box], atol=1e-4)


def test_nan_is_no_body() -> None:
    array = np.where(ball((20, 20, 20), (10, 10, 10), 6), 100.0, 0.0).astype(np.float32)
    array[0, 0, :2] = np.nan, np.inf
    assert (find_body(array).values == 100).all()


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
def test_bounds_follow_the_axes(flips: tuple[int, ...]) -> None:
    change = np.array([[2, flips[0]], [0, flips[1]], [1, flips[2]]])
    found = oriented_bounds([(1, 4), (2, 6), (0, 3)], (10, 11, 12), change)
    assert found == ([(2, 6), (0, 3), (1, 4)] if flips[0] > 0 else [(2, 6), (9, 12), (6, 9)])


def test_body_of_a_ct_holds_all_labels(shared_data: Path) -> None:
    folder = shared_data / "spine" / "totalseg_ct3mm"
    image = read_volume(next(folder.glob("*ct.nii.gz")))
    labels = read_label(next(folder.glob("*pred*")))
    steps = Preprocessing(crop="body", orientation="RAS")
    _, record = steps.apply(image)
    restored = steps.restore(steps.apply_label(labels, record), record)
    np.testing.assert_array_equal(restored.array, labels.array)


def test_brain_of_two_contrasts(shared_data: Path) -> None:
    """Outside the brain these images hold their lowest number, not 0."""
    folder = next(path.parent for path in sorted((shared_data / "brats").rglob("Flair_subtrMeanDivStd.nii.gz")))
    images = [read_volume(folder / f"{name}_subtrMeanDivStd.nii.gz") for name in ("Flair", "T1c")]
    labels, brain = read_label(folder / "OTMultiClass.nii.gz"), read_label(folder / "brainmask.nii.gz")
    volume = images[0].with_array(np.stack([image.array for image in images]))
    steps = Preprocessing(crop="body", orientation="RAS")
    record = steps.grid(volume)
    box = bounds_of(reorient(brain, "RAS").array)
    for part, (first, last), size in zip(record.box, box, (240, 240, 155), strict=True):
        assert max(0, first - 7) <= part.start <= first
        assert last <= part.stop <= min(size, last + 7)
    restored = steps.restore(steps.apply_label(labels, record), record)
    np.testing.assert_array_equal(restored.array, labels.array)


AWKWARD = ("PIR", "oblique_17deg", "anisotropic_22to1", "zero_border_20", "one_slice", "tiny_5x6x7", "constant")


@pytest.mark.parametrize("crop", ["nonzero", "body"])
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_volumes_come_back(name: str, crop: str, shared_data: Path) -> None:
    volume = read_volume(shared_data / "torture" / "valid" / f"{name}.nii.gz")
    labels = Volume((volume.array > np.median(volume.array)).astype(np.uint8), volume.affine)
    steps = Preprocessing(crop=crop, orientation="LPS", size=(8, 8, 8), fit="pad")
    _, record = steps.apply(volume)
    oriented = reorient(labels, "LPS").array
    inside = np.zeros_like(oriented)
    inside[record.box] = oriented[record.box]
    expected = reorient(Volume(inside, reorient(labels, "LPS").affine), volume.axcodes)
    restored = steps.restore(steps.apply_label(labels, record), record)
    np.testing.assert_array_equal(restored.array, expected.array)


@pytest.mark.parametrize("place", ["hippocampus", "spine/spider_t2space"])
@pytest.mark.parametrize("crop", ["nonzero", "body"])
def test_labels_of_real_cases_lie_in_the_crop(place: str, crop: str, shared_data: Path) -> None:
    folder = shared_data / place
    for path in sorted((folder / "imagesTr").glob("*.nii.gz"))[:4]:
        labels = read_label(next(folder.glob(f"labelsTr*/{path.name}")))
        steps = Preprocessing(crop=crop, orientation="RAS")
        _, record = steps.apply(read_volume(path))
        restored = steps.restore(steps.apply_label(labels, record), record)
        np.testing.assert_array_equal(restored.array, labels.array)
