"""Postprocessing is chosen where it helps, and stored with the weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medicalseg.errors import CheckpointError, ConfigError, DataError
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume, read_label, write_volume
from medicalseg.postprocessing import build_postprocessing, choose_postprocessing, set_postprocessing, spine_levels
from medicalseg.postprocessing.choose import merged
from tests.postprocessing.spine_phantom import DISCS, VERTEBRAE, column, mean_dice, shifted

NAMES = ["L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9"]
BETWEEN = ["L5/S", "L4/L5", "L3/L4", "L2/L3", "L1/L2", "T12/L1", "T11/T12", "T10/T11", "T9/T10"]
LEVELS = {**dict(zip(VERTEBRAE, NAMES, strict=True)), **dict(zip(DISCS, BETWEEN, strict=True))}


def written(folder: Path, name: str, array: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    return write_volume(Volume(array.astype(np.uint8), np.eye(4)), folder / f"{name}.nii.gz", labels=True)


def pairs_of(folder: Path, arrays: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[str, Path, Path]]:
    return [
        (f"c{i}", written(folder / "p", f"c{i}", prediction), written(folder / "r", f"c{i}", reference))
        for i, (prediction, reference) in enumerate(arrays)
    ]


def two_blobs() -> np.ndarray:
    array = np.zeros((20, 20, 20), np.uint8)
    array[2:12, 2:12, 2:12] = 1
    array[13:18, 13:18, 13:18] = 2
    return array


def test_islands_of_one_class_alone_are_removed(tmp_path: Path) -> None:
    reference = two_blobs()
    reference[2:5, 15:18, 2:5] = 2
    prediction = reference.copy()
    prediction[17:19, 2:4, 2:4] = 1
    task = TaskSpec(3, labels={1: "organ", 2: "lesion"})
    steps, table = choose_postprocessing(pairs_of(tmp_path, [(prediction, reference)] * 2), task)
    assert steps == [{"type": "KeepLargestComponent", "classes": [1]}]
    assert table.names == ("organ", "lesion")
    assert table.after == (1.0, 1.0)
    expected = 2 * 1000 / (2 * 1000 + 8)
    assert table.before == pytest.approx((expected, 1.0))
    assert "organ" in str(table)
    json.dumps(table.as_dict())
    kept = [trial.step for trial in table.trials if trial.kept]
    assert kept == steps


def test_a_step_that_lowers_a_class_is_not_taken(tmp_path: Path) -> None:
    reference = two_blobs()
    reference[2:5, 15:18, 2:5] = 2
    prediction = reference.copy()
    candidates = [{"type": "KeepLargestComponent"}, {"type": "FillHoles"}]
    steps, table = choose_postprocessing(pairs_of(tmp_path, [(prediction, reference)]), TaskSpec(3), candidates)
    assert steps == []
    assert table.trials[0].fall == pytest.approx(1 - 2 * 125 / (125 + 152))
    assert not table.trials[1].kept


def test_holes_and_small_parts(tmp_path: Path) -> None:
    reference = np.zeros((30, 20, 20), np.uint8)
    reference[2:12, 2:12, 2:12] = 1
    reference[15:25, 2:12, 2:12] = 1
    prediction = reference.copy()
    prediction[5:8, 5:8, 5:8] = 0
    prediction[27:29, 17:19, 17:19] = 1
    steps, table = choose_postprocessing(pairs_of(tmp_path, [(prediction, reference)]), TaskSpec(2))
    assert [step["type"] for step in steps] == ["RemoveSmallComponents", "FillHoles"]
    assert table.after == (1.0,)


def test_spine_levels_are_put_in_order_where_that_helps(tmp_path: Path) -> None:
    reference = column(7)
    task = TaskSpec(20, labels={0: "background", 1: "S", **LEVELS})
    arrays = [(shifted(reference, 5), reference), (shifted(reference, 1), reference)]
    pairs = pairs_of(tmp_path, arrays)
    steps, table = choose_postprocessing(pairs, task)
    assert [step["type"] for step in steps] == ["OrderAlongSpine"]
    assert steps[0]["anchor"] == 100.0
    assert steps[0]["vertebrae"] == VERTEBRAE
    assert min(table.after) == 1.0
    before = np.mean([mean_dice(*pair) for pair in arrays])
    assert np.mean(table.before) < before + 0.2
    step = build_postprocessing(steps)[0]
    np.testing.assert_array_equal(step(read_label(pairs[1][1]).array, (1, 1, 1), "RAS"), reference)


def test_overlapping_structures(tmp_path: Path) -> None:
    task = TaskSpec(2, head="sigmoid", labels={1: "whole", 2: "core"})
    whole = np.zeros((20, 20, 20), np.uint8)
    whole[2:12, 2:12, 2:12] = 1
    core = np.zeros_like(whole)
    core[4:8, 4:8, 4:8] = 1
    island = whole.copy()
    island[15:17, 15:17, 15:17] = 1
    files = []
    for name, masks in (("p", (island, core)), ("r", (whole, core))):
        path = tmp_path / f"{name}.nii.gz"
        write_volume(Volume(np.stack(masks), np.eye(4)), path)
        files.append(path)
    steps, table = choose_postprocessing([("a", *files)], task)
    assert steps == [{"type": "KeepLargestComponent", "per_class": False}]
    assert table.after == (1.0, 1.0)


def test_a_missing_prediction_counts_as_nothing_and_wrong_ones_are_named(tmp_path: Path) -> None:
    reference = two_blobs()
    [(name, prediction, path)] = pairs_of(tmp_path, [(reference, reference)])
    steps, table = choose_postprocessing([(name, prediction, path), ("lost", None, path)], TaskSpec(3))
    assert steps == []
    assert table.before == (0.5, 0.5)
    other = written(tmp_path / "o", "c0", reference[:-1])
    with pytest.raises(DataError, match=r"case c0: .*shape"):
        choose_postprocessing([(name, other, path)], TaskSpec(3))
    with pytest.raises(DataError, match="case c0"):
        choose_postprocessing([(name, tmp_path / "none.nii.gz", path)], TaskSpec(3))
    with pytest.raises(DataError, match="no case"):
        choose_postprocessing([], TaskSpec(3))
    with pytest.raises(ConfigError, match="postprocessing"):
        choose_postprocessing([(name, prediction, path)], TaskSpec(3), [{"type": "Nothing"}])


def test_processes_give_the_same(tmp_path: Path) -> None:
    reference = two_blobs()
    prediction = reference.copy()
    prediction[17:19, 2:4, 2:4] = 1
    pairs = pairs_of(tmp_path, [(prediction, reference), (reference, reference)])
    candidates = [{"type": "KeepLargestComponent"}]
    assert choose_postprocessing(pairs, TaskSpec(3), candidates, num_workers=2) == choose_postprocessing(
        pairs, TaskSpec(3), candidates
    )


def test_merging_joins_classes_of_equal_steps() -> None:
    steps = [
        {"type": "A", "classes": [1]},
        {"type": "B", "volume": 2, "classes": [1]},
        {"type": "A", "classes": [3]},
        {"type": "B", "volume": 3, "classes": [2]},
    ]
    assert merged(steps) == [{"type": "A", "classes": [1, 3]}, steps[1], steps[3]]
    assert steps[0]["classes"] == [1]


@pytest.mark.parametrize(
    ("names", "present", "expected"),
    [
        ({0: "background", 1: "S", **LEVELS}, range(2, 20), (VERTEBRAE, DISCS)),
        ({0: "background", 1: "S", **LEVELS}, range(1, 20), ([1, *VERTEBRAE], DISCS)),
        ({1: "vertebra_C2", 2: "vertebra_C1", 3: "vertebra C3"}, [1, 2, 3], ([3, 1, 2], [])),
        ({1: "vertebrae_L1", 2: "vertebrae_L2", 3: "vertebrae_T12", 4: "liver"}, range(1, 5), ([2, 1, 3], [])),
        ({1: "L5", 2: "L4", 3: "L3", 4: "L2"}, [2, 3], ([2, 3, 4], [])),
        ({1: "sacrum", 2: "L1", 3: "Th12", 4: "D11", 5: "Th12/L1"}, range(1, 6), None),
        ({1: "L1", 2: "Th12", 3: "D11", 4: "Th12/L1", 5: "D11/Th12"}, range(1, 6), ([1, 2, 3], [4, 5])),
        ({1: "L1", 2: "L2"}, [1, 2], None),
        ({1: "T1", 2: "T2", 3: "lung L1"}, [1, 2, 3], None),
        ({1: "L1", 2: "L2", 3: "L3", 4: "L1/L2"}, [1, 2, 3, 4], None),
        ({}, [1, 2, 3], None),
    ],
)
def test_levels_by_name(names: dict[int, str], present: list[int], expected: object) -> None:
    assert spine_levels(names, present) == expected


def test_steps_go_into_meta_json(tmp_path: Path) -> None:
    task = TaskSpec(3, labels={1: "a"}, postprocessing=({"type": "FillHoles"},))
    meta = tmp_path / "meta.json"
    meta.write_text(json.dumps({"iteration": 7, "task": task.to_dict()}))
    steps = [{"type": "KeepLargestComponent", "classes": [2]}]
    assert set_postprocessing(tmp_path, steps) == meta
    content = json.loads(meta.read_text())
    assert content["iteration"] == 7
    assert TaskSpec.from_dict(content["task"]).postprocessing == tuple(steps)
    assert TaskSpec.from_dict(content["task"]).labels == task.labels
    set_postprocessing(tmp_path, ())
    assert TaskSpec.from_dict(json.loads(meta.read_text())["task"]).postprocessing == ()
    with pytest.raises(ConfigError, match="do not exist"):
        set_postprocessing(tmp_path, [{"type": "KeepLargestComponent", "classes": [3]}])
    assert TaskSpec.from_dict(json.loads(meta.read_text())["task"]).postprocessing == ()
    with pytest.raises(CheckpointError, match=r"no meta\.json"):
        set_postprocessing(tmp_path / "elsewhere", ())
