"""A dataset from outside the package: one folder a case, with `image.nii.gz` and `label.nii.gz` in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.datasets import CaseDataset
from medicalseg.datasets.case import Case
from medicalseg.datasets.splits import holdout
from medicalseg.errors import DataError
from medicalseg.inference import GridRecord, Preprocessing, TaskSpec
from medicalseg.io import read_label, read_volume


@manager.DATASETS.add_component
class CaseFolders(CaseDataset):
    """`dataset_root/CASE/{image,label}.nii.gz`, preprocessed when a case is asked for.

    Args:
        dataset_root: the folder of the case folders; only read.
        transforms: what `Compose` runs.
        num_classes: classes, the background counted.
        mode: "train" or "val": the two parts of a split by case.
        preprocess: fields of `Preprocessing`.
        val_fraction: part of the cases held out.
        split_seed: seed of the split.

    Raises:
        DataError: if there are fewer than two cases.
    """

    def __init__(
        self,
        dataset_root: str,
        transforms: Sequence[Any] | None = None,
        num_classes: int = 2,
        mode: str = "train",
        *,
        preprocess: Mapping[str, Any] | None = None,
        val_fraction: float = 0.25,
        split_seed: int = 0,
    ) -> None:
        cases = {path.parent.name: _case(path.parent) for path in sorted(Path(dataset_root).glob("*/image.nii.gz"))}
        if len(cases) < 2:
            raise DataError(f"{dataset_root}: expected at least two folders with image.nii.gz and label.nii.gz")
        split = holdout(cases, val_fraction, seed=split_seed)
        names = split.train if mode == "train" else split.val
        task = TaskSpec(num_classes, preprocessing=Preprocessing.from_dict(preprocess))
        super().__init__([cases[name] for name in names], task, transforms, mode)
        self._stored = task.preprocessing.without_normalization()

    def load(self, case: Case) -> tuple[np.ndarray, np.ndarray | None]:
        """Image (C, X, Y, Z) and label (X, Y, Z) on the network's grid; transforms and normalisation come after."""
        image, _ = self._stored.apply(read_volume(case.images[0]))
        return image, None if case.label is None else self._stored.apply_label(read_label(case.label))

    def record(self, index: int) -> GridRecord:
        """The way back to the original grid, on which `val` scores."""
        return self.task.preprocessing.grid(read_volume(self.case(index).images[0]))


def _case(folder: Path) -> Case:
    label = folder / "label.nii.gz"
    if not label.is_file():
        raise DataError(f"{folder}: has an image and no label.nii.gz")
    return Case(folder.name, (folder / "image.nii.gz",), label, original=label)
