"""Data for the suite `loader`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.ndimage

CASES = 6
ARRAYS = {
    "quickstart": ("quickstart_spine/MRI_spine_seg_phase0_class20_big_12", (64, 64, 12), 20),
    "mri_spine_seg": ("MRSpineSeg/MRI_spine_seg_phase0_class20_big_12", (512, 512, 12), 20),
    "lung_coronavirus": ("lung_coronavirus/lung_coronavirus_phase0", (128, 128, 128), 3),
}
VOLUMES = {
    "hippocampus": ("hippocampus", "dataset.json", "labelsTr", (35, 50, 36), 3),
    "spider_spine": ("spider_t2space", "dataset_levels.json", "labelsTr_levels", (256, 320, 20), 20),
}


def folder() -> Path:
    """Where generated data and caches are kept."""
    return Path(tempfile.gettempdir()) / "medicalseg-benchmarks"


def cache_folder() -> Path:
    """Where the datasets keep preprocessed arrays."""
    return folder() / "cache"


def data_root(name: str) -> Path:
    """A folder that has the data of `configs/NAME`, made if need be."""
    given = os.environ.get("MEDICALSEG_DATA_ROOT")
    wanted = (ARRAYS[name] if name in ARRAYS else VOLUMES[name])[0]
    if given and (Path(given) / wanted).is_dir():
        return Path(given)
    if not (folder() / wanted / "done").is_file():
        _write_arrays(name) if name in ARRAYS else _write_volumes(name)
        (folder() / wanted / "done").touch()
    return folder()


def _write_arrays(name: str) -> None:
    place, shape, classes = ARRAYS[name]
    root = folder() / place
    lines = []
    for number in range(CASES):
        image, label = _sample(shape, classes, number)
        for part, array in (("images", image), ("labels", label.astype(np.int32))):
            (root / part).mkdir(parents=True, exist_ok=True)
            np.save(root / part / f"case{number}.npy", array)
        lines.append(f"images/case{number}.npy labels/case{number}.npy\n")
    for mode in ("train", "val"):
        (root / f"{mode}_list.txt").write_text("".join(lines), encoding="utf-8")


def _write_volumes(name: str) -> None:
    import SimpleITK as sitk  # noqa: N813

    place, description, labels, shape, classes = VOLUMES[name]
    root = folder() / place
    for number in range(2 * CASES):
        image, label = _sample(shape, classes, number)
        for part, array, end in (("imagesTr", image, ""), (labels, label, "")):
            (root / part).mkdir(parents=True, exist_ok=True)
            path = root / part / f"case_{number:02d}{end}.nii.gz"
            sitk.WriteImage(sitk.GetImageFromArray(array.transpose(2, 1, 0)), str(path))
    content = {
        "modality": {"0": "MRI"},
        "labels": {str(label): f"class {label}" if label else "background" for label in range(classes)},
        "training": [
            {"image": f"./imagesTr/case_{number:02d}.nii.gz", "label": f"./{labels}/case_{number:02d}.nii.gz"}
            for number in range(2 * CASES)
        ],
        "test": [],
        "numTraining": 2 * CASES,
        "numTest": 0,
        "file_ending": ".nii.gz",
    }
    (root / description).write_text(json.dumps(content), encoding="utf-8")


def _sample(shape: Sequence[int], classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    field = scipy.ndimage.gaussian_filter(generator.standard_normal(shape, dtype=np.float32), min(6, min(shape) / 4))
    label = np.digitize(field, np.quantile(field, np.linspace(0.6, 0.99, classes - 1))).astype(np.uint8)
    return (100 + 10 * label + 5 * generator.standard_normal(shape, dtype=np.float32)).astype(np.float32), label
