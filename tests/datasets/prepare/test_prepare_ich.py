"""CT-ICH: miniatures of the public folder, window, orientation, slices, splits."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from medicalseg.cli import main
from medicalseg.datasets import ImageDataset
from medicalseg.datasets.prepare import ich
from medicalseg.datasets.prepare.ich import study_split, window
from medicalseg.datasets.splits import read_splits
from medicalseg.errors import UserError
from medicalseg.io import Volume, read_volume, write_volume

from .conftest import contents, snapshot
from .picture_preparations import picture, prepare, printed

SUBJECTS = (49, 50, 58, 66, 67, 130)
SLICES = 6
SHAPE = (32, 24, SLICES)


def scan_and_mask(number: int) -> tuple[Volume, Volume]:
    """A RAS scan whose slices 2 and 5 have a haemorrhage; the mask is 0 and 255, as PhysioNet's."""
    generator = np.random.default_rng(number)
    scan = generator.integers(-1000, 1200, SHAPE).astype(np.int16)
    mask = np.zeros(SHAPE, np.uint8)
    for index in (1, 4):
        mask[4:12, 3:9, index] = 255
    affine = np.diag([0.5, 0.5, 5.0, 1.0])
    return Volume(scan, affine), Volume(mask, affine, meta={"labels": True})


@pytest.fixture
def raw(tmp_path):
    root = tmp_path / "physionet.org" / "files" / "ct-ich" / "1.3.1"
    rows = [["PatientNumber", "SliceNumber", "a", "b", "c", "d", "e", "No_Hemorrhage", "Fracture"]]
    for number in SUBJECTS:
        scan, mask = scan_and_mask(number)
        write_volume(scan, root / "ct_scans" / f"{number:03d}.nii")
        write_volume(mask, root / "masks" / f"{number:03d}.nii")
        rows += [[number, index + 1, 0, 0, 0, 0, 0, int(index not in (1, 4)), 0] for index in range(SLICES)]
    with open(root / "hemorrhage_diagnosis_raw_ct.csv", "w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    return root


def run(raw, root, *arguments) -> int:
    return prepare("ich", raw, root, (48, 36), *arguments)


def test_all_slices_patients_apart(raw, tmp_path, capsys):
    before = snapshot(raw.parents[2])
    root = tmp_path / "ich"
    assert run(raw.parents[2], root) == 0
    assert snapshot(raw.parents[2]) == before
    assert len(list((root / "images").glob("*.png"))) == len(SUBJECTS) * SLICES
    split = read_splits(root / "splits_final.json")[0]
    parts = [{name.split("_")[0] for name in names} for names in (split.train, split.val, split.test)]
    assert [len(part) for part in parts] == [4, 1, 1]
    assert len(set().union(*parts)) == len(SUBJECTS)
    assert not split.leaking
    assert split.seed == 0
    lines = (root / "train_list.txt").read_text().splitlines()
    assert len(lines) == 4 * SLICES
    assert lines[0] == f"images/{split.train[0]}.png\tmasks/{split.train[0]}.png"
    description = json.loads((root / "dataset.json").read_text())
    assert description["labels"] == {"0": "background", "1": "haemorrhage"}
    assert description["settings"]["window_width"] == 120
    first = contents(root)
    assert run(raw.parents[2], root) == 0
    assert contents(root) == first
    assert "6 were there" in printed(capsys)


def test_window_orientation_and_size(raw, tmp_path):
    root = tmp_path / "ich"
    assert run(raw, root, "--size", SHAPE[0], SHAPE[1]) == 0
    stored = read_volume(raw / "ct_scans" / "050.nii").array
    image = picture(root / "images" / "subject050_slice02.png")
    assert image.shape == (SHAPE[1], SHAPE[0])
    assert image.dtype == np.uint8
    expected = np.clip((stored[::-1, ::-1, 1].astype(float) + 20) / 120 * 255, 0, 255).T
    np.testing.assert_allclose(image, expected, atol=0.51)
    mask = picture(root / "masks" / "subject050_slice02.png")
    there = np.zeros((SHAPE[1], SHAPE[0]), bool)
    there[SHAPE[1] - 9 : SHAPE[1] - 3, SHAPE[0] - 12 : SHAPE[0] - 4] = True
    np.testing.assert_array_equal(mask, there)


def test_resized_mask_is_binary(raw, tmp_path):
    assert run(raw, tmp_path / "ich", "--size", 50, 70) == 0
    mask = picture(tmp_path / "ich" / "masks" / "subject049_slice05.png")
    assert mask.shape == (70, 50)
    assert set(np.unique(mask)) == {0, 1}
    assert mask.mean() == pytest.approx(8 * 6 / (32 * 24), rel=0.1)


def test_slices_with_haemorrhage_only(raw, tmp_path):
    root = tmp_path / "ich"
    assert run(raw, root) == 0
    assert run(raw, root, "--only_hemorrhage") == 0
    names = sorted(path.stem for path in (root / "images").iterdir())
    assert names == sorted(f"subject{number:03d}_slice{index:02d}" for number in SUBJECTS for index in (2, 5))
    assert names == sorted(path.stem for path in (root / "masks").iterdir())


@pytest.mark.parametrize("table", ["missing", "short"])
def test_masks_tell_where_the_table_does_not(raw, tmp_path, table, capsys):
    path = raw / "hemorrhage_diagnosis_raw_ct.csv"
    if table == "missing":
        path.unlink()
    else:
        path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("49,6")))
    assert run(raw, tmp_path / "ich", "--only_hemorrhage") == 0
    assert len(list((tmp_path / "ich" / "images").iterdir())) == 2 * len(SUBJECTS)
    assert "hemorrhage_diagnosis_raw_ct.csv" in printed(capsys)


