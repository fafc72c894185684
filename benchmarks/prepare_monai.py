"""MONAI's transforms into the files of a PersistentDataset."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

import torch

from benchmarks.frame import Outcome, threads
from benchmarks.prepare_cases import raw


def all_cases(dataset: str, count: int, spacing: Sequence[float]) -> Callable[[], Outcome]:
    """A function that loads, resamples (linear, labels nearest), scales and saves every case anew."""
    from monai import transforms as t
    from monai.data import PersistentDataset

    torch.set_num_threads(threads())
    folder = raw(dataset, count)
    images = sorted((folder / "imagesTr").iterdir())
    cases = [
        {"image": str(image), "label": str(folder / "labelsTr" / image.name.replace("_0000.nii", ".nii"))}
        for image in images
    ]
    both = ("image", "label")
    steps = t.Compose(
        [
            t.LoadImaged(both),
            t.EnsureChannelFirstd(both),
            t.Spacingd(both, pixdim=list(spacing), mode=("bilinear", "nearest")),
            t.ScaleIntensityRangePercentilesd("image", lower=0.5, upper=99.5, b_min=0.0, b_max=1.0, clip=True),
        ]
    )
    target = folder.parent / "cached"

    def run() -> Outcome:
        shutil.rmtree(target, ignore_errors=True)
        cached = PersistentDataset(cases, steps, cache_dir=str(target))
        for index in range(len(cached)):
            cached[index]
        size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
        return Outcome({"cases": count, "megabytes written": round(size / 1e6, 1)})

    return run
