"""Abdomen: slices, transforms in PaddleSeg3D's axes, arrays of either script, the way back to the original grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from medicalseg.cli import main
from medicalseg.datasets import Abdomen
from medicalseg.errors import DataError
from medicalseg.io import read_volume
from medicalseg.transforms import Resize3D
from tests.datasets.prepare.synapse_miniature import write_synapse

SHAPE = (20, 18, 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("abdomen")
    raw = write_synapse(root / "raw", cases=5, shape=SHAPE)
    assert main(["prepare", "abdomen", "--raw_dir", str(raw), "--dataset_root", str(root), "--num_workers", "0"]) == 0
    return root / "abdomen_phase0"


def abdomen(folder: Path, mode: str = "train", *transforms: Any, **options: Any) -> Abdomen:
    return Abdomen(str(folder), str(folder / "phase1"), list(transforms), 9, mode, **options)


class Seen:
    """A transform that remembers what it gets."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []

    def __call__(self, image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert label.shape == image.shape[-3:]
        self.images.append(image)
        return image, label


def test_training_slices_are_upstreams(folder: Path) -> None:
    """What a transform gets is upstream's slice (1, X, Y); what the network gets has X as rows."""
    seen = Seen()
    dataset = abdomen(folder, "train", seen)
    assert len(dataset) == 3 * 120
    image, label, name = dataset[(1, 7)]
    raw = read_volume(folder.parent / "raw" / "RawData" / "Training" / "img" / f"{name}.nii.gz").array
    slices = ((np.clip(raw.astype(np.float32), -125, 275) + 125) / 400).transpose(2, 0, 1)
    (given,) = seen.images
    assert given.shape == (1, 1, 20, 18)
    place = [index for index, one in enumerate(slices) if np.allclose(one, given[0, 0], atol=1e-6)]
    assert len(place) == 1
    np.testing.assert_array_equal(image[0], given[0, 0])
    ids = np.load(folder / "labels" / f"{name.replace('img', 'label')}.npy")
    np.testing.assert_array_equal(label, ids[place[0]].T)
    assert (image.dtype, label.dtype) == (np.float32, np.int64)


def test_resizing_is_upstreams(folder: Path) -> None:
    """Slice by slice as `scipy.ndimage.zoom`, in training and in evaluation."""
    resize = Resize3D([1, 32, 16])
    dataset = abdomen(folder, "val", resize)
    image, label, name = dataset[0]
    assert (image.shape, label.shape, name) == ((1, 5, 16, 32), (5, 16, 32), "img0004")
    stored = np.load(folder / "images" / f"{name}.npy").swapaxes(1, 2)
    expected = [ndimage.zoom(one, (32 / 20, 16 / 18), order=1, mode="nearest") for one in stored]
    np.testing.assert_allclose(image[0].swapaxes(1, 2), expected, atol=1e-5)
    training = abdomen(folder, "train", resize)[(0, 0)]
    assert (training[0].shape, training[1].shape) == ((1, 32, 16), (32, 16))
    assert dataset.task.preprocessing.size == (None, 16, 32)
    assert dataset.task.preprocessing.normalize == "none"


def test_deployment_sees_what_evaluation_sees(folder: Path) -> None:
    dataset = abdomen(folder, "val", Resize3D([1, 32, 16]))
    path = folder.parent / "raw" / "RawData" / "Training" / "img" / "img0004.nii.gz"
    deployed, record = dataset.task.preprocessing.apply(read_volume(path))
    np.testing.assert_allclose(deployed, dataset[0][0], atol=1e-5)
    known = dataset.record(0)
    assert known is not None
    assert known.network_shape == record.network_shape == (5, 16, 32)
    np.testing.assert_allclose((known.scale, known.offset), (record.scale, record.offset), atol=1e-12)


def test_scores_are_on_the_original_grid(folder: Path) -> None:
    dataset = abdomen(folder, "val", Resize3D([1, 40, 36]))
    reference = dataset.reference(1)
    restored = dataset.to_original(dataset[1][1], 1)
    assert reference is not None
    assert restored is not None
    assert restored.shape == reference.shape == SHAPE
    np.testing.assert_array_equal(restored.affine, reference.affine)
    assert (restored.array == reference.array).mean() > 0.9
    whole = abdomen(folder, "val")
    unresized = whole.to_original(whole[1][1], 1)
    assert unresized is not None
    np.testing.assert_array_equal(unresized.array, reference.array)


@pytest.fixture
def upstream(folder: Path, tmp_path: Path) -> Path:
    """What PaddleSeg3D's script writes: (X, Y) per training slice, (Z, X, Y) per validation volume, float labels."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    lines = []
    for index, name in enumerate(("0001", "0004")):
        image = np.load(folder / "images" / f"img{name}.npy").swapaxes(1, 2).astype(np.float64)
        label = np.load(folder / "labels" / f"label{name}.npy").swapaxes(1, 2).astype(np.float32)
        pieces = (
            {f"-{place:04d}": (image[place], label[place]) for place in range(5)}
            if index == 0
            else {"": (image, label)}
        )
        for ending, (one, ids) in pieces.items():
            np.save(tmp_path / "images" / f"img{name}{ending}.npy", one)
            np.save(tmp_path / "labels" / f"label{name}{ending}.npy", ids)
            lines.append(f"images/img{name}{ending}.npy labels/label{name}{ending}.npy")
    (tmp_path / "train_list.txt").write_text("\n".join(lines[:5]))
    (tmp_path / "val_list.txt").write_text(lines[5])
    return tmp_path


def test_a_folder_of_upstreams_script(folder: Path, upstream: Path) -> None:
    resize = Resize3D([1, 32, 32])
    dataset = abdomen(upstream, "train", resize)
    assert len(dataset) == 5
    image, label, name = dataset[(0, 2)]
    assert (image.shape, label.shape, name) == ((1, 32, 32), (32, 32), "img0001-0002")
    stored = np.load(upstream / "images" / "img0001-0002.npy")
    np.testing.assert_allclose(image[0], ndimage.zoom(stored, (32 / 20, 32 / 18), order=1, mode="nearest"), atol=1e-5)
    theirs, ours = (abdomen(root, "val", resize) for root in (upstream, folder))
    for got, expected in zip(theirs[0], ours[0], strict=True):
        np.testing.assert_array_equal(got, expected)
    assert theirs.task.preprocessing == ours.task.preprocessing
    assert theirs.task.labels == ours.task.labels


def test_as_volumes(folder: Path) -> None:
    dataset = abdomen(folder, "train", slices=None, repeat_times=1)
    assert dataset.task.slices is None
    assert dataset[0][0].shape == (1, 5, 18, 20)
    assert len(dataset) == 3


def test_without_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"prepare_abdomen\.py --archive RawData\.zip"):
        abdomen(tmp_path / "nothing")
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        np.save(tmp_path / kind / "a.npy", np.zeros(4))
    (tmp_path / "train_list.txt").write_text("images/a.npy labels/a.npy")
    with pytest.raises(DataError, match=r"a\.npy: expected an array"):
        abdomen(tmp_path)
