"""What every dataset keeps: the item, its seed, the way back to the original grid, errors that name the case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from paddle.io import Dataset

from medicalseg.datasets.case import Case, content_hash
from medicalseg.errors import ConfigError, DataError, UserError
from medicalseg.inference.preprocess import GridRecord
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume, read_label
from medicalseg.transforms import Compose, Resize3D
from medicalseg.utils.seeding import sample_seed

MODES = ("train", "val", "test")
UNLABELLED = 255
_INT16 = np.iinfo(np.int16)

Item = tuple[np.ndarray, np.ndarray, str]


class CaseDataset(Dataset):  # type: ignore[misc]
    """Cases that become `(image, label, case name)`.

    Subclasses implement `load` and, where the network's grid is not the original one, `record`.

    An index is an integer or a pair (epoch, integer); everything random in the sample is seeded by
    (`seed`, epoch, integer), so a sample is the same in whatever process it is made.

    Args:
        cases: the cases, each once.
        task: classes and preprocessing; its `normalize` is the transforms' last step.
        transforms: what `Compose` runs, in training usually augmentation.
        mode: "train", "val" or "test".
        repeat_times: how often the case list is repeated in one epoch of training.

    Attributes:
        num_classes: classes, the background counted.
        ignore_index: label id that is neither trained nor scored.
        task: classes and preprocessing.
        seed: settable; default 0.
        cases: the cases, each once.
        mode: "train", "val" or "test".
        notes: lines that every report repeats.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        task: TaskSpec,
        transforms: Sequence[Any] | None = None,
        mode: str = "train",
        repeat_times: int = 1,
    ) -> None:
        super().__init__()
        check_mode(mode)
        if isinstance(repeat_times, bool) or not isinstance(repeat_times, int) or repeat_times < 1:
            raise ConfigError(f"repeat_times: expected a positive integer, got {repeat_times!r}")
        self.cases = list(cases)
        self.task = task
        self.mode = mode
        self.seed = 0
        self.repeat_times = repeat_times if mode == "train" else 1
        self.transforms = Compose(list(transforms or ()), normalize=task.preprocessing.normalize)

    @property
    def num_classes(self) -> int:
        """Classes, the background counted."""
        return self.task.num_classes

    @property
    def ignore_index(self) -> int | None:
        """Label id that is neither trained nor scored."""
        return self.task.ignore_index

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines that every report made from this dataset repeats."""
        return self.task.notes

    def __len__(self) -> int:
        return len(self.cases) * self.repeat_times

    def __getitem__(self, index: int | tuple[int, int]) -> Item:
        """The sample at an index, or at (epoch, index).

        Returns:
            Image float32 (C, X, Y, Z); label int64 (X, Y, Z), all `ignore_index` (255 if that is None) where the case
            has no label; case name.

        Raises:
            IndexError: if the index is out of range.
            DataError: if the case cannot be read or is wrong; names case and file.
        """
        epoch, number = index if isinstance(index, (tuple, list)) else (0, index)
        number = self._checked(int(number))
        case = self.cases[number % len(self.cases)]
        try:
            with sample_seed(self.seed, int(epoch), number):
                return self._sample(case)
        except Exception as error:
            files = ", ".join(str(path) for path in case.files)
            text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            raise DataError(" ".join(f"case {case.name}: {text} ({files})".split())) from error

    def _checked(self, number: int) -> int:
        if not -len(self) <= number < len(self):
            raise IndexError(f"index {number} is out of range for {len(self)} samples")
        return number % len(self)

    def _sample(self, case: Case) -> Item:
        image, label = self.load(case)
        if label is None:
            nothing = UNLABELLED if self.ignore_index is None else self.ignore_index
            label = np.full(image.shape[-3:], nothing, np.min_scalar_type(nothing))
        else:
            label = self._checked_label(image, label)
        image, label = self.transforms(image, label)
        image = np.asarray(image, np.float32)
        return image if image.ndim == 4 else image[None], np.asarray(label, np.int64), case.name

    def _checked_label(self, image: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The label, in 16 bits where they suffice: transforms move half as much."""
        if label.shape != image.shape[-3:]:
            raise DataError(f"label has the shape {label.shape}, the image {image.shape[-3:]}")
        low, high = int(label.min()), int(label.max())
        fits = _INT16.min <= low and high <= _INT16.max and label.dtype.itemsize > 2
        if not 0 <= low <= high < self.num_classes:
            self._check_ids(label)
        return label.astype(np.int16) if fits else label

    def _check_ids(self, label: np.ndarray) -> None:
        ids = [int(value) for value in np.unique(label)]
        wrong = [value for value in ids if not 0 <= value < self.num_classes and value != self.ignore_index]
        if wrong:
            raise DataError(
                f"label ids {wrong} are not among the {self.num_classes} classes (0..{self.num_classes - 1})"
            )

    def load(self, case: Case) -> tuple[np.ndarray, np.ndarray | None]:
        """Image (X, Y, Z) or (C, X, Y, Z) and label (X, Y, Z) on the network's grid, before transforms."""
        raise NotImplementedError

    def case(self, index: int) -> Case:
        """The case behind an index."""
        return self.cases[self._checked(index) % len(self.cases)]

    def has_label(self, index: int) -> bool:
        """Whether the case behind an index has a label."""
        return self.case(index).label is not None

    def reference(self, index: int) -> Volume | None:
        """Label on the original grid; None if there is none.

        Raises:
            DataError: if it cannot be read.
        """
        case = self.case(index)
        if case.original is None:
            return None
        try:
            return read_label(case.original)
        except Exception as error:
            raise DataError(f"case {case.name}: {error}") from error

    def record(self, index: int) -> GridRecord | None:
        """How the original grid became the network's; None if that is not known."""
        return None

    def to_original(self, labels: np.ndarray, index: int) -> Volume | None:
        """Bring labels (X, Y, Z) on the network's grid to the case's original grid; None if that is not known.

        Raises:
            DataError: if transforms other than Resize3D changed the grid.
        """
        record = self.record(index)
        if record is None:
            return None
        if labels.shape != record.network_shape and self._only_resizes():
            record = record.resized(labels.shape)
        return self.task.preprocessing.restore(labels, record)

    def _only_resizes(self) -> bool:
        return all(isinstance(transform, Resize3D) for transform in self.transforms.transforms)

    def data_hash(self) -> str:
        """SHA-256 that tells whether the dataset is the same: names, sizes and beginnings of files, preprocessing."""
        return content_hash(self.cases, extra=str(self.task.preprocessing.to_dict()))


def check_mode(mode: str) -> None:
    """Raise ConfigError unless `mode` is train, val or test."""
    if mode not in MODES:
        raise ConfigError(f"mode: expected one of {list(MODES)}, got {mode!r}")
