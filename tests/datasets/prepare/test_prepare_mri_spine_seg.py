"""MRISpineSeg: PaddleSeg3D's numbers and file names, honest splits, the phantom in its place."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest
from scipy import ndimage

from medicalseg.cli import main
from medicalseg.datasets.prepare.mri_spine_seg import PHASE, find_cases
from medicalseg.datasets.splits import Split
from medicalseg.io import read_label, read_volume

from .conftest import contents, snapshot

SIZE = ["--size", "24", "20", "6"]


def prepare(*arguments) -> int:
    return main(["prepare", "mri_spine_seg", "--num_workers", "0", *map(str, arguments)])


@pytest.fixture
def prepared(raw_spine, tmp_path):
    root = tmp_path / "data" / "MRSpineSeg"
    assert prepare("--raw_dir", raw_spine, "--dataset_root", root, *SIZE) == 0
    return root / PHASE


def test_numbers_are_those_of_paddleseg3d(prepared, raw_spine):
    """Independent: SciPy's zoom on the clipped ratio, the formula in PaddleSeg3D's facts."""
    for case in find_cases(raw_spine):
        raw = read_volume(case.images[0]).array.astype(np.float32)
        factors = np.array([24, 20, 6]) / raw.shape
        expected = ndimage.zoom(np.clip(raw / 2650, 0, 1), factors, order=1, mode="nearest")
        image = np.load(prepared / "images" / f"{case.name}.npy")
        assert (image.dtype, image.shape) == (np.float32, (24, 20, 6))
        np.testing.assert_allclose(image, expected, atol=2e-6)
        label = np.load(prepared / "labels" / f"{case.label_name}.npy")
        raw_label = read_label(case.label).array
        assert label.dtype == np.int32
        assert np.array_equal(label, ndimage.zoom(raw_label, factors, order=0, mode="nearest"))


def test_names_lists_and_honest_split(prepared):
    assert sorted(path.name for path in (prepared / "images").iterdir()) == [f"Case{n}.npy" for n in range(1, 6)]
    assert sorted(path.name for path in (prepared / "labels").iterdir()) == [f"mask_case{n}.npy" for n in range(1, 6)]
    lines = {part: (prepared / f"{part}_list.txt").read_text().splitlines() for part in ("train", "val")}
    assert (len(lines["train"]), len(lines["val"])) == (4, 1)
    assert not set(lines["train"]) & set(lines["val"])
    for line in lines["train"] + lines["val"]:
        image, label = line.split(" ")
        assert label == image.replace("images/Case", "labels/mask_case")
    split = Split.from_dict(json.loads((prepared / "split.json").read_text()))
    assert (split.leaking, split.seed, len(split.val)) == (False, 0, 1)


def test_description_has_upstream_keys_and_ours(prepared):
    content = json.loads((prepared / "dataset.json").read_text())
    for key in ("name", "description", "reference", "licence", "modality", "labels", "training", "test"):
        assert key in content
    assert content["labels"]["19"] == "T9/T10"
    assert content["preprocessing"]["size"] == [24, 20, 6]
    assert content["split"]["leaking"] is False
    assert content["class_groups"]["20 classes"] == list(range(20))
    assert set(range(20)) - set(content["class_groups"]["16 classes*"]) == {9, 10, 18, 19}
    entry = content["training"]["Case3"]
    assert {
        "image",
        "label",
        "dim",
        "shape",
        "minmax_vals",
        "spacing",
        "origin",
        "direction",
        "spacing_resample",
    } <= set(entry)
    assert (entry["image"], entry["label"]) == (
        "MRI_train/train/MR/Case3.nii.gz",
        "MRI_train/train/Mask/mask_case3.nii.gz",
    )
    assert entry["shape"] == [[5, 36, 40]]
    assert len(entry["direction"]) == 9
    assert entry["spacing_resample"][0] == pytest.approx(entry["spacing"][0] * 40 / 24)
    assert entry["grid"]["network_shape"] == [24, 20, 6]


def test_description_agrees_with_simpleitk(prepared, raw_spine):
    sitk = pytest.importorskip("SimpleITK")
    entry = json.loads((prepared / "dataset.json").read_text())["training"]["Case2"]
    image = sitk.ReadImage(str(raw_spine / entry["image"]))
    np.testing.assert_allclose(entry["spacing"], image.GetSpacing(), rtol=1e-5)
    np.testing.assert_allclose(entry["origin"], image.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(entry["direction"], image.GetDirection(), atol=1e-5)
    array = sitk.GetArrayFromImage(image)
    assert entry["shape"] == [list(array.shape)]
    assert [float(value) for value in entry["minmax_vals"]] == [array.min(), array.max()]


def test_originals_are_the_labels_as_they_were(prepared, raw_spine):
    for case in find_cases(raw_spine):
        original, raw = read_label(prepared / "originals" / f"{case.name}.nii.gz"), read_label(case.label)
        assert np.array_equal(original.array, raw.array)
        assert original.same_grid(read_volume(case.images[0]))


def test_input_folder_is_only_read(raw_spine, tmp_path):
    before = snapshot(raw_spine)
    assert prepare("--raw_dir", raw_spine, "--dataset_root", tmp_path / "out", *SIZE) == 0
    assert snapshot(raw_spine) == before


def test_input_inside_the_dataset_root_is_only_read(raw_spine, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(raw_spine, root / "MRI_spine_seg_raw")
    before = snapshot(root / "MRI_spine_seg_raw")
    assert prepare("--raw_dir", root / "MRI_spine_seg_raw", "--dataset_root", root, *SIZE) == 0
    assert snapshot(root / "MRI_spine_seg_raw") == before


def test_leaking_split_only_on_request_and_marked(raw_spine, tmp_path):
    assert prepare("--raw_dir", raw_spine, "--dataset_root", tmp_path / "out", "--leaking_split", *SIZE) == 0
    output = tmp_path / "out" / PHASE
    train, val = ((output / f"{part}_list.txt").read_text().splitlines() for part in ("train", "val"))
    assert (len(train), len(val)) == (5, 1)
    assert set(val) < set(train)
    assert json.loads((output / "dataset.json").read_text())["split"]["leaking"] is True


def test_zip_gives_the_same_as_the_folder(prepared, raw_spine, tmp_path):
    archive = tmp_path / "MRI_spine_seg.zip"
    with zipfile.ZipFile(archive, "w") as handle:
        for path in raw_spine.rglob("*.nii.gz"):
            handle.write(path, f"MRI_train/train/{path.parent.name}/{path.name}")
        handle.writestr("MRI_train/test/MR/Case200.nii.gz", b"test images have no masks")
        handle.writestr("__MACOSX/MRI_train/train/MR/._Case1.nii.gz", b"rubbish")
    root = tmp_path / "zipped"
    for _ in range(2):
        assert prepare("--archive", archive, "--dataset_root", root, *SIZE) == 0
    for folder in ("images", "labels", "originals"):
        assert contents(root / PHASE / folder) == contents(prepared / folder)
    assert (root / PHASE / "val_list.txt").read_text() == (prepared / "val_list.txt").read_text()
    assert (root / "MRI_spine_seg_raw" / "dataset.json").is_file()


def test_without_raw_data_the_message_says_how_to_get_it(tmp_path, capsys):
    assert prepare("--dataset_root", tmp_path / "none") == 2
    message = capsys.readouterr().err
    assert "spinesegmentation-challenge.com" in message
    assert "signed agreement" in message
    assert "--phantom" in message
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("flags", [["--raw_dir", "nowhere"], ["--archive", "nowhere.zip"]])
def test_missing_input(tmp_path, capsys, flags):
    assert prepare("--dataset_root", tmp_path, *flags) == 2
    assert "nowhere" in capsys.readouterr().err


def test_folder_without_mr_and_mask(tmp_path, capsys):
    (tmp_path / "raw" / "MR").mkdir(parents=True)
    assert prepare("--raw_dir", tmp_path / "raw", "--dataset_root", tmp_path / "out") == 2
    assert "MR and Mask" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        ["--val_fraction", "1.5"], ["--num_workers", "-1"], ["--seed", "-1"], ["--size", "0", "4", "4"],
        ["--phantom", "1"], ["--phantom", "3", "--raw_dir", "x"], ["--raw_dir", "x", "--archive", "y"],
    ],
)  # fmt: skip
def test_bad_flags(tmp_path, capsys, flags):
    assert prepare("--dataset_root", tmp_path / "out", *flags) == 2
    assert flags[0] in capsys.readouterr().err


def test_phantom_fills_the_path_that_the_shipped_config_reads(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    assert prepare("--phantom", 3, "--size", 32, 32, 4) == 0
    output = tmp_path / "data" / "MRSpineSeg" / PHASE
    assert len((output / "train_list.txt").read_text().splitlines()) == 2
    assert json.loads((output / "dataset.json").read_text())["origin"] == "phantom"
    text = "".join(path.read_text() for path in (root / "configs" / "mri_spine_seg").glob("*.yml"))
    assert f"MRSpineSeg/{PHASE}" in text


def test_phantom_and_real_data_never_replace_each_other_unasked(prepared, raw_spine, capsys):
    dataset_root = prepared.parent
    before = snapshot(prepared)
    phantom = ["--phantom", 3, "--size", 16, 16, 2, "--dataset_root", dataset_root]
    assert prepare(*phantom) == 2
    assert "holds real data" in capsys.readouterr().err
    assert snapshot(prepared) == before
    assert not (dataset_root / "phantom").exists()
    assert prepare(*phantom, "--force") == 0
    assert sorted(path.name for path in (prepared / "images").iterdir()) == ["Case1.npy", "Case2.npy", "Case3.npy"]
    real = ["--raw_dir", raw_spine, "--dataset_root", dataset_root, *SIZE]
    assert prepare(*real) == 2
    assert "holds phantom data" in capsys.readouterr().err
    assert prepare(*real, "--force") == 0
    assert contents(prepared / "images") == {
        name[7:]: digest for name, (_, digest) in before.items() if "images/" in name
    }


def test_arrays_of_another_tool_are_not_overwritten(tmp_path, raw_spine, capsys):
    folder = tmp_path / "out" / PHASE / "images"
    folder.mkdir(parents=True)
    np.save(folder / "Case1.npy", np.zeros((2, 2, 2)))
    assert prepare("--raw_dir", raw_spine, "--dataset_root", tmp_path / "out", *SIZE) == 2
    assert "holds other data" in capsys.readouterr().err
    assert np.load(folder / "Case1.npy").shape == (2, 2, 2)


def test_the_dataset_class_reads_it(prepared, raw_spine):
    pytest.importorskip("paddle")
    from medicalseg.datasets import MRISpineSeg

    dataset = MRISpineSeg(dataset_root=str(prepared), mode="val", transforms=[])
    image, label, name = dataset[0]
    assert (image.shape, label.shape) == ((1, 24, 20, 6), (24, 20, 6))
    assert dataset.task.labels[19] == "T9/T10"
    assert dataset.task.preprocessing.size == (24, 20, 6)
    reference = dataset.reference(0)
    raw = {case.name: case for case in find_cases(raw_spine)}[name]
    assert np.array_equal(reference.array, read_label(raw.label).array)
    restored = dataset.to_original(label, 0)
    assert restored.same_grid(reference)
    assert (restored.array == reference.array).mean() > 0.9
