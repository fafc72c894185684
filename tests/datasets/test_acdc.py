"""ACDC as PaddleSeg3D's configurations name it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from medicalseg.cli import main
from medicalseg.datasets import ACDC
from medicalseg.errors import ConfigError, DataError
from medicalseg.io import read_volume
from medicalseg.transforms import RandomPaddingCrop
from tests.datasets.prepare.acdc_miniature import write_acdc


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acdc")
    raw = write_acdc(folder / "raw", patients=3)
    prepare = ["prepare", "acdc", "--num_workers", "0", "--raw_dir", str(raw), "--dataset_root", str(folder / "data")]
    assert main(prepare) == 0
    return folder / "data" / "ACDCDataset_phase0"


def test_training(root: Path) -> None:
    dataset = ACDC(str(root), None, [RandomPaddingCrop([14, 32, 40])], 4, epoch_batches=7)
    assert (len(dataset), len(dataset.cases), dataset.num_classes) == (7, 4, 4)
    image, label, name = dataset[6]
    assert (image.shape, image.dtype) == ((1, 14, 32, 40), np.float32)
    assert (label.shape, label.dtype) == ((14, 32, 40), np.int64)
    assert name == dataset.case(2).name
    assert len(ACDC(str(root))) == 1000
    with pytest.raises(IndexError):
        dataset[7]


def test_evaluation_sees_what_upstream_evaluates(root: Path) -> None:
    """z-scores of the resampled volume, whatever its grey values were."""
    dataset = ACDC(str(root), mode="val", epoch_batches=7)
    assert len(dataset) == 2
    image, _, name = dataset[0]
    assert (image.mean(), image.std()) == pytest.approx((0, 1), abs=1e-4)
    raw = root.parents[1] / "raw" / "database" / "training" / name[:10]
    stored = read_volume(raw / f"{name}.nii.gz")
    assert image.shape == (1, 9, *(round(n * 1.5625 / 1.52) for n in stored.shape[:2]))
    direct, _ = dataset.task.preprocessing.apply(stored)
    np.testing.assert_allclose((direct - direct.mean()) / direct.std(), image, atol=1e-4)


def test_labels_return_to_the_original_grid(root: Path) -> None:
    dataset = ACDC(str(root), mode="val")
    for index in range(2):
        _, label, _ = dataset[index]
        reference, restored = dataset.reference(index), dataset.to_original(label, index)
        assert reference is not None
        assert restored is not None
        assert restored.shape == reference.shape
        assert (restored.array == reference.array).mean() > 0.95


def test_slices(root: Path) -> None:
    image, label, _ = ACDC(str(root), slices={"axis": 0}, epoch_batches=4)[0]
    assert image.shape[1:] == label.shape == (round(36 * 1.5625 / 1.52), round(40 * 1.5625 / 1.52))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"epoch_batches": 0}, "epoch_batches: expected a positive integer, got 0"),
        ({"epoch_batches": True}, "epoch_batches: expected a positive integer, got True"),
        ({"mode": "valid"}, "mode: expected one of"),
    ],
)
def test_wrong_arguments(root: Path, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ACDC(str(root), **arguments)


def test_without_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tools/prepare_acdc.py"):
        ACDC(str(tmp_path / "nothing"))


def test_folder_of_paddleseg3d(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Arrays and lists alone, as its script leaves them: int16 or float images (Z, X, Y) and labels."""
    rng = np.random.default_rng(0)
    for folder, array in (("images", rng.normal(200, 50, (7, 20, 18))), ("labels", rng.integers(0, 4, (7, 20, 18)))):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "patient001_frame01_0000.npy", array)
    line = "images/patient001_frame01_0000.npy labels/patient001_frame01_0000.npy\n"
    for part in ("train", "val"):
        (tmp_path / f"{part}_list.txt").write_text(line)
    logger = logging.getLogger("medicalseg")
    logger.addHandler(caplog.handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        dataset = ACDC(str(tmp_path), mode="val")
    finally:
        logger.setLevel(level)
        logger.removeHandler(caplog.handler)
    assert "taken for PaddleSeg3D's" in caplog.text
    image, label, _ = dataset[0]
    assert (image.shape, label.shape) == ((1, 7, 20, 18), (7, 20, 18))
    assert (image.mean(), image.std()) == pytest.approx((0, 1), abs=1e-4)
    assert dataset.record(0) is None
    assert dataset.task.preprocessing.spacing == (6.35, 1.52, 1.52)
