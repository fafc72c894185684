"""ACDC from a miniature of the challenge's folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medicalseg.cli import main
from medicalseg.io import Volume, read_volume, reorient, write_volume

from .acdc_miniature import AFFINE, SHAPE, heart, write_acdc
from .acdc_miniature import SPACING as STORED
from .conftest import contents, snapshot

SPACING = (6.35, 1.52, 1.52)


def run(*arguments: object) -> int:
    return main(["prepare", "acdc", "--num_workers", "0", *map(str, arguments)])


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_acdc(tmp_path / "raw", patients=5, test=1)


def test_arrays_of_upstream(raw: Path, tmp_path: Path) -> None:
    """Cubic splines to 1.52 x 1.52 x 6.35 mm, edges repeated, slices first; grey values are those but for a factor."""
    resize = pytest.importorskip("skimage.transform").resize
    before = snapshot(raw)
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "data") == 0
    assert snapshot(raw) == before
    output = tmp_path / "data" / "ACDCDataset_phase0"
    names = sorted(path.stem for path in (output / "images").iterdir())
    assert names == [f"patient{n:03d}_frame{frame}" for n in range(1, 6) for frame in ("01", "12")]
    steps = zip(SHAPE, STORED, SPACING[::-1], strict=True)
    new = [round(size * stored / wanted) for size, stored, wanted in steps]
    folder = raw / "database" / "training" / "patient002"
    image, label = (read_volume(folder / f"patient002_frame12{end}.nii.gz").array for end in ("", "_gt"))
    expected = resize(image.astype(float), new, 3, mode="edge", clip=False, anti_aliasing=False).transpose(2, 0, 1)
    array = np.load(output / "images" / "patient002_frame12.npy")
    assert (array.dtype, array.shape) == (np.float32, expected.shape)
    factor = image.astype(float).std()
    np.testing.assert_allclose(array * factor + image.mean(), expected, atol=1e-2)
    ids = np.load(output / "labels" / "patient002_frame12.npy")
    share = [resize((label == n).astype(float), new, 3, mode="edge", anti_aliasing=False) for n in range(4)]
    assert (ids == np.argmax(share, axis=0).transpose(2, 0, 1)).mean() > 0.97
    np.testing.assert_array_equal(read_volume(output / "originals" / "patient002_frame12.nii.gz").array, label)


def test_patients_are_not_parted(raw: Path, tmp_path: Path) -> None:
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "data", "--with_test", "--val_fraction", 0.4) == 0
    output = tmp_path / "data" / "ACDCDataset_phase0"
    parts = {
        part: [line.split()[0][len("images/") :] for line in (output / f"{part}_list.txt").read_text().splitlines()]
        for part in ("train", "val", "test")
    }
    assert [len(parts[part]) for part in parts] == [6, 4, 2]
    train, val = ({name[:10] for name in parts[part]} for part in ("train", "val"))
    assert not train & val
    assert parts["test"] == ["patient101_frame01.npy", "patient101_frame12.npy"]
    content = json.loads((output / "dataset.json").read_text())
    assert content["labels"]["2"] == "myocardium"
    assert content["preprocessing"]["orientation"] == "SLP"
    assert content["preprocessing"]["spacing"] == list(SPACING)
    assert content["training"]["patient001_frame01"]["label"].endswith("patient001_frame01_gt.nii.gz")


def test_storage_does_not_matter(raw: Path, tmp_path: Path) -> None:
    """A case that is stored in other directions than the first one gives the same array."""
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "a") == 0
    for path in sorted(raw.glob("database/training/patient004/*_frame01*")):
        write_volume(reorient(read_volume(path), "PSR"), path)
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "b") == 0
    for kind in ("images", "labels"):
        first, second = (
            np.load(tmp_path / part / "ACDCDataset_phase0" / kind / "patient004_frame01.npy") for part in "ab"
        )
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_broken_cases_are_named(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = raw / "database" / "training"
    (training / "patient001" / "patient001_frame01.nii.gz").write_bytes(b"no image")
    (training / "patient002" / "patient002_frame12_gt.nii.gz").unlink()
    write_volume(
        Volume(heart((20, 20, 6), 0, 1.0)[1], AFFINE), training / "patient003" / "patient003_frame01_gt.nii.gz"
    )
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "data") == 2
    said = "".join(capsys.readouterr())
    for name in ("patient001_frame01", "patient002_frame12", "patient003_frame01"):
        assert f"case {name}:" in said
    assert len(list((tmp_path / "data" / "ACDCDataset_phase0" / "images").iterdir())) == 7


def test_again_and_without_data(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "data") == 0
    before = contents(tmp_path / "data")
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "data") == 0
    assert contents(tmp_path / "data") == before
    assert "10 were there" in "".join(capsys.readouterr())
    (tmp_path / "empty").mkdir()
    assert run("--raw_dir", tmp_path / "empty", "--dataset_root", tmp_path / "x") == 2
    assert "patientNNN_frameMM" in capsys.readouterr().err
    assert run("--dataset_root", tmp_path / "x") == 2
    assert "creatis" in capsys.readouterr().err
    only = write_acdc(tmp_path / "only", patients=2)
    assert run("--raw_dir", only, "--dataset_root", tmp_path / "y", "--with_test") == 2
    assert "folder 'testing'" in capsys.readouterr().err


def test_the_tool_is_the_verb(root: Path) -> None:
    command = [sys.executable, str(root / "tools" / "prepare_acdc.py"), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "usage: prepare_acdc.py" in said
    assert "data/ACDCDataset" in said
