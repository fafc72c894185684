"""LungCoronavirus and folders of MSD or nnU-Net."""

from __future__ import annotations

import argparse
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medicalseg.cli import main
from medicalseg.datasets.prepare.arguments import make_split
from medicalseg.datasets.prepare.lung_coronavirus import label_name, patient_of, preprocessing
from medicalseg.io import Volume, read_volume

from .conftest import contents, snapshot, write_pair


def run(name, *arguments) -> int:
    return main(["prepare", name, "--num_workers", "0", *map(str, arguments)])


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("coronacases_org_001", "coronacases_001"),
        ("radiopaedia_org_covid-19-pneumonia-4_85506_1-dcm", "radiopaedia_4_85506_1"),
        ("radiopaedia_org_covid-19-pneumonia-10_85902_1", "radiopaedia_10_85902_1"),
        ("coronacases_001", "coronacases_001"),
    ],
)
def test_lung_label_names(image, label):
    assert label_name(image) == label


def test_lung_window_with_nan():
    array = np.array([-3000, -1200, -300, 600, 5000, np.nan], np.float32).reshape(6, 1, 1)
    result, _ = preprocessing((6, 1, 1)).apply(Volume(array, np.eye(4)))
    np.testing.assert_allclose(result.ravel(), [0, 0, 127.5, 255, 255, 0], atol=1e-4)


@pytest.fixture
def raw_lung(tmp_path):
    folder = tmp_path / "raw"
    for number in range(1, 5):
        image = folder / "20_ncov_scan" / f"coronacases_org_{number:03d}.nii.gz"
        write_pair(image, folder / "lung_mask" / f"coronacases_{number:03d}.nii.gz", seed=number)
    return folder


def test_lung(raw_lung, tmp_path):
    before = snapshot(raw_lung)
    root = tmp_path / "data"
    assert run("lung_coronavirus", "--raw_dir", raw_lung, "--dataset_root", root, "--size", 8, 8, 8) == 0
    assert snapshot(raw_lung) == before
    output = root / "lung_coronavirus_phase0"
    lists = [(output / f"{part}_list.txt").read_text().splitlines() for part in ("train", "val")]
    assert [len(lines) for lines in lists] == [3, 1]
    assert lists[0][0].split()[1].startswith("labels/coronacases_00")
    raw = read_volume(raw_lung / "20_ncov_scan" / "coronacases_org_002.nii.gz").array
    expected = ndimage.zoom(
        np.clip((raw.astype(np.float32) + 1200) / 1800 * 255, 0, 255),
        np.array([8, 8, 8]) / raw.shape,
        order=1,
        mode="nearest",
    )
    np.testing.assert_allclose(np.load(output / "images" / "coronacases_org_002.npy"), expected, atol=2e-3)


PUBLIC = (
    *(f"coronacases_{number:03d}" for number in range(1, 11)),
    *("radiopaedia_10_85902_1", "radiopaedia_10_85902_3", "radiopaedia_14_85914_0", "radiopaedia_27_86410_0"),
    *("radiopaedia_29_86490_1", "radiopaedia_29_86491_1", "radiopaedia_36_86526_0", "radiopaedia_40_86625_0"),
    *("radiopaedia_4_85506_1", "radiopaedia_7_85703_0"),
)


@pytest.mark.parametrize("seed", range(12))
def test_lung_patients_are_on_one_side(seed):
    """Under Zenodo's names and under those of the copy on Kaggle; cases 10 and 29 of Radiopaedia have two volumes."""
    args = argparse.Namespace(val_fraction=0.25, seed=seed)
    split = make_split(PUBLIC, args, patient_of)
    assert sorted(split.train + split.val) == sorted(PUBLIC)
    train, val = ({"_".join(name.split("_")[:2]) for name in part} for part in (split.train, split.val))
    assert not train & val
    assert (len(train), len(val)) == (14, 4)
    long = [name.replace("radiopaedia_", "radiopaedia_org_covid-19-pneumonia-") + "-dcm" for name in PUBLIC[10:]]
    other = make_split([*(name.replace("_", "_org_") for name in PUBLIC[:10]), *long], args, patient_of)
    assert sorted(map(label_name, other.val)) == sorted(split.val)


