"""msd_brain_dataset from the Decathlon's folder."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from medicalseg.cli import main
from medicalseg.io import Volume, read_volume, write_volume

from .brain_miniature import SHAPE, write_brain
from .conftest import contents, snapshot

PHASE = "Task01_BrainTumour_phase0"


def run(*arguments) -> int:
    return main(["prepare", "msd_brain_seg", "--num_workers", "0", *map(str, arguments)])


def listed(output: Path, part: str) -> list[list[str]]:
    return [line.split() for line in (output / f"{part}_list.txt").read_text().splitlines()]


@pytest.fixture
def task(tmp_path) -> Path:
    return write_brain(tmp_path / "source")


def test_arrays_are_paddleseg3d_s(task, tmp_path):
    """SimpleITK reads a 4D NIfTI file as (4, Z, Y, X), and PaddleSeg3D stores just that."""
    sitk = pytest.importorskip("SimpleITK")
    before = snapshot(task)
    assert run("--raw_dir", task, "--dataset_root", tmp_path / "d") == 0
    assert snapshot(task) == before
    output = tmp_path / "d" / PHASE
    for number in (1, 6):
        name = f"BRATS_{number:03d}"
        image, label = (np.load(output / part / f"{name}.npy") for part in ("images", "labels"))
        for part, array, kind in (("imagesTr", image, np.float32), ("labelsTr", label, np.int32)):
            expected = sitk.GetArrayFromImage(sitk.ReadImage(str(task / part / f"{name}.nii.gz")))
            np.testing.assert_array_equal(array, expected)
            assert array.dtype == kind
        assert image.shape == (4, *SHAPE[::-1])


def test_split_and_description(tmp_path):
    task = write_brain(tmp_path / "source", cases=20, shape=(6, 6, 6))
    flags = ("--raw_dir", task, "--dataset_root")
    assert run(*flags, tmp_path / "d") == 0
    output = tmp_path / "d" / PHASE
    parts = {part: listed(output, part) for part in ("train", "val", "test")}
    assert {part: len(lines) for part, lines in parts.items()} == {"train": 16, "val": 3, "test": 1}
    assert all(Path(image).name == Path(label).name for lines in parts.values() for image, label in lines)
    assert len({image for lines in parts.values() for image, _ in lines}) == 20
    content = json.loads((output / "dataset.json").read_text())
    assert (content["labels"]["3"], content["modality"]["2"], content["licence"]) == (
        *("enhancing tumour", "t1gd"),
        "CC BY-SA 4.0",
    )
    assert content["preprocessing"]["orientation"] == "SAR"
    assert (tmp_path / "d" / "Task01_BrainTumour_raw" / "dataset.json").is_file()
    assert run(*flags, tmp_path / "e", "--seed", 1) == 0
    assert listed(tmp_path / "e" / PHASE, "val") != parts["val"]


def test_archive_and_contrasts_in_files_of_their_own(task, tmp_path):
    archive = tmp_path / "Task01_BrainTumour.tar"
    with tarfile.open(archive, "w") as handle:
        handle.add(task, "Task01_BrainTumour")
    assert run("--archive", archive, "--dataset_root", tmp_path / "a") == 0
    apart = tmp_path / "apart"
    for name in (path.name.removesuffix(".nii.gz") for path in (task / "imagesTr").iterdir()):
        volume = read_volume(task / "imagesTr" / f"{name}.nii.gz", channels=True)
        (apart / "imagesTr").mkdir(parents=True, exist_ok=True)
        for channel, array in enumerate(volume.array):
            write_volume(Volume(array, volume.affine), apart / "imagesTr" / f"{name}_{channel:04d}.nii.gz")
    (apart / "labelsTr").symlink_to(task / "labelsTr")
    assert run("--raw_dir", apart, "--dataset_root", tmp_path / "b") == 0
    found, expected = (contents(tmp_path / part / PHASE / "images") for part in "ab")
    assert found == expected


def test_broken_cases_are_left_out(task, tmp_path, caplog):
    (task / "labelsTr" / "BRATS_002.nii.gz").unlink()
    (task / "imagesTr" / "BRATS_003.nii.gz").write_bytes(b"no volume")
    label = Volume(np.full(SHAPE, 9, np.uint8), np.eye(4), meta={"labels": True})
    write_volume(label, task / "labelsTr" / "BRATS_004.nii.gz")
    assert run("--raw_dir", task, "--dataset_root", tmp_path / "d") == 2
    broken = json.loads((tmp_path / "d" / PHASE / "dataset.json").read_text())["broken"]
    assert list(broken) == ["BRATS_002", "BRATS_003", "BRATS_004"]
    assert "does not exist" in broken["BRATS_002"]
    assert "label ids [9]" in broken["BRATS_004"]


def test_without_data(tmp_path, capsys):
    assert run("--dataset_root", tmp_path / "d") == 2
    assert "medicaldecathlon.com" in capsys.readouterr().err
    (tmp_path / "raw" / "imagesTr").mkdir(parents=True)
    assert run("--raw_dir", tmp_path / "raw", "--dataset_root", tmp_path / "d") == 2
    assert "labelsTr" in capsys.readouterr().err
    assert run("--raw_dir", tmp_path / "raw", "--dataset_root", tmp_path / "d", "--test_fraction", "1") == 2
    assert "--test_fraction" in capsys.readouterr().err
