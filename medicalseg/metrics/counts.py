"""Voxel counts per class: what every hard metric is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medicalseg.errors import DataError

BLOCK_VOXELS = 1 << 20


@dataclass(frozen=True)
class Counts:
    """True positive, false positive and false negative voxels, one int64 value per class.

    Attributes:
        tp: voxels of the class in both prediction and reference.
        fp: voxels of the class in the prediction only.
        fn: voxels of the class in the reference only.
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray

    @property
    def reference(self) -> np.ndarray:
        """Voxels of each class in the reference."""
        return self.tp + self.fn

    @property
    def prediction(self) -> np.ndarray:
        """Voxels of each class in the prediction."""
        return self.tp + self.fp

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)


def confusion_counts(
    prediction: np.ndarray, reference: np.ndarray, num_classes: int, ignore_index: int | None = 255
) -> Counts:
    """Count voxels per class.

    Args:
        prediction: integer class ids, any shape.
        reference: integer class ids, same shape.
        num_classes: ids are 0 to `num_classes` - 1.
        ignore_index: voxels with this id in the reference are left out, whatever was predicted there.

    Raises:
        DataError: if shapes differ, an array is not of integers, or an id is outside the classes.

    Example:
        >>> confusion_counts(np.array([0, 1, 1]), np.array([0, 1, 0]), 2).fp.tolist()
        [0, 1]
    """
    matrix = confusion_matrix(prediction, reference, num_classes, ignore_index)
    tp = np.diagonal(matrix).copy()
    return Counts(tp=tp, fp=matrix.sum(axis=1) - tp, fn=matrix.sum(axis=0) - tp)


def confusion_matrix(
    prediction: np.ndarray, reference: np.ndarray, num_classes: int, ignore_index: int | None = 255
) -> np.ndarray:
    """Voxels per pair of classes: (K, K) int64, row = predicted id, column = id in the reference.

    Memory beyond the inputs is bounded by a block of voxels. Arguments and errors as in `confusion_counts`.
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    _check(prediction, reference)
    flat = np.zeros(num_classes * num_classes, dtype=np.int64)
    for predicted, true in _blocks(prediction, reference):
        if ignore_index is not None:
            kept = true != ignore_index
            if not kept.all():
                predicted, true = predicted[kept], true[kept]
        _check_ids("prediction", predicted, num_classes)
        _check_ids("reference", true, num_classes)
        pairs = predicted.astype(np.int64) * num_classes + true.astype(np.int64)
        flat += np.bincount(pairs, minlength=flat.size)
    return flat.reshape(num_classes, num_classes)


def _check(prediction: np.ndarray, reference: np.ndarray) -> None:
    if prediction.shape != reference.shape:
        raise DataError(f"prediction has shape {prediction.shape}, reference {reference.shape}; they must be equal")
    for name, array in (("prediction", prediction), ("reference", reference)):
        if array.dtype.kind not in "iub":
            raise DataError(f"{name} holds {array.dtype} values; labels must be integers")


def _check_ids(name: str, ids: np.ndarray, num_classes: int) -> None:
    if ids.size == 0:
        return
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        raise DataError(f"{name} holds the class id {wrong}, but the {num_classes} classes are 0 to {num_classes - 1}")


def _blocks(prediction: np.ndarray, reference: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if prediction.ndim == 0 or prediction.size == 0:
        yield prediction.reshape(-1), reference.reshape(-1)
        return
    if prediction.flags.f_contiguous and reference.flags.f_contiguous:
        prediction, reference = prediction.T, reference.T
    rows = max(1, BLOCK_VOXELS * prediction.shape[0] // prediction.size)
    for start in range(0, prediction.shape[0], rows):
        part = slice(start, start + rows)
        yield prediction[part].reshape(-1), reference[part].reshape(-1)
