"""A label from the file to the sample: checked, in what transforms move, in what losses and scores take."""

from __future__ import annotations

import numpy as np

from medicalseg.datasets.sample_masks import as_masks, marked, unmarked
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.decision import codes_of_ids, pack
from medicalseg.inference.task import TaskSpec

UNLABELLED = 255
_INT16 = np.iinfo(np.int16)


class SampleLabels:
    """Labels of one task.

    A label is ids, or masks with an axis in front where structures may overlap. Transforms move ids, or one array of
    codes in place of masks.

    Args:
        task: its classes and head.

    Raises:
        ConfigError: if sigmoids' masks have no room for `ignore_index`.

    Attributes:
        ignored: what stands where nothing is known.
    """

    def __init__(self, task: TaskSpec) -> None:
        _check_ignored(task)
        self.task = task
        self.ignored = UNLABELLED if task.ignore_index is None else task.ignore_index

    def fitting(self, label: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
        """The label of an image of this shape (X, Y, Z); all ignored where there is none. Ids are not looked at.

        Raises:
            DataError: if the shape is another, or masks do not go with the task.
        """
        if label is None:
            return np.full(shape, self.ignored, np.min_scalar_type(self.ignored))
        if label.shape[-3:] != shape:
            raise DataError(f"label has the shape {label.shape}, the image {shape}")
        if label.ndim == 4:
            self._check_masks(label)
        return label

    def whole(self, label: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
        """As `fitting`, of ids all of them `narrow`."""
        fitting = self.fitting(label, shape)
        return fitting if label is None or fitting.ndim == 4 else self.narrow(fitting)

    def packed(self, masks: np.ndarray) -> np.ndarray:
        """Codes that transforms can move, of masks (K, ...)."""
        return marked(pack(masks, self.ignored))

    def narrow(self, label: np.ndarray) -> np.ndarray:
        """Ids, checked, in 16 bits where they suffice: transforms move half as much.

        Raises:
            DataError: if an id is not among the classes.
        """
        low, high = int(label.min()), int(label.max())
        fits = _INT16.min <= low and high <= _INT16.max and label.dtype.itemsize > 2
        if not 0 <= low <= high < self.task.num_ids:
            self._check_ids(label)
        return label.astype(np.int16) if fits else label

    def to_train(self, moved: np.ndarray, masks: bool) -> np.ndarray:
        """What losses take of a moved label: int64 ids of a softmax, uint8 masks (K, ...) of sigmoids."""
        if self.task.head == "softmax":
            return moved.astype(np.int64, copy=False)
        return as_masks(moved, self.task.num_classes, self.ignored, masks)

    def to_score(self, moved: np.ndarray, masks: bool) -> np.ndarray:
        """What scores take of a moved label, int64: ids of a softmax, codes of sigmoids with -1 for ignored."""
        if self.task.head == "softmax":
            return moved.astype(np.int64, copy=False)
        codes = unmarked(moved, self.ignored) if masks else codes_of_ids(moved, self.ignored)
        return codes.astype(np.int64)

    def _check_masks(self, label: np.ndarray) -> None:
        if self.task.head == "softmax":
            raise DataError(f"label has the shape {label.shape}; masks that may overlap need head: sigmoid")
        if len(label) != self.task.num_classes:
            raise DataError(f"label has {len(label)} masks, the task {self.task.num_classes} structures")

    def _check_ids(self, label: np.ndarray) -> None:
        count = self.task.num_ids
        ids = [int(value) for value in np.unique(label)]
        wrong = [value for value in ids if not 0 <= value < count and value != self.task.ignore_index]
        if wrong:
            raise DataError(f"label ids {wrong} are not among the {count} classes (0..{count - 1})")


def _check_ignored(task: TaskSpec) -> None:
    """Masks are uint8: beside 0 and 1 there is room for one number that is no structure's id."""
    if task.head == "sigmoid" and task.ignore_index is not None and not task.num_ids <= task.ignore_index <= UNLABELLED:
        raise ConfigError(
            f"ignore_index: with head sigmoid expected {task.num_ids} to {UNLABELLED} or null, got {task.ignore_index}"
        )
