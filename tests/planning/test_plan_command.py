"""`medicalseg plan` on the command line: flags, exit codes, what it prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medicalseg.cli.main import main
from medicalseg.cvlibs import Config

Make = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("cache")
QUICK = ("--no_dry_run", "--num_workers", "0", "--device", "cpu", "--precision", "fp32")


def run(*arguments: object) -> int:
    return main(["plan", *[str(item) for item in arguments], *QUICK])


def test_a_plan_is_printed(make_dataset: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(make_dataset(), "--out", tmp_path / "auto", "--kind", "3d", "2d", "--memory", "4G") == 0
    out = capsys.readouterr().out
    assert "6 cases, 1 channel, 3 classes" in out
    assert (tmp_path / "auto" / "blobs" / "3d.yml").is_file()
    assert (tmp_path / "auto" / "blobs" / "2d.yml").is_file()
    assert "4 GB" in (tmp_path / "auto" / "blobs" / "3d.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("below", [True, False])
def test_the_data_root_of_the_environment_holds(
    make_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: bool
) -> None:
    root = make_dataset()
    monkeypatch.setenv("MEDICALSEG_DATA_ROOT", str(root.parent.parent if below else tmp_path / "elsewhere"))
    assert run(root, "--out", tmp_path / "auto", "--kind", "3d") == 0
    config = Config(tmp_path / "auto" / "blobs" / "3d.yml", log_notes=False)
    assert len(config.train_dataset) > 0
    assert Path(config.dic["data_root"], config.dic["train_dataset"]["dataset_root"]).resolve() == root.resolve()


def test_an_error_of_the_dataset_stops_and_names_the_case(
    make_dataset: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_dataset()
    path = root / "labelsTr" / "case3.nii.gz"
    path.write_bytes((root / "imagesTr" / "case3_0000.nii.gz").read_bytes())
    assert run(root, "--out", tmp_path / "auto") == 2
    error = capsys.readouterr().err
    assert "case case3" in error
    assert "values that are no ids" in error
    assert not (tmp_path / "auto").exists()


@pytest.mark.parametrize("flags", [[], ["--skip_verify"]])
def test_all_cases_without_a_label_are_named_at_once(
    make_dataset: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    root = make_dataset()
    for case in (1, 2, 4, 5):
        (root / "labelsTr" / f"case{case}.nii.gz").unlink()
    assert run(root, "--out", tmp_path / "auto", *flags) == 2
    error = capsys.readouterr().err
    assert (
        "4 cases have no label: case1, case2, case4, …; add the labels (labelsTr/case1.nii.gz ...), or move the images "
        "to imagesTs; `medicalseg verify` lists all"
    ) in error


def test_missing_images_and_the_folder_of_labels_that_is_meant(
    make_dataset: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [{"image": f"imagesTr/case{case}_0000.nii.gz", "label": f"levels/case{case}.nii.gz"} for case in range(3)]
    root = make_dataset(cases=3, training=entries)
    (root / "imagesTr" / "case2_0000.nii.gz").unlink()
    assert run(root, "--out", tmp_path / "auto") == 2
    error = capsys.readouterr().err
    assert "1 image does not exist: imagesTr/case2_0000.nii.gz; 3 cases have no label: case0_0000, " in error
    assert "dataset.json says levels, which does not exist; labelsTr has files of these names: --labels_dir" in error
    (root / "labelsTr").rename(root / "levels")
    (root / "levels" / "case0.nii.gz").unlink()
    assert run(root, "--out", tmp_path / "auto") == 2
    assert "move the images to imagesTs and their entries in dataset.json to 'test'" in capsys.readouterr().err


def test_a_value_without_a_class_names_its_file(
    make_dataset: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_dataset(cases=2)
    assert run(root, "--out", tmp_path / "auto", "--skip_verify", "--labels", "a=1") == 2
    error = capsys.readouterr().err
    assert f"{root / 'labelsTr' / 'case0.nii.gz'}: label value 2 belongs to no class: 'labels' (of the" in error
    assert "has 0, 1; add it to a class" in error


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--memory", "much"], "--memory much"),
        (["--time_budget", "soon"], "soon"),
        (["--preset", "ResEncS"], "--preset ResEncS"),
        (["--network", "unet3d", "--preset", "ResEncM"], "--preset ResEncM"),
        (["--labels", "a"], "--labels a"),
        (["--labels", "a=1", "--regions", "b=1"], "--regions"),
        (["--step_seconds", "0"], "--step_seconds 0"),
        (["--memory", "10M"], "--memory 10M: too little"),
    ],
)
def test_wrong_flags(
    make_dataset: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    assert run(make_dataset(cases=2), "--out", tmp_path / "auto", *flags) == 2
    assert words in capsys.readouterr().err


def test_fewer_than_no_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(tmp_path), "--num_workers", "-1"]) == 2
    assert "--num_workers -1: must be at least 0" in capsys.readouterr().err


def test_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nothing") == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_preset_brings_its_network_and_memory(make_dataset: Make, tmp_path: Path) -> None:
    flags = ["--no_dry_run", "--num_workers", "0", "--device", "gpu", "--precision", "fp16", "--preset", "ResEncL"]
    assert main(["plan", str(make_dataset(cases=2)), "--out", str(tmp_path / "auto"), *flags]) == 0
    text = (tmp_path / "auto" / "blobs" / "3d.yml").read_text(encoding="utf-8")
    assert "ResidualEncoderUNet" in text
    assert "24 GB" in text
    assert "\nprecision: fp16" in text
    assert "--precision" not in next(line for line in text.splitlines() if line.startswith("# Train:"))
