"""A DICOM folder with several series as input: which one is meant."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from medicalseg.cli.main import main
from medicalseg.core.export import export
from medicalseg.errors import UserError, VolumeError
from medicalseg.inference.inputs import inputs_for
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.inference.task import TaskSpec
from medicalseg.io import read_label
from medicalseg.models.unet3d import UNet3D

pydicom = pytest.importorskip("pydicom")

from tests.io.test_dicom import write_slice  # noqa: E402

TASKS = [TaskSpec(num_classes=3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five slices of one series and three of another."""
    folder = tmp_path / "study"
    folder.mkdir()
    for number in range(5):
        write_slice(folder / f"a{number}.dcm", 2.0 * number)
    for number in range(3):
        write_slice(folder / f"b{number}.dcm", 5.0 * number, series="1.2.77", SeriesNumber=8)
    return folder


@pytest.mark.parametrize(("series", "slices"), [("1.2.9", 5), ("1.2.77", 3), ("8", 3)])
def test_one_of_several_series(folder: Path, series: str, slices: int) -> None:
    [case] = inputs_for(TASKS, folder, series)
    assert case.output == Path("study.nii.gz")
    assert case.read(*TASKS).shape == (5, 6, slices)


def test_several_series_are_listed_with_the_flag(folder: Path) -> None:
    [case] = inputs_for(TASKS, folder)
    with pytest.raises(
        VolumeError, match=r"1\.2\.77 \(CT spine, 3 files\); 1\.2\.9 \(CT spine, 5 files\).*--series UID"
    ):
        case.read(*TASKS)
    [case] = inputs_for(TASKS, folder, "3")
    with pytest.raises(VolumeError, match=r"0 series match '3'; there are 1\.2\.77"):
        case.read(*TASKS)


def test_a_series_is_of_one_folder(folder: Path) -> None:
    for path in (folder.parent, folder / "a0.dcm"):
        with pytest.raises(UserError, match="--series is of one DICOM folder"):
            inputs_for(TASKS, path, "1.2.9")
    shutil.copytree(folder, folder / "more")
    with pytest.raises(UserError, match="--series is of one DICOM folder"):
        inputs_for(TASKS, folder, "1.2.9")


@pytest.mark.parametrize("verb", ["infer", "predict"])
def test_the_flag_of_both_commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    task = TaskSpec(num_classes=3, preprocessing=Preprocessing(size=(8, 8, 8)))
    export(UNet3D(num_classes=3, base_channels=2, depth=2), task, tmp_path / "export")
    given = [verb, "--config", str(tmp_path / "export"), "--image_path", str(folder)]
    given += ["--save_dir", str(tmp_path / "labels")]
    assert main(given) == 2
    said = capsys.readouterr()
    assert "--series UID" in said.out + said.err
    assert main([*given, "--series", "1.2.77"]) == 0
    assert read_label(tmp_path / "labels" / "study.nii.gz").shape == (5, 6, 3)
