"""Promise12: MetaImage pairs of several folders, test cases whose numbers start anew, the configuration's run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from medicalseg.cli import main
from medicalseg.cvlibs import Config

from .conftest import contents, snapshot

PHASE = "Promise12_phase0"
SIZE = ["--size", "32", "32", "12"]
CONFIG = "configs/prostate/vnet_promise12_512_512_24_15k.yml"


def write(path: Path, seed: int, label: bool = True, ending: str = ".mhd") -> None:
    """A volume as the challenge has it: int16, thick slices, and its segmentation, int8."""
    rng = np.random.default_rng(seed)
    shape = (6, 20, 24)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {path.name: rng.integers(3, 900, shape).astype(np.int16)}
    if label:
        mask = np.zeros(shape, np.int8)
        mask[1:5, 6:15, 5:18] = 1
        arrays[f"{path.name}_segmentation"] = mask
    for name, array in arrays.items():
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((0.625, 0.625, 3.6))
        image.SetOrigin((-10.5, 20.0, float(seed)))
        sitk.WriteImage(image, str(path.with_name(name + ending)))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Five training cases in three folders, two test cases."""
    for number in range(5):
        write(tmp_path / f"raw/prostate/TrainingData_Part{number % 3 + 1}/Case{number:02d}", number)
    for number in range(2):
        write(tmp_path / f"raw/prostate/TestData/Case{number:02d}", 50 + number, label=False)
    return tmp_path / "raw"


def prepare(*arguments: object) -> int:
    return main(["prepare", "prostate", "--num_workers", "0", *map(str, arguments)])


@pytest.fixture
def prepared(raw, tmp_path):
    assert prepare("--raw_dir", raw, "--dataset_root", tmp_path / "data/Promise12", *SIZE) == 0
    return tmp_path / "data/Promise12" / PHASE


def test_numbers_are_paddleseg3ds_on_one_order_of_axes(prepared, raw):
    """Independent: SimpleITK's array turned to (X, Y, Z), minimum to maximum, SciPy's zoom."""
    for number in range(5):
        source = raw / f"prostate/TrainingData_Part{number % 3 + 1}/Case{number:02d}"
        stored = sitk.GetArrayFromImage(sitk.ReadImage(f"{source}.mhd")).transpose(2, 1, 0).astype(np.float32)
        factors = np.array([32, 32, 12]) / stored.shape
        unit = (stored - stored.min()) / (stored.max() - stored.min())
        image = np.load(prepared / f"images/Case{number:02d}.npy")
        assert (image.dtype, image.shape) == (np.float32, (32, 32, 12))
        np.testing.assert_allclose(image, ndimage.zoom(unit, factors, order=1, mode="nearest"), atol=2e-6)
        mask = sitk.GetArrayFromImage(sitk.ReadImage(f"{source}_segmentation.mhd")).transpose(2, 1, 0)
        label = np.load(prepared / f"labels/Case{number:02d}_segmentation.npy")
        assert label.dtype == np.int32
        assert np.array_equal(label, ndimage.zoom(mask, factors, order=0, mode="nearest"))
        original = sitk.GetArrayFromImage(sitk.ReadImage(str(prepared / f"originals/Case{number:02d}.nii.gz")))
        assert np.array_equal(original.transpose(2, 1, 0), mask)


def test_test_images_are_images(prepared):
    assert (prepared / "test_list.txt").read_text() == "images/test_Case00.npy\nimages/test_Case01.npy\n"
    image = np.load(prepared / "images/test_Case00.npy")
    assert (image.dtype, image.shape) == (np.float32, (32, 32, 12))
    assert 0.2 < image.mean() < 0.8
    assert not np.array_equal(image, np.load(prepared / "images/Case00.npy"))


def test_nobody_is_on_both_sides(prepared):
    lines = {part: (prepared / f"{part}_list.txt").read_text().splitlines() for part in ("train", "val")}
    assert (len(lines["train"]), len(lines["val"])) == (4, 1)
    assert not set(lines["train"]) & set(lines["val"])
    for line in lines["train"] + lines["val"]:
        image, label = line.split()
        assert label == image.replace("images/", "labels/").replace(".npy", "_segmentation.npy")
    content = json.loads((prepared / "dataset.json").read_text())
    assert content["labels"] == {"0": "background", "1": "prostate"}
    assert content["split"]["leaking"] is False
    assert content["training"]["Case03"]["spacing"] == [0.625, 0.625, 3.6]


def test_archives_as_published(prepared, raw, tmp_path):
    before = snapshot(raw)
    for name, folders in (("training_data", "TrainingData_Part*"), ("test_data", "TestData")):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for path in sorted((raw / "prostate").glob(f"{folders}/*")):
                archive.write(path, f"{name}/{path.name}")
            archive.writestr(f"__MACOSX/{name}/._Case00.mhd", b"rubbish")
    archives = [tmp_path / "training_data.zip", tmp_path / "test_data.zip"]
    assert prepare("--archive", *archives, "--dataset_root", tmp_path / "zipped", *SIZE) == 0
    for folder in ("images", "labels", "originals"):
        assert contents(tmp_path / "zipped" / PHASE / folder) == contents(prepared / folder)
    assert snapshot(raw) == before