def test_lung_split_of_the_public_names_as_prepared(tmp_path):
    """What docs/how-to/prepare-data.md says of seed 0."""
    raw = tmp_path / "raw"
    for name in PUBLIC:
        image = raw / "COVID-19-CT-Seg_20cases" / f"{name}.nii.gz"
        write_pair(image, raw / "Lung_Mask" / f"{name}.nii.gz", shape=(3, 3, 3))
    assert run("lung_coronavirus", "--raw_dir", raw, "--dataset_root", tmp_path / "d", "--size", 4, 4, 4) == 0
    output = tmp_path / "d" / "lung_coronavirus_phase0"
    val = [Path(line.split()[0]).stem for line in (output / "val_list.txt").read_text().splitlines()]
    train = (output / "train_list.txt").read_text().splitlines()
    assert (len(train), len(val)) == (15, 5)
    assert {"radiopaedia_10_85902_1", "radiopaedia_10_85902_3"} <= set(val)


def test_lung_without_data(tmp_path, capsys):
    assert run("lung_coronavirus", "--dataset_root", tmp_path / "x") == 2
    assert "Zenodo" in capsys.readouterr().err
    (tmp_path / "raw" / "20_ncov_scan").mkdir(parents=True)
    assert run("lung_coronavirus", "--raw_dir", tmp_path / "raw", "--dataset_root", tmp_path / "x") == 2
    assert "lung_mask" in capsys.readouterr().err


@pytest.fixture
def task(tmp_path):
    """An MSD task with CT, four cases, one test image and a macOS left-over."""
    folder = tmp_path / "Task99_Thing"
    entries = []
    for number in range(4):
        name = f"thing_{number}.nii.gz"
        write_pair(folder / "imagesTr" / name, folder / "labelsTr" / name, seed=number)
        entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    write_pair(folder / "imagesTs" / "thing_9.nii.gz", tmp_path / "unused.nii.gz")
    (folder / "imagesTr" / "._thing_0.nii.gz").write_bytes(b"x")
    content = {
        "name": "Thing", "licence": "CC0", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "a", "2": "b"},
        "training": entries, "test": ["./imagesTs/thing_9.nii.gz"],
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def test_msd_folder(task, tmp_path):
    before = snapshot(task)
    root = tmp_path / "out"
    assert run("msd", "--task", task, "--dataset_root", root, "--size", 8, 8, 8, "--with_test") == 0
    assert snapshot(task) == before
    output = root / "Task99_Thing_phase0"
    content = json.loads((output / "dataset.json").read_text())
    assert (content["name"], content["labels"]["2"], content["licence"]) == ("Thing", "b", "CC0")
    assert content["preprocessing"]["intensity"][0]["low"] == -1200, "auto: CT gets PaddleSeg3D's window"
    assert list(content["test"]) == ["thing_9"]
    assert content["test"]["thing_9"]["label"] is None
    assert (output / "test_list.txt").read_text() == "images/thing_9.npy\n"
    assert len(content["training"]) == 4


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        (["--intensity", "zscore"], "zscore"), (["--intensity", "window", "--window", "-100", "200"], "window"),
        (["--intensity", "none"], None), (["--intensity", "percentile"], "percentile"),
    ],
)  # fmt: skip
def test_msd_intensity(task, tmp_path, flags, kind):
    assert run("msd", "--task", task, "--dataset_root", tmp_path / "o", "--size", 4, 4, 4, *flags) == 0
    steps = json.loads((tmp_path / "o" / "Task99_Thing_phase0" / "dataset.json").read_text())["preprocessing"][
        "intensity"
    ]
    assert [step["type"] for step in steps] == ([kind] if kind else [])


