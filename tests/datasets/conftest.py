"""Small datasets in every layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medicalseg.inference.preprocess import Preprocessing
from medicalseg.io import Volume, write_volume

AFFINE = np.diag([1.0, 1.5, 3.0, 1.0])


def make_pair(number: int, shape: tuple[int, int, int] = (12, 10, 6)) -> tuple[np.ndarray, np.ndarray]:
    """An image whose voxels show their class, and the label: a box with a core, and a voxel that tells the number."""
    rng = np.random.default_rng(number)
    label = np.zeros(shape, np.uint8)
    label[2:9, 2:8, 1:5] = 1
    label[4:7, 3:6, 2:4] = 2
    label[1, number, 0] = 1
    return (rng.normal(100, 10, shape) + 100 * label).astype(np.float32), label


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A prepared folder: lists, arrays at half size, originals, dataset.json."""
    root = tmp_path / "prepared"
    steps = Preprocessing(size=(6, 5, 6))
    grids = {}
    for number in range(6):
        image, label = (Volume(array, AFFINE) for array in make_pair(number))
        array, record = steps.apply(image)
        grids[f"Case{number}"] = {"image": f"MR/Case{number}.nii.gz", "grid": record.to_dict()}
        for folder in ("images", "labels"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        np.save(root / "images" / f"Case{number}.npy", array[0])
        np.save(root / "labels" / f"mask_case{number}.npy", steps.apply_label(label))
        write_volume(label, root / "originals" / f"Case{number}.nii.gz")
    for mode, numbers in (("train", range(4)), ("val", range(4, 6))):
        write_list(root, mode, numbers)
    content = {
        "labels": {"0": "background", "1": "box", "2": "core"},
        "training": grids,
        "preprocessing": steps.to_dict(),
        "split": {"seed": 0, "rule": "test", "leaking": False},
        "class_groups": {"all": [0, 1, 2]},
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def write_list(root: Path, mode: str, numbers: range) -> None:
    """Write a list file."""
    lines = [f"images/Case{number}.npy labels/mask_case{number}.npy\n" for number in numbers]
    (root / f"{mode}_list.txt").write_text("".join(lines))


@pytest.fixture
def decathlon(tmp_path: Path) -> Path:
    """An MSD folder with six labelled cases."""
    root = tmp_path / "msd"
    entries = []
    for number in range(6):
        image, label = make_pair(number)
        write_volume(Volume(image, AFFINE), root / "imagesTr" / f"case_{number}.nii.gz")
        write_volume(Volume(label, AFFINE), root / "labelsTr" / f"case_{number}.nii.gz")
        entries.append({"image": f"./imagesTr/case_{number}.nii.gz", "label": f"./labelsTr/case_{number}.nii.gz"})
    content = {
        "modality": {"0": "MR"},
        "labels": {"0": "background", "1": "box", "2": "core"},
        "training": list(reversed(entries)),
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MEDICALSEG_CACHE", str(folder))
    return folder
