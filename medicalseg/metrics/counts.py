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
        voxels: voxels that were compared, whatever their class; None if that is not known.
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    voxels: int | None = None

    @property
    def reference(self) -> np.ndarray:
        """Voxels of each class in the reference."""
        return self.tp + self.fn

    @property
    def prediction(self) -> np.ndarray:
        """Voxels of each class in the prediction."""
        return self.tp + self.fp

    def __add__(self, other: Counts) -> Counts:
        voxels = None if self.voxels is None or other.voxels is None else self.voxels + other.voxels
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, voxels)


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
    return Counts(tp=tp, fp=matrix.sum(axis=1) - tp, fn=matrix.sum(axis=0) - tp, voxels=int(matrix.sum()))


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


def structure_counts(prediction: np.ndarray, reference: np.ndarray, structures: int) -> Counts:
    """Count voxels per structure, of structures that may overlap.

    Args:
        prediction: integer codes (`medicalseg.inference.decision`): bit k is set where the structure of id k + 1 is.
        reference: codes, same shape; voxels with a negative one are left out, whatever was predicted there.
        structures: codes are 0 to 2^structures - 1.

    Returns:
        Counts of length `structures` + 1, by id; id 0, the background, is where no structure is.

    Raises:
        DataError: if shapes differ, an array is not of integers, or a code has a bit that is no structure.

    Example:
        >>> structure_counts(np.array([0, 1, 3, 2]), np.array([0, 3, 3, -1]), 2).fn.tolist()
        [0, 0, 1]
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    _check(prediction, reference)
    both, predicted, true = np.zeros((3, structures + 1), np.int64)
    voxels = 0
    for given, wanted in _blocks(prediction, reference):
        kept = wanted >= 0
        if not kept.all():
            given, wanted = given[kept], wanted[kept]
        _check_codes("prediction", given, structures)
        _check_codes("reference", wanted, structures)
        given, wanted, voxels = given.astype(np.int32), wanted.astype(np.int32), voxels + given.size
        for index in range(structures + 1):
            one, other = _present(given, index), _present(wanted, index)
            both[index] += np.count_nonzero(one & other)
            predicted[index] += np.count_nonzero(one)
            true[index] += np.count_nonzero(other)
    return Counts(tp=both, fp=predicted - both, fn=true - both, voxels=voxels)


def _present(codes: np.ndarray, index: int) -> np.ndarray:
    return codes == 0 if index == 0 else (codes & (1 << (index - 1))) != 0


def _check_codes(name: str, codes: np.ndarray, structures: int) -> None:
    if codes.size == 0:
        return
    low, high = int(codes.min()), int(codes.max())
    if low < 0 or high >= 1 << structures:
        wrong = low if low < 0 else high
        raise DataError(
            f"{name} holds the code {wrong}, but codes of {structures} structures are 0 to {(1 << structures) - 1}"
        )


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