def test_msd_spacing_and_orientation(task, tmp_path):
    flags = ["--spacing", 3, 3, 2, "--orientation", "RAS"]
    assert run("msd", "--task", task, "--dataset_root", tmp_path / "o", *flags) == 0
    output = tmp_path / "o" / "Task99_Thing_phase0"
    assert np.load(output / "images" / "thing_0.npy").shape == (6, 5, 8)
    assert np.load(output / "labels" / "thing_0.npy").shape == (6, 5, 8)


def test_msd_fold(task, tmp_path, capsys):
    folds = [{"train": ["thing_0", "thing_1", "thing_2"], "val": ["thing_3"]}]
    (task / "splits_final.json").write_text(json.dumps(folds))
    assert run("msd", "--task", task, "--dataset_root", tmp_path / "o", "--size", 4, 4, 4, "--fold", 0) == 0
    output = tmp_path / "o" / "Task99_Thing_phase0"
    assert (output / "val_list.txt").read_text() == "images/thing_3.npy labels/thing_3.npy\n"
    assert run("msd", "--task", task, "--dataset_root", tmp_path / "o", "--fold", 3) == 2
    assert "--fold 3" in capsys.readouterr().err
    (task / "splits_final.json").write_text(json.dumps([{"train": ["other"], "val": ["thing_3"]}]))
    assert run("msd", "--task", task, "--dataset_root", tmp_path / "o", "--fold", 0) == 2
    assert "other" in capsys.readouterr().err


def test_msd_tar(task, tmp_path):
    archive = tmp_path / "Task99_Thing.tar"
    with tarfile.open(archive, "w") as handle:
        handle.add(task, "Task99_Thing")
    flags = ["--size", 4, 4, 4]
    assert run("msd", "--archive", archive, "--dataset_root", tmp_path / "a", *flags) == 0
    assert run("msd", "--task", task, "--dataset_root", tmp_path / "b", *flags) == 0
    found, expected = (contents(tmp_path / part / "Task99_Thing_phase0" / "images") for part in "ab")
    assert found == expected


@pytest.mark.parametrize(
    "flags",
    [["--intensity", "window"], ["--intensity", "zscore", "--window", "0", "1"], ["--window", "5", "5"],
     ["--orientation", "XYZ"], ["--size", "0", "1", "1"], ["--spacing", "-1", "1", "1"], ["--raw_dir", "x"]],
)  # fmt: skip
def test_msd_bad_flags(task, tmp_path, flags, capsys):
    assert run("msd", "--task", task, "--dataset_root", tmp_path / "o", *flags) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "o").exists()


def test_msd_without_data(tmp_path, capsys):
    assert run("msd", "--dataset_root", tmp_path / "o") == 2
    assert "--task" in capsys.readouterr().err


def test_real_hippocampus(shared_data, tmp_path):
    source = shared_data / "hippocampus"
    task = tmp_path / "Task04"
    for folder in ("imagesTr", "labelsTr"):
        (task / folder).mkdir(parents=True)
        for number in ("001", "003", "004"):
            name = f"hippocampus_{number}.nii.gz"
            (task / folder / name).symlink_to(source / folder / name)
    content = json.loads((source / "dataset.json").read_text())
    content["training"] = content["training"][:3]
    (task / "dataset.json").write_text(json.dumps(content))
    assert run("msd", "--task", task, "--dataset_root", tmp_path / "o", "--size", 32, 48, 32) == 0
    output = tmp_path / "o" / "Task04_phase0"
    labels = [np.load(path) for path in (output / "labels").iterdir()]
    assert all(set(np.unique(label)) == {0, 1, 2} for label in labels)
    images = [np.load(path) for path in (output / "images").iterdir()]
    assert all(image.min() >= 0 and 0.9 < image.max() <= 1 for image in images)


@pytest.mark.parametrize("name", ["mri_spine_seg", "lung_coronavirus", "msd"])
def test_tool_help(name, root):
    import subprocess
    import sys

    command = [sys.executable, str(root / "tools" / f"prepare_{name}.py"), "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert result.returncode == 0
    assert f"usage: prepare_{name}.py" in result.stdout
    assert "--dataset_root" in result.stdout
