"""Labels as files: a map, masks with an axis for the structures, a picture per structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medicalseg.errors import DataError
from medicalseg.inference import TaskSpec
from medicalseg.inference.inputs import Labels, find_inputs
from medicalseg.inference.outputs import (
    read_labels,
    read_reference,
    shown_image,
    structure_paths,
    topmost_ids,
    write_labels,
)
from medicalseg.io import Volume, read_volume, write_volume

OVERLAPPING = TaskSpec(2, labels={1: "right lung", 2: "heart/vessels"}, head="sigmoid")
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


def codes(shape: tuple[int, int, int]) -> Volume:
    return Volume(np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8), AFFINE, meta={"labels": True})


def test_overlapping_structures_of_a_volume(tmp_path: Path) -> None:
    labels = codes((6, 5, 4))
    (path,) = write_labels(labels, OVERLAPPING, tmp_path / "new" / "a.nii.gz")
    assert read_volume(path, channels=True).array.shape == (2, 6, 5, 4)
    np.testing.assert_array_equal(read_labels(path, OVERLAPPING).array, labels.array)


def test_overlapping_structures_of_a_picture(tmp_path: Path) -> None:
    labels = codes((6, 5, 1))
    written = write_labels(labels, OVERLAPPING, tmp_path / "labels" / "a.png")
    assert [path.name for path in written] == ["a_right_lung.png", "a_heart_vessels.png"]
    np.testing.assert_array_equal(read_labels(tmp_path / "labels" / "a.png", OVERLAPPING).array, labels.array)
    write_volume(Volume(np.zeros((6, 5, 1), np.uint8), AFFINE), tmp_path / "images" / "a.png")
    (case,) = find_inputs(tmp_path / "images")
    references = Labels(tmp_path / "labels")
    assert case.output == Path("a.png")
    assert references.find(case) is None
    found = references.find(case, task=OVERLAPPING)
    np.testing.assert_array_equal(references.read(found, case.read(), OVERLAPPING).volume.array, labels.array)


@pytest.mark.parametrize("task", [TaskSpec(4), TaskSpec(1, head="sigmoid")], ids=["softmax", "binary"])
def test_one_map_otherwise(task: TaskSpec, tmp_path: Path) -> None:
    labels = codes((6, 5, 1)).with_array(codes((6, 5, 1)).array % task.num_ids)
    for name in ("a.png", "a.nii.gz"):
        assert write_labels(labels, task, tmp_path / name) == [tmp_path / name]
        np.testing.assert_array_equal(read_labels(tmp_path / name, task).array, labels.array)


def stored(path: Path, *values: int) -> None:
    write_volume(Volume(np.array(values, np.uint8).reshape(-1, 1, 1), AFFINE), path)


@pytest.mark.parametrize("task", [TaskSpec(2), TaskSpec(1, head="sigmoid")], ids=["softmax", "sigmoid"])
def test_black_and_white_reference(task: TaskSpec, tmp_path: Path) -> None:
    stored(tmp_path / "a.png", 0, 255, 255)
    assert read_reference(tmp_path / "a.png", task).array.ravel().tolist() == [0, 1, 1]
    ignored = 255 if task.head == "softmax" else -1
    assert read_labels(tmp_path / "a.png", task).array.ravel().tolist() == [0, ignored, ignored]
    stored(tmp_path / "a.png", 0, 1, 255)
    assert read_reference(tmp_path / "a.png", task).array.ravel().tolist() == [0, 1, ignored]


def test_masks_of_structures_are_black_and_white_or_know_not_all(tmp_path: Path) -> None:
    first, second = structure_paths(tmp_path / "a.png", OVERLAPPING)
    stored(first, 0, 255, 255)
    stored(second, 0, 1, 255)
    assert read_labels(tmp_path / "a.png", OVERLAPPING).array.ravel().tolist() == [0, 3, -1]
    stored(second, 0, 1, 128)
    with pytest.raises(DataError, match=r"a_heart_vessels\.png: a structure's mask holds 0 and 1"):
        read_labels(tmp_path / "a.png", OVERLAPPING)


def test_names_that_would_be_the_same_file() -> None:
    task = TaskSpec(2, labels={1: "a/b", 2: "a b"}, head="sigmoid")
    assert [path.name for path in structure_paths(Path("x.png"), task)] == ["x_1.png", "x_2.png"]


def test_what_a_picture_shows() -> None:
    assert topmost_ids(np.array([0, 1, 2, 3, -1]), OVERLAPPING).tolist() == [0, 1, 2, 2, 0]
    colour = np.stack([np.full((4, 4, 1), value, np.uint8) for value in (30, 60, 90)])
    assert (shown_image(colour) == 60).all()
    assert shown_image(np.zeros((3, 4, 4, 4))).shape == (4, 4, 4)
