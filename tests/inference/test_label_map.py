"""Stored values to the network's labels and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medicalseg.errors import ConfigError, DataError
from medicalseg.inference import TaskSpec
from medicalseg.inference.label_map import LabelMap
from medicalseg.inference.outputs import read_labels, read_reference, write_labels
from medicalseg.io import Volume, read_label, read_volume

BRATS = {"WT": [1, 2, 3, 4], "TC": [1, 3, 4], "ET": [4]}
SPINE = {"background": 0, "L5": 20, "lumbar": [21, 22]}


def stored(*values: int, shape: tuple[int, int, int] = (6, 5, 4), kind: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).choice(values, shape).astype(kind)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.uint16, np.int64])
def test_gaps_close_and_values_merge(kind: type) -> None:
    label_map = LabelMap.from_config(SPINE)
    array = stored(0, 20, 21, 22, kind=kind)
    ids = label_map.apply(array)
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, np.select([array == 20, array > 20], [1, 2]))
    assert (label_map.num_classes, label_map.names) == (3, {0: "background", 1: "L5", 2: "lumbar"})
    written = label_map.to_stored(ids)
    assert written.dtype == np.uint8
    np.testing.assert_array_equal(written, np.where(array == 22, 21, array))


def test_far_apart_and_negative_values() -> None:
    label_map = LabelMap.from_config({"background": [0, -5], "a": 1_000_000, "b": 7})
    array = stored(0, -5, 1_000_000, 7, kind=np.int32)
    ids = label_map.apply(array)
    np.testing.assert_array_equal(ids, np.select([array == 1_000_000, array == 7], [1, 2]))
    assert label_map.to_stored(ids).dtype == np.int32
    with pytest.raises(DataError, match=r"value 8 "):
        label_map.apply(np.array([[[8, 1_000_000, 0]]]))


def test_regions_are_masks_and_codes() -> None:
    label_map = LabelMap.from_config(regions=BRATS)
    array = stored(0, 1, 2, 3, 4)
    masks = label_map.apply(array)
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(masks, np.stack([np.isin(array, values) for values in BRATS.values()]))
    codes = label_map.labels(array)
    np.testing.assert_array_equal(codes, masks[0] + 2 * masks[1] + 4 * masks[2])
    assert label_map.names == {1: "WT", 2: "TC", 3: "ET"}
    assert not label_map.one_map
    with pytest.raises(DataError, match="region_order"):
        label_map.to_stored(codes)


def test_regions_painted_in_order_read_back() -> None:
    label_map = LabelMap.from_config(regions=BRATS, region_order=[2, 1, 4])
    array = stored(0, 1, 2, 3, 4)
    codes = label_map.labels(array)
    painted = label_map.to_stored(codes)
    np.testing.assert_array_equal(painted, np.where(array == 3, 1, array))
    np.testing.assert_array_equal(label_map.labels(painted), codes)
    np.testing.assert_array_equal(label_map.to_stored(np.array([[[2, 4, 6]]], np.uint8)), [[[1, 4, 4]]])


def test_values_outside_the_regions() -> None:
    array = stored(0, 1, 9)
    with pytest.raises(DataError, match=r"value 9 .*0, 1"):
        LabelMap.from_config(regions={"a": 1}).apply(array)
    masks = LabelMap.from_config(regions={"background": [0, 9], "a": 1}).apply(array)
    np.testing.assert_array_equal(masks, [array == 1])


def test_ignored_values() -> None:
    array = stored(0, 20, 21, 22, 255, 200, kind=np.uint8)
    label_map = LabelMap.from_config(SPINE, ignore=[255, 200])
    np.testing.assert_array_equal(label_map.apply(array, 255) == 255, array >= 200)
    assert set(np.unique(label_map.to_stored(label_map.apply(array, 255)))) == {0, 20, 21, 255}
    with pytest.raises(DataError, match="ignore_index"):
        label_map.apply(array)
    regions = LabelMap.from_config(regions={"a": [1, 2], "b": 2}, ignore=7)
    array = stored(0, 1, 2, 7)
    np.testing.assert_array_equal(regions.labels(array, 255) == -1, array == 7)
    assert (regions.apply(array, 255)[:, array == 7] == 255).all()


def test_forms_of_the_same_map() -> None:
    expected = LabelMap.from_config({"background": 0, "L5": 20})
    assert LabelMap.from_config({"20": "L5", "0": "background"}) == expected
    assert LabelMap.from_config({20: "L5", 0: "background"}) == expected
    assert LabelMap.from_config() is None
    full = LabelMap.from_config(regions=BRATS, region_order=[2, 1, 4], ignore=9)
    for label_map in (expected, full):
        assert LabelMap.from_dict(json.loads(json.dumps(label_map.to_dict()))) == label_map


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": {"a": 0}, "regions": {"a": 1}}, "one of them"),
        ({"ignore": 255}, "ignore"),
        ({"labels": {"bg": 0, "a": 1}, "region_order": [1]}, "region_order"),
        ({"labels": {"L5": 20, "background": 0}}, "first class"),
        ({"labels": {"L5": 20, "L4": 21}}, "first class"),
        ({"labels": {"bg": 0, "a": [1, 2], "b": 2}}, "2 is in 'a' and 'b'"),
        ({"labels": {"bg": 0, "a": 1.5}}, r"labels\.a"),
        ({"labels": {"bg": 0, "a": []}}, r"labels\.a"),
        ({"labels": {"bg": 0, "a": True}}, r"labels\.a"),
        ({"labels": {0: "a", 1: "a"}}, "twice"),
        ({"labels": [0, 1]}, "labels"),
        ({"labels": {"bg": 0, "a": 1}, "ignore": 1}, "ignore"),
        ({"regions": BRATS, "region_order": [2, 1]}, "region_order"),
        ({"regions": BRATS, "region_order": [2, 1, 3]}, "'ET'"),
        ({"regions": {"background": [0, 1], "a": 1}}, "background"),
        ({"regions": {f"r{i}": i + 1 for i in range(31)}}, "at most 30"),
        ({"labels": {"bg": 0, "a": 1 << 40}}, "32 bits"),
    ],
)
def test_wrong_maps_name_the_key(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LabelMap.from_config(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 4}, "num_classes"),
        ({"num_classes": 3, "head": "sigmoid"}, "head"),
        ({"num_classes": 3, "ignore_index": None}, "ignore_index"),
    ],
)
def test_a_task_fits_its_map(settings: dict, message: str) -> None:
    label_map = LabelMap.from_config(SPINE, ignore=255)
    with pytest.raises(ConfigError, match=message):
        TaskSpec(**settings, label_map=label_map)


def test_task_keeps_its_map() -> None:
    task = TaskSpec(3, label_map=LabelMap.from_config(SPINE, ignore=255))
    assert TaskSpec.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    assert task.names == ["background", "L5", "lumbar"]
    with pytest.raises(ConfigError, match="label_map"):
        TaskSpec.from_dict({"num_classes": 3, "label_map": {"classes": ["a"]}})


def test_predictions_hold_stored_values(tmp_path: Path) -> None:
    task = TaskSpec(3, label_map=LabelMap.from_config(SPINE))
    ids = Volume(stored(0, 1, 2, kind=np.uint8), np.eye(4), meta={"labels": True})
    (path,) = write_labels(ids, task, tmp_path / "a.nii.gz")
    assert set(np.unique(read_label(path).array)) == {0, 20, 21}
    np.testing.assert_array_equal(read_labels(path, task).array, ids.array)
    np.testing.assert_array_equal(read_reference(path, task).array, ids.array)


@pytest.mark.parametrize("order", [None, [2, 1, 4]])
def test_predicted_regions(order: list[int] | None, tmp_path: Path) -> None:
    label_map = LabelMap.from_config(regions=BRATS, region_order=order)
    task = TaskSpec(3, head="sigmoid", label_map=label_map)
    codes = label_map.labels(stored(0, 1, 2, 3, 4))
    (path,) = write_labels(Volume(codes, np.eye(4), meta={"labels": True}), task, tmp_path / "a.nii.gz")
    assert read_volume(path, channels=True).array.ndim == (4 if order is None else 3)
    np.testing.assert_array_equal(read_labels(path, task).array, codes)


def test_real_regions(shared_data: Path) -> None:
    path = next((shared_data / "brats").rglob("*pat0005_1*/OTMultiClass.nii.gz"), None)
    path = path or next(path for path in (shared_data / "brats").rglob("*OTMultiClass*"))
    raw = read_label(path).array
    task = TaskSpec(3, head="sigmoid", label_map=LabelMap.from_config(regions=BRATS, region_order=[2, 1, 4]))
    codes = task.labels_of(raw)
    counts = [int(np.count_nonzero(codes >> bit & 1)) for bit in range(3)]
    values = np.bincount(raw.ravel(), minlength=5)
    assert counts == [values[1:].sum(), values[1] + values[3] + values[4], values[4]]
    np.testing.assert_array_equal(task.labels_of(task.label_map.to_stored(codes)), codes)


def test_a_single_region_is_one_map(tmp_path: Path) -> None:
    task = TaskSpec(1, head="sigmoid", label_map=LabelMap.from_config(regions={"tumour": [3, 5]}, ignore=9))
    raw = stored(0, 3, 5, 9)
    codes = task.labels_of(raw)
    np.testing.assert_array_equal(codes, np.select([raw == 9, raw > 0], [-1, 1]))
    (path,) = write_labels(Volume(codes, np.eye(4), meta={"labels": True}), task, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_label(path).array, np.where(raw == 5, 3, raw))
    np.testing.assert_array_equal(read_labels(path, task).array, codes)


def test_names_of_stored_values() -> None:
    assert LabelMap.from_config(SPINE, ignore=9).stored_names == {
        0: "background",
        9: "ignored",
        20: "L5",
        21: "lumbar",
        22: "lumbar",
    }
    names = LabelMap.from_config(regions=BRATS).stored_names
    assert names == {0: "background", 1: "WT, TC", 2: "WT", 3: "WT, TC", 4: "WT, TC, ET"}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("low", [0, -3])
def test_large_volumes_in_parts(order: str, low: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medicalseg.inference.label_map.PART", 50)
    label_map = LabelMap.from_config({"background": [0, -3], "a": 40, "b": 7}, ignore=11)
    array = np.asarray(stored(low, 40, 7, 11, shape=(9, 8, 7)), order=order)[::-1]
    ids = label_map.apply(array, 255)
    np.testing.assert_array_equal(ids, np.select([array == 40, array == 7, array == 11], [1, 2, 255]))
    np.testing.assert_array_equal(label_map.to_stored(ids), np.where(array == -3, 0, array))