def test_without_test_data(raw, tmp_path):
    train = raw / "prostate/TrainingData_Part1"
    assert prepare("--raw_dir", train, "--dataset_root", tmp_path / "out", *SIZE) == 0
    assert not (tmp_path / "out" / PHASE / "test_list.txt").exists()


def test_a_case_without_its_segmentation_is_named(raw, tmp_path, capsys):
    (raw / "prostate/TrainingData_Part2/Case04_segmentation.mhd").unlink()
    assert prepare("--raw_dir", raw, "--dataset_root", tmp_path / "out", *SIZE) == 2
    shown = capsys.readouterr()
    assert "case Case04: " in shown.out + shown.err
    assert "Case04_segmentation.mhd does not exist" in shown.out + shown.err
    lists = "".join((tmp_path / "out" / PHASE / f"{part}_list.txt").read_text() for part in ("train", "val"))
    assert sorted(line.split()[0] for line in lists.splitlines()) == [f"images/Case{n:02d}.npy" for n in range(4)]


def test_names_that_collide_are_refused(raw, tmp_path, capsys):
    write(raw / "prostate/TrainingData_Part3/Case00", 9)
    assert prepare("--raw_dir", raw, "--dataset_root", tmp_path / "out", *SIZE) == 2
    said = capsys.readouterr().err
    assert all(f"TrainingData_Part{part}/Case00.mhd" in said for part in (1, 3))
    assert not (tmp_path / "out").exists()


def test_changed_voxels_beside_a_header_are_done_again(raw, prepared, capsys):
    arguments = ("--raw_dir", raw, "--dataset_root", prepared.parent, *SIZE)
    voxels = raw / "prostate/TrainingData_Part2/Case01.raw"
    voxels.write_bytes(voxels.read_bytes()[::-1])
    before = contents(prepared / "images")
    assert prepare(*arguments) == 0
    assert {name for name, digest in contents(prepared / "images").items() if digest != before[name]} == {"Case01.npy"}


def test_six_sites_with_the_same_numbers(tmp_path):
    """Zones of the gland (1 and 2 at two sites) are one prostate; names have the site, patients stay apart."""
    for site in ("BIDMC", "RUNMC"):
        for number in range(2):
            write(tmp_path / f"raw/Processed_data_nii/{site}/Case{number:02d}", number, ending=".nii.gz")
    zones = tmp_path / "raw/Processed_data_nii/RUNMC/Case01_segmentation.nii.gz"
    image = sitk.ReadImage(str(zones))
    sitk.WriteImage(image * 2, str(zones.with_name("Case01_Segmentation.nii.gz")))
    zones.unlink()
    arguments = ["--raw_dir", tmp_path / "raw", "--dataset_root", tmp_path / "out", *SIZE]
    assert prepare("--dataset", "Prostate_mri", *arguments) == 0
    output = tmp_path / "out/Prostate_mri_phase0"
    names = [f"{site}_Case{number:02d}" for site in ("BIDMC", "RUNMC") for number in range(2)]
    assert sorted(path.stem for path in (output / "images").iterdir()) == names
    label = np.load(output / "labels/RUNMC_Case01_segmentation.npy")
    assert np.array_equal(label, np.load(output / "labels/RUNMC_Case00_segmentation.npy"))
    assert set(np.unique(label)) == {0, 1}


def test_nothing_there(tmp_path, capsys):
    assert prepare("--dataset_root", tmp_path / "x") == 2
    assert "Zenodo" in capsys.readouterr().err
    (tmp_path / "raw").mkdir()
    assert prepare("--raw_dir", tmp_path / "raw", "--dataset_root", tmp_path / "x") == 2
    assert "no volumes CaseN with CaseN_segmentation" in capsys.readouterr().err


SMALL = "model={type: UNet3D, base_channels: 2, depth: 2}"


@pytest.mark.parametrize("network", [[SMALL], pytest.param([], marks=pytest.mark.slow)], ids=["small", "VNet"])
def test_configuration_runs_and_scores_on_the_original_grid(root, prepared, tmp_path, network):
    shared = ["--config", root / CONFIG, "--opts", f"data_root={prepared.parents[1]}", *network]
    run = tmp_path / "run"
    assert main([*map(str, ["train", *shared, "--save_dir", run, "--iters", 2, "--batch_size", 1])]) == 0
    weights = ["--model_path", run / "iter_2", "--save_dir", tmp_path / "val", "--overlays", 0]
    assert main([*map(str, ["val", *shared, *weights])]) == 0
    masks = list((tmp_path / "val").rglob("Case*.nii.gz"))
    assert masks
    assert {sitk.ReadImage(str(path)).GetSize() for path in masks} == {(24, 20, 6)}


def test_configuration_takes_its_size(root):
    Config(root / CONFIG).model.check_input_shape((512, 512, 24))
