"""A batch of masks of structures that may overlap, checked against the logits and ready for the losses."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import paddle

from medicalseg.errors import DataError
from medicalseg.losses.sharing import remembered
from medicalseg.losses.target import Target, check_integers
from medicalseg.utils.arrays import host_array


class MaskTarget(Target):
    """Masks of a batch: a class is a structure, and each of its voxels is in it, or not, or ignored.

    Args:
        label: (N, K, ...) of any integer kind, of 0, 1 and `ignore_index`.
        ignore_index: value to leave out; None leaves out nothing.

    Attributes:
        wrong: a value that is none of these, or None.
    """

    background = 0

    def __init__(self, label: paddle.Tensor, ignore_index: int | None) -> None:
        self.label, self.num_classes, self.ignore_index = label, int(label.shape[1]), ignore_index
        masks = host_array(label).reshape(*label.shape[:2], -1)
        ignored = np.zeros(masks.shape[:2], np.int64) if ignore_index is None else _count(masks, ignore_index)
        positives, negatives = (ignored * 0 if ignore_index == value else _count(masks, value) for value in (1, 0))
        self._positives, self._known = positives, masks.shape[2] - ignored
        self._counts, self._counted = positives.sum(axis=0), int(self._known.sum())
        self.wrong = None
        if (positives + negatives < self._known).any():
            self.wrong = next(int(value) for value in np.unique(masks) if value not in (0, 1, ignore_index))

    def check(self) -> MaskTarget:
        """The target itself.

        Raises:
            DataError: a value is neither 0 nor 1 nor ignored.
        """
        if self.wrong is None:
            return self
        raise DataError(
            f"the label holds {self.wrong}; a label with an axis of classes, or for a network with one output channel, "
            f"must hold 0, 1 and ignore_index only (ignore_index is {self.ignore_index})"
        )

    @cached_property
    def valid(self) -> paddle.Tensor | None:
        """(N, K, ...) bool, False where ignored; None when nothing is ignored."""
        return self.label.astype("int32") != self.ignore_index if self.any_ignored else None

    @property
    def counted(self) -> paddle.Tensor | None:
        """See `Target.counted`."""
        return self.valid

    def is_class(self) -> paddle.Tensor:
        """(N, K, ...) bool; False in ignored voxels."""
        positive = self.label.astype("int32") == 1
        return positive if self.valid is None else positive & self.valid

    def image_counts(self, dtype: paddle.dtype) -> paddle.Tensor:
        """(N, K) voxels of each structure in each image."""
        return paddle.to_tensor(self._positives, dtype=dtype)

    def image_voxels(self, dtype: paddle.dtype) -> paddle.Tensor:
        """(N,) number of values of each image that are not ignored."""
        return paddle.to_tensor(self._known.sum(axis=1), dtype=dtype)


def target_of(logits: paddle.Tensor, label: paddle.Tensor, ignore_index: int | None) -> Target:
    """The target of logits (N, K, ...): ids of a label (N, ...) or (N, 1, ...), masks of a label (N, K, ...).

    For a network with one output channel ids 0 and 1 are the mask. Values that are wrong are left to `check`.

    Raises:
        DataError: shapes differ, or the label is not of integers.
    """
    shape = list(logits.shape)
    if shape[1] == 1 or (label.ndim == len(shape) and label.shape[1] != 1):
        return remembered((label,), ("masks", *shape, ignore_index), lambda: _masks(shape, label, ignore_index))
    return Target.of(logits, label, ignore_index)


def _masks(shape: list[int], label: paddle.Tensor, ignore_index: int | None) -> MaskTarget:
    given = label.unsqueeze(1) if label.ndim == len(shape) - 1 else label
    if list(given.shape) != shape:
        raise DataError(f"logits of shape {shape} do not fit a label of shape {list(label.shape)}")
    check_integers(given)
    return MaskTarget(given, ignore_index)


def _count(masks: np.ndarray, value: int) -> np.ndarray:
    """(N, K) how often (N, K, V) holds a value."""
    return np.asarray(np.count_nonzero(masks == value, axis=2), np.int64)
