"""msd_brain_dataset: four contrasts, crops, the way back to the original grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from medicalseg.cli import main  # noqa: E402
from medicalseg.cvlibs import manager  # noqa: E402
from medicalseg.datasets import msd_brain_dataset  # noqa: E402
from medicalseg.errors import ConfigError, DataError  # noqa: E402
from medicalseg.io import read_volume  # noqa: E402
from medicalseg.transforms import RandomCrop4D, RandomFlip4D, RandomRotation4D  # noqa: E402
from tests.datasets.prepare.brain_miniature import SHAPE, write_brain  # noqa: E402

CROP = 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    task = write_brain(tmp_path / "source", cases=5)
    flags = ["--raw_dir", str(task), "--dataset_root", str(tmp_path / "d"), "--num_workers", "0"]
    assert main(["prepare", "msd_brain_seg", *flags]) == 0
    return tmp_path / "d" / "Task01_BrainTumour_phase0"


def test_item_and_task(root: Path) -> None:
    dataset = msd_brain_dataset(str(root), "result", [], 4, "val")
    image, label, name = dataset[0]
    stored = np.load(root / "images" / f"{name}.npy")
    assert (image.shape, image.dtype, label.dtype) == ((4, *SHAPE[::-1]), np.float32, np.int64)
    np.testing.assert_allclose(image, stored / stored.max(), rtol=1e-6)
    np.testing.assert_array_equal(label, np.load(root / "labels" / f"{name}.npy"))
    task = dataset.task
    assert task.names == ["background", "edema", "non-enhancing tumor", "enhancing tumour"]
    assert (task.in_channels, task.preprocessing.orientation, task.preprocessing.normalize) == (4, "SAR", "max")
    assert manager.DATASETS["msd_brain_dataset"] is msd_brain_dataset


def test_crops_of_training(root: Path) -> None:
    steps = [
        RandomCrop4D(size=CROP, scale=[0.8, 1.2]),
        RandomRotation4D(degrees=90, rotate_planes=[[1, 2], [1, 3], [2, 3]]),
        RandomFlip4D(flip_axis=[1, 2, 3]),
    ]
    dataset = msd_brain_dataset(str(root), transforms=steps, num_classes=4)
    image, label, _ = dataset[0]
    assert (image.shape, label.shape) == ((4, CROP, CROP, CROP), (CROP, CROP, CROP))
    assert set(np.unique(label)) <= {0, 1, 2, 3}
    assert len(dataset) == 10 * len(dataset.cases)


def test_way_back_to_the_original_grid(root: Path) -> None:
    dataset = msd_brain_dataset(str(root), mode="test")
    reference = dataset.reference(0)
    restored = dataset.to_original(dataset[0][1], 0)
    assert reference is not None
    assert restored is not None
    assert restored.grid_difference(reference) is None
    np.testing.assert_array_equal(restored.array, reference.array)
    source = root.parents[1] / "source" / "Task01_BrainTumour" / "labelsTr" / f"{dataset[0][2]}.nii.gz"
    np.testing.assert_array_equal(restored.array, read_volume(source).array)


def test_folder_of_paddleseg3d(root: Path) -> None:
    (root / "dataset.json").unlink()
    for path in (root / "originals").iterdir():
        path.unlink()
    dataset = msd_brain_dataset(str(root), num_classes=4, mode="val")
    assert dataset[0][0].shape == (4, *SHAPE[::-1])
    assert dataset.task.name(3) == "enhancing tumour"
    assert dataset.to_original(dataset[0][1], 0) is None


def test_wrong_folders(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"prepare_msd_brain_seg\.py --archive Task01_BrainTumour\.tar"):
        msd_brain_dataset(str(tmp_path / "nowhere"), num_classes=4)
    with pytest.raises(ConfigError, match="mode: expected one of"):
        msd_brain_dataset(str(root), num_classes=4, mode="training")
    dataset = msd_brain_dataset(str(root))
    path = dataset.cases[1].images[0]
    np.save(path, np.load(path)[:3])
    with pytest.raises(DataError, match=f"{dataset.cases[1].name}: .*has 3 contrasts, .* has 4"):
        dataset[1]
