"""Label maps of anybody's against references: names, formats, grids, values, what is missing."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from medicalseg.core.evaluate_folders import evaluate_folders
from medicalseg.core.label_task import configured_task, described_task, task_of_map
from medicalseg.errors import CheckpointError, DataError, UserError
from medicalseg.inference.inputs import Labels, find_inputs
from medicalseg.inference.label_map import LabelMap
from medicalseg.io import Volume, read_volume, reorient, write_volume
from medicalseg.metrics import MeasureOptions

AFFINE = np.diag([1.0, 0.5, 3.0, 1.0])


def labels(shift: int = 0, first: int = 1, second: int = 2) -> np.ndarray:
    array = np.zeros((16, 12, 6), np.int16)
    array[2 + shift : 6 + shift, 2:10, 1:5] = first
    array[8 + shift : 12 + shift, 2:10, 1:5] = second
    return array


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_volume(Volume(array, affine), path, labels=True)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for case, shift in (("a", 0), ("b", 1), ("c", 2)):
        save(tmp_path / "ref" / f"{case}.nii.gz", labels())
        save(tmp_path / "pred" / f"{case}.nii.gz", labels(shift))
    return tmp_path / "pred", tmp_path / "ref"


def test_figures_by_hand(folders):
    found = evaluate_folders(*folders, options=MeasureOptions(("nsd", "hd", "volume")))
    summary = found.summary
    assert summary.class_names == ("background", "label 1", "label 2")
    np.testing.assert_allclose(summary.class_dice[1:], (1 + 3 / 4 + 2 / 4) / 3)
    np.testing.assert_allclose(summary.measures["hd"].class_values[1:], (0 + 1 + 2) / 3)
    np.testing.assert_allclose(summary.measures["nsd"].cases[:2, 1:], 1)
    assert (summary.measures["volume_difference"].cases[:, 1:] == 0).all()
    assert summary.notes == ()
    assert summary.grid == "reference"


def test_formats_and_subfolders_do_not_matter(folders):
    predictions, references = folders
    expected = evaluate_folders(predictions, references).summary.to_dict()
    for case, suffix in (("a", ".mha"), ("b", ".nrrd")):
        file = predictions / f"{case}.nii.gz"
        save(predictions / "sub" / f"{case}{suffix}", labels({"a": 0, "b": 1}[case]))
        file.unlink()
    assert evaluate_folders(predictions, references).summary.to_dict() == expected


def test_processes_give_the_same(folders):
    assert evaluate_folders(*folders, num_workers=2).summary.to_dict() == evaluate_folders(*folders).summary.to_dict()


def test_two_files_are_a_pair(folders):
    predictions, references = folders
    found = evaluate_folders(predictions / "b.nii.gz", references / "a.nii.gz")
    assert found.summary.num_cases == 1
    assert found.summary.bootstrap is None
    assert found.summary.foreground_mean == pytest.approx(0.75)


def test_channel_number_in_a_name(folders):
    predictions, references = folders
    (predictions / "a.nii.gz").rename(predictions / "a_0000.nii.gz")
    assert evaluate_folders(predictions, references).summary.num_cases == 3


def test_names_of_bids(tmp_path):
    """As `predict --label_path` pairs them: images and labels in one tree, one label for two contrasts."""
    data, made = tmp_path / "data", tmp_path / "made"
    for name in ("sub-01/anat/sub-01_T1w", "sub-01/anat/sub-01_T2w", "sub-02/ses-1/anat/sub-02_ses-1_T1w"):
        save(data / f"{name}.nii.gz", labels())
        save(made / f"{name}.nii.gz", labels(1 if "T2w" in name else 0))
        save(made / f"{name}_uncertainty.nii.gz", labels())
    for name in ("sub-01/anat/sub-01_desc-manual_dseg", "sub-02/ses-1/anat/sub-02_ses-1_seg-vert_msk"):
        save(data / "derivatives" / "manual" / f"{name}.nii.gz", labels())
    save(data / "derivatives" / "sub-01_desc-brain_mask.nii.gz", labels())
    summary = evaluate_folders(made, data).summary
    assert [case.case for case in summary.cases] == ["sub-01_T1w", "sub-01_T2w", "sub-02_ses-1_T1w"]
    np.testing.assert_allclose(summary.case_scores(), [1, 3 / 4, 1])
    cases, references = find_inputs(data), Labels(data)
    pairs = {pair.name: pair.reference for pair in evaluate_folders(made, data / "derivatives").pairs}
    assert pairs == {case.name: references.find(case) for case in cases}


def test_a_case_of_bids_without_prediction(tmp_path):
    for subject in ("sub-01", "sub-02"):
        save(tmp_path / "ref" / f"{subject}_dseg.nii.gz", labels())
    save(tmp_path / "pred" / "sub-01.nii.gz", labels())
    save(tmp_path / "pred" / "other.nii.gz", labels())
    with pytest.raises(UserError, match=r"no prediction: sub-02_dseg; predictions without .*: other"):
        evaluate_folders(tmp_path / "pred", tmp_path / "ref")
    found = evaluate_folders(tmp_path / "pred", tmp_path / "ref", missing="zero")
    assert [pair.name for pair in found.pairs] == ["sub-01", "sub-02_dseg"]


def test_missing_predictions_are_an_error_empty_or_left_out(folders):
    predictions, references = folders
    (predictions / "b.nii.gz").unlink()
    with pytest.raises(UserError, match=r"1 of 3 references has no prediction: b; .*--missing zero"):
        evaluate_folders(predictions, references)
    zero = evaluate_folders(predictions, references, missing="zero")
    assert zero.missing == ("b",)
    assert zero.summary.foreground_mean == pytest.approx((1 + 0 + 0.5) / 3)
    assert zero.summary.measures["nsd"].cases[1, 1] == 0
    assert zero.summary.measures["hd95"].class_k.tolist() == [0, 2, 2]
    assert "scored as empty" in zero.summary.notes[0]
    left = evaluate_folders(predictions, references, missing="skip").summary
    assert left.foreground_mean == pytest.approx(0.75)
    assert "flatter" in left.notes[0]


def test_predictions_without_reference_are_told(folders, caplog):
    predictions, references = folders
    save(predictions / "z.nii.gz", labels())
    with caplog.at_level(logging.WARNING):
        summary = evaluate_folders(predictions, references).summary
    assert "z.nii.gz" in caplog.text
    assert any("z.nii.gz" in note for note in summary.notes)


def test_no_name_in_common(tmp_path, folders):
    save(tmp_path / "other" / "x.nii.gz", labels())
    with pytest.raises(DataError, match=r"predictions x; references a, b, c"):
        evaluate_folders(tmp_path / "other", folders[1])


def test_the_same_name_twice(folders):
    predictions, references = folders
    save(predictions / "a.mha", labels())
    with pytest.raises(UserError, match="same name"):
        evaluate_folders(predictions, references)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd", ".mgz"])
def test_arrays_beside_label_maps_are_left_aside_once(folders, caplog, suffix):
    predictions, references = folders
    for case in "abc":
        write_volume(read_volume(predictions / f"{case}.nii.gz"), predictions / f"{case}{suffix}")
        if suffix != ".nii.gz":
            (predictions / f"{case}.nii.gz").unlink()
        np.savez(predictions / f"{case}.npz", probabilities=np.ones((3, 6, 12, 16), np.float16))
        np.save(predictions / f"{case}.npy", np.ones((3, 6, 12, 16), np.float16))
        (predictions / f"{case}.pkl").write_bytes(b"\x80")
    with caplog.at_level(logging.INFO):
        found = evaluate_folders(predictions, references)
    assert [pair.prediction.name for pair in found.pairs] == [f"{case}{suffix}" for case in "abc"]
    told = [record.getMessage() for record in caplog.records if "left aside" in record.getMessage()]
    assert len(told) == 1
    assert "a.npy, a.npz" in told[0]
    assert found.summary.foreground_mean == pytest.approx((1 + 3 / 4 + 2 / 4) / 3)
    assert found.summary.notes == ()


def test_arrays_alone_are_predictions(folders):
    predictions, references = folders
    for case in "abc":
        array = read_volume(predictions / f"{case}.nii.gz").array
        (predictions / f"{case}.nii.gz").unlink()
        np.save(predictions / f"{case}.npy", array)
    assert evaluate_folders(predictions, references).summary.foreground_mean == pytest.approx((1 + 3 / 4 + 2 / 4) / 3)
    np.savez(predictions / "a.npz", label=array)
    with pytest.raises(UserError, match=r"a\.npy and .*a\.npz have the same name"):
        evaluate_folders(predictions, references)


def test_another_shape_is_an_error_that_names_both(folders):
    predictions, references = folders
    save(predictions / "b.nii.gz", labels()[:-1])
    with pytest.raises(DataError, match=r"1 of 1 case.*b\.nii\.gz.*\(15, 12, 6\).*\(16, 12, 6\)"):
        evaluate_folders(predictions / "b.nii.gz", references / "b.nii.gz")


@pytest.mark.parametrize(
    ("missing", "described", "workers"),
    [("error", False, 0), ("zero", False, 0), ("skip", True, 0), ("error", True, 0), ("error", False, 2)],
)
def test_damaged_files_cost_their_own_cases_only(folders, caplog, missing, described, workers):
    predictions, references = folders
    if described:
        content = {"labels": {"background": 0, "label 1": 1, "label 2": 2}, "file_ending": ".nii.gz"}
        (references.parent / "dataset.json").write_text(json.dumps(content))
    save(predictions / "d.nii.gz", labels())
    save(references / "d.nii.gz", labels()[:-1])
    save(predictions / "e.nii.gz", labels(0, 1, 9))
    save(references / "e.nii.gz", labels())
    for broken in (predictions / "b.nii.gz", references / "e.nii.gz"):
        broken.write_bytes(broken.read_bytes()[:60])
    found = evaluate_folders(predictions, references, missing=missing, num_workers=workers, bootstrap=50)
    assert [pair.name for pair in found.pairs] == [case.case for case in found.summary.cases] == ["a", "c"]
    assert list(found.failed) == ["b", "d", "e"]
    assert str(predictions / "b.nii.gz") in found.failed["b"]
    assert "(15, 12, 6)" in found.failed["d"]
    assert str(references / "e.nii.gz") in found.failed["e"]
    assert found.summary.foreground_mean == pytest.approx((1 + 2 / 4) / 2)
    assert found.summary.class_names == ("background", "label 1", "label 2")
    first = found.summary.notes[0]
    assert first.startswith("3 of 5 cases could not be scored, and all figures are without them: b (")
    assert all(f"{case} ({reason})" in first for case, reason in found.failed.items())
    assert [record.levelname for record in caplog.records].count("ERROR") == 3


def test_nothing_but_damaged_files(folders):
    predictions, references = folders
    for broken in predictions.iterdir():
        broken.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 3 cases can be read; the first: .*a\.nii\.gz: is empty"):
        evaluate_folders(predictions, references)


def test_another_grid_is_noted_and_the_references_voxels_count(folders):
    predictions, references = folders
    save(predictions / "b.nii.gz", labels(1), np.diag([2.0, 2.0, 2.0, 1.0]))
    found = evaluate_folders(predictions, references, options=MeasureOptions(("hd",))).summary
    assert "1 of 3 predictions lie on another grid" in found.notes[0]
    np.testing.assert_allclose(found.measures["hd"].cases[1, 1:], 1.0)


def test_turned_axes_are_turned_back(folders):
    predictions, references = folders
    save(predictions / "b.nii.gz", *_turned(labels(1)))
    found = evaluate_folders(predictions, references).summary
    assert "turned to the axes" in found.notes[0]
    assert found.case_scores()[1] == pytest.approx(0.75)


def _turned(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    turned = reorient(Volume(array, AFFINE), "SPL")
    return np.ascontiguousarray(turned.array), turned.affine


def test_labels_of_a_description_beside_the_references(folders):
    content = {"labels": {"0": "background", "1": "head", "2": "tail"}, "numTraining": 3}
    (folders[1].parent / "dataset.json").write_text(json.dumps(content))
    assert evaluate_folders(*folders).summary.class_names == ("background", "head", "tail")


def test_values_with_gaps_and_names(tmp_path):
    save(tmp_path / "pred" / "a.nii.gz", labels(0, 20, 105))
    save(tmp_path / "ref" / "a.nii.gz", labels(1, 20, 105))
    task = task_of_map(LabelMap.from_config({"background": 0, "L5": 20, "disc": 105}))
    found = evaluate_folders(tmp_path / "pred", tmp_path / "ref", task=task)
    assert found.summary.class_names == ("background", "L5", "disc")
    discovered = evaluate_folders(tmp_path / "pred", tmp_path / "ref")
    assert discovered.summary.class_names == ("background", "label 20", "label 105")
    assert discovered.summary.foreground_mean == found.summary.foreground_mean


def test_a_value_that_is_no_class_names_the_file(folders):
    task = task_of_map(LabelMap.from_config({"background": 0, "only": 1}))
    with pytest.raises(DataError, match=r"ref/a\.nii\.gz: label value 2 belongs to no class"):
        evaluate_folders(*folders, task=task)


def test_lists_that_share_nothing_are_merged_classes_as_in_training(tmp_path):
    (tmp_path / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "low": [22, 23], "high": 24, "ignore": 9}})
    )
    task = described_task(tmp_path)
    assert (task.head, task.label_map.classes) == ("softmax", ("background", "low", "high"))
    save(tmp_path / "pred" / "a.nii.gz", labels(0, 22, 24))
    save(tmp_path / "ref" / "a.nii.gz", labels(1, 23, 24))
    found = evaluate_folders(tmp_path / "pred", tmp_path / "ref", task=task).summary
    same = task_of_map(LabelMap.from_config({"background": 0, "label 1": 1, "label 2": 2}))
    save(tmp_path / "pred1" / "a.nii.gz", labels(0, 1, 2))
    save(tmp_path / "ref1" / "a.nii.gz", labels(1, 1, 2))
    expected = evaluate_folders(tmp_path / "pred1", tmp_path / "ref1", task=same).summary
    assert found.foreground_mean == expected.foreground_mean


def test_regions_and_an_ignored_label_of_nnunet(tmp_path):
    content = {
        "labels": {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3},
        "regions_class_order": [1, 2],
        "file_ending": ".nii.gz",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    reference, prediction = labels(), labels(1)
    reference[12:] = 3
    save(tmp_path / "ref" / "a.nii.gz", reference)
    save(tmp_path / "pred" / "a.nii.gz", prediction)
    found = evaluate_folders(tmp_path / "pred", tmp_path / "ref")
    assert found.task.head == "sigmoid"
    assert found.summary.class_names[1:] == ("whole", "core")
    np.testing.assert_allclose(found.summary.class_dice[1:], [2 * 6 / (8 + 7), 2 * 3 / (4 + 3)])


def test_levels(folders):
    orders = [[1, 2]]
    predictions, _ = folders
    save(predictions / "c.nii.gz", labels(0, 2, 1))
    found = evaluate_folders(*folders, level_orders=orders).summary.levels[0]
    assert (found.structures, found.right, found.shifts) == (6, 4, {-1: 1, 1: 1})
    assert found.neighbour_share == pytest.approx(1 / 3)
    with pytest.raises(UserError, match="level_order"):
        evaluate_folders(*folders, level_orders=[[1, 7]])


def test_pictures(tmp_path):
    mask = np.zeros((20, 30, 1), np.uint8)
    mask[5:15, 5:15] = 255
    other = np.roll(mask, 2, axis=0)
    for folder, array in (("pred", other), ("ref", mask)):
        (tmp_path / folder).mkdir()
        write_volume(Volume(array, np.eye(4)), tmp_path / folder / "x.png", labels=True)
    found = evaluate_folders(tmp_path / "pred", tmp_path / "ref", options=MeasureOptions(("hd", "nsd"))).summary
    assert found.measures["hd"].class_values[1] == pytest.approx(2)
    assert any("pixels" in note for note in found.notes)


def test_real_levels_shifted_by_a_voxel(shared_data, tmp_path):
    folder = shared_data / "spine/spider_t2space"
    names = sorted(path.name for path in (folder / "labelsTr_levels").glob("*.nii.gz"))[:2]
    from medicalseg.io import read_label

    for name in names:
        volume = read_label(folder / "labelsTr_levels" / name)
        write_volume(volume.with_array(np.roll(volume.array, 1, axis=1), labels=True), tmp_path / name, labels=True)
    found = evaluate_folders(
        tmp_path,
        folder / "labelsTr_levels",
        task=described_task(folder / "dataset_levels.json"),
        missing="skip",
        options=MeasureOptions(("nsd", "hd95")),
        level_orders=[range(2, 11)],
    ).summary
    assert found.num_cases == 2
    assert found.measures["nsd"].foreground.value > 0.98
    assert found.measures["hd95"].foreground.value == pytest.approx(0.9375, abs=0.02)
    assert found.levels[0].accuracy == 1
    assert found.levels[0].neighbour_share < 0.01


def test_task_of_weights_and_exports(tmp_path):
    task = task_of_map(LabelMap.from_config({"background": 0, "L5": 20}))
    (tmp_path / "best_model").mkdir()
    (tmp_path / "best_model" / "meta.json").write_text(json.dumps({"task": task.to_dict()}))
    assert configured_task(tmp_path / "best_model") == task
    exported = {"onnx": "model.onnx", "task": task.to_dict()}
    (tmp_path / "deploy.yaml").write_text(json.dumps({"Deploy": exported}))
    assert configured_task(tmp_path / "deploy.yaml") == configured_task(tmp_path) == task
    (tmp_path / "deploy.yaml").write_text("Deploy: {}")
    with pytest.raises(CheckpointError, match=r"deploy\.yaml: has no 'Deploy'"):
        configured_task(tmp_path)
    (tmp_path / "best_model" / "meta.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"meta\.json: has no task"):
        configured_task(tmp_path / "best_model")


@pytest.mark.parametrize("content", ["{}", '{"labels": []}', "[1]", '{"labels": {"background": 0, "a": "x"}}'])
def test_descriptions_without_labels(tmp_path, content):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=r"dataset\.json"):
        described_task(tmp_path)


def test_unknown_missing_rule(folders):
    with pytest.raises(UserError, match="error, zero, skip"):
        evaluate_folders(*folders, missing="ignore")


def test_empty_label_maps(tmp_path):
    for folder in ("pred", "ref"):
        save(tmp_path / folder / "a.nii.gz", labels() * 0)
    with pytest.raises(DataError, match="nothing but 0"):
        evaluate_folders(tmp_path / "pred", tmp_path / "ref")