def test_study_split_says_that_it_leaks(raw, tmp_path, capsys):
    names = [f"subject{number:03d}_slice{index:02d}" for number in range(49, 60) for index in range(1, 31)]
    split = study_split(names[::-1], 10, 50)
    assert (len(split.train), len(split.val), len(split.test)) == (270, 10, 50)
    assert split.test == tuple(names[-50:])
    assert split.val == tuple(names[-60:-50])
    assert split.leaking
    assert "not kept apart" in printed(capsys)
    with pytest.raises(UserError, match="nothing to train"):
        study_split(names[:60], 10, 50)
    assert run(raw, tmp_path / "ich", "--split", "study") == 2


@pytest.mark.parametrize("split", ["patient", "study"])
def test_image_dataset_reads_it_and_reports_the_leak(raw, tmp_path, split, monkeypatch):
    monkeypatch.setattr(ich, "STUDY_PARTS", {False: (2, 6)})
    root = tmp_path / "ich"
    assert run(raw, root, "--split", split) == 0
    lists = {f"{part}_path": f"{part}_list.txt" for part in ("train", "val", "test")}
    options = {"num_classes": 1, "head": "sigmoid", "normalize": "none", "separator": "\t", **lists}
    train = ImageDataset(str(root), mode="train", **options)
    image, label, name = train[1]
    assert image.shape == label.shape == (1, 36, 48)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(image[0], picture(root / "images" / f"{name}.png"))
    np.testing.assert_array_equal(label[0], picture(root / "masks" / f"{name}.png"))
    val = ImageDataset(str(root), mode="val", **options)
    assert bool(val.notes) == (split == "study")
    assert len(train) + len(val) < len(SUBJECTS) * SLICES


def test_window_of_the_study():
    """Level 40, width 120: -20 HU is black, 100 HU white."""
    np.testing.assert_allclose(window(np.array([-500.0, -20, 40, 100, 3000])), [0, 0, 127.5, 255, 255])


def test_broken_subjects_are_left_out(raw, tmp_path, capsys):
    (raw / "masks" / "050.nii").unlink()
    write_volume(Volume(np.zeros((4, 4, 4), np.uint8), np.eye(4)), raw / "masks" / "058.nii")
    root = tmp_path / "ich"
    assert run(raw, root) == 2
    errors = printed(capsys)
    assert "subject050" in errors
    assert "do not belong together" in errors
    assert json.loads((root / "dataset.json").read_text())["broken"].keys() == {"subject050", "subject058"}
    listed = "".join((root / f"{part}_list.txt").read_text() for part in ("train", "val", "test"))
    assert "subject050" not in listed
    assert "subject049" in listed


def test_a_mask_without_its_scan_is_named(raw, tmp_path, capsys):
    (raw / "ct_scans" / "050.nii").unlink()
    assert run(raw, tmp_path / "ich") == 0
    assert "1 label without image, left out: 050.nii" in printed(capsys)


def test_without_data(tmp_path, capsys):
    assert main(["prepare", "ich", "--dataset_root", str(tmp_path)]) == 2
    assert "physionet.org" in printed(capsys)
    (tmp_path / "raw" / "ct_scans").mkdir(parents=True)
    assert main(["prepare", "ich", "--dataset_root", str(tmp_path)]) == 2
    assert "masks" in printed(capsys)


def test_pictures_of_others_stay(raw, tmp_path, capsys):
    (tmp_path / "ich" / "images").mkdir(parents=True)
    mine = tmp_path / "ich" / "images" / "holiday.png"
    mine.write_bytes(b"mine")
    assert run(raw, tmp_path / "ich") == 2
    assert "not made here" in printed(capsys)
    assert run(raw, tmp_path / "ich", "--force") == 0
    assert mine.read_bytes() == b"mine"


def test_several_processes_give_the_same(raw, tmp_path):
    assert run(raw, tmp_path / "one") == 0
    assert run(raw, tmp_path / "two", "--num_workers", 2) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
