"""The raw cases that preparation is measured on, in nnU-Net's folders, linked and not copied."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks import spine_files

FOLDERS = {"spine": ("spider_t2space", "labelsTr_levels"), "hippocampus": ("../hippocampus", "labelsTr")}
LABELS = {"spine": 20, "hippocampus": 3}


def raw(dataset: str, count: int) -> Path:
    """A fresh folder with `Dataset001_bench`: imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz and dataset.json."""
    root = Path(tempfile.mkdtemp(prefix="medicalseg-benchmark-"))
    folder = root / "raw" / "Dataset001_bench"
    name, labels = FOLDERS[dataset]
    source = (spine_files.data_root() / name).resolve()
    images = sorted((source / "imagesTr").glob("*.nii.gz"))[:count]
    if not images:
        raise FileNotFoundError(f"{source}: no images; {spine_files.VARIABLE} names the folder of spider_t2space")
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for image in images:
        case = image.name.removesuffix(".nii.gz")
        (folder / "imagesTr" / f"{case}_0000.nii.gz").symlink_to(image)
        (folder / "labelsTr" / image.name).symlink_to(source / labels / image.name)
    names = {"background": 0, **{f"class {label}": label for label in range(1, LABELS[dataset])}}
    description = {"channel_names": {"0": "MRI"}, "labels": names, "numTraining": len(images), "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return folder
