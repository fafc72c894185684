"""A batch of labels, checked against the logits and ready for the losses."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import paddle

from medicalseg.errors import DataError
from medicalseg.losses.sharing import remembered
from medicalseg.utils.arrays import host_array

IGNORED = -1
FEW = 8
INTEGERS = (paddle.int64, paddle.int32, paddle.int16, paddle.int8, paddle.uint8, paddle.bool)


class Target:
    """Labels of a batch.

    Args:
        label: (N, ...) of any integer kind.
        num_classes: K.
        ignore_index: label id to leave out; None leaves out nothing.

    Attributes:
        label: the same.
        num_classes: the same.
        ignore_index: the same.
        wrong: an id that is no class of the network, or None.
        background: how many of the classes are background.
    """

    background = 1

    def __init__(self, label: paddle.Tensor, num_classes: int, ignore_index: int | None) -> None:
        self.label, self.num_classes, self.ignore_index = label, num_classes, ignore_index
        self._counts, self._counted, self.wrong = _count(host_array(label).reshape(-1), num_classes, ignore_index)

    @classmethod
    def of(cls, logits: paddle.Tensor, label: paddle.Tensor, ignore_index: int | None) -> Target:
        """The label (N, ...) or (N, 1, ...) of logits (N, K, ...); ids that are no class are left to `check`.

        Raises:
            DataError: shapes differ, or the label is not of integers.
        """
        shape = tuple(logits.shape)
        return remembered((label,), (shape, ignore_index), lambda: cls._of(shape, label, ignore_index))

    @classmethod
    def _of(cls, shape: tuple[int, ...], label: paddle.Tensor, ignore_index: int | None) -> Target:
        given = label.squeeze(1) if label.ndim == len(shape) and label.shape[1] == 1 else label
        expected = [shape[0], *shape[2:]]
        if list(given.shape) != expected:
            raise DataError(
                f"logits (N, K, ...) of shape {list(shape)} need a label of shape {expected}, got {list(given.shape)}"
            )
        check_integers(given)
        return cls(given, shape[1], ignore_index)

    def check(self) -> Target:
        """The target itself.

        Raises:
            DataError: an id is not a class of the network.
        """
        if self.wrong is None:
            return self
        ignored = "nothing is ignored" if self.ignore_index is None else f"{self.ignore_index} is ignored"
        raise DataError(
            f"the label holds id {self.wrong}, but the classes are 0 to {max(self.num_classes, 2) - 1} and {ignored}; "
            "correct num_classes, ignore_index or the labels"
        )

    @property
    def any_ignored(self) -> bool:
        """Whether a voxel is left out."""
        return self._counted < int(self.label.size)

    @cached_property
    def ids(self) -> paddle.Tensor:
        """(N, ...) int64 class ids; ignored voxels hold -1."""
        ids = self.label.astype("int64")
        return ids if self.valid is None else paddle.where(self.valid, ids, paddle.full_like(ids, IGNORED))

    @cached_property
    def valid(self) -> paddle.Tensor | None:
        """(N, ...) bool, False where ignored; None when nothing is ignored."""
        return self.label.astype("int64") != self.ignore_index if self.any_ignored else None

    @property
    def filled(self) -> paddle.Tensor:
        """Ids with class 0 in the ignored voxels."""
        return self.ids if self.valid is None else self.ids.clip(min=0)

    @property
    def counted(self) -> paddle.Tensor | None:
        """Bool that broadcasts to (N, K, ...), False where ignored; None when nothing is ignored."""
        return None if self.valid is None else self.valid.unsqueeze(1)

    def is_class(self) -> paddle.Tensor:
        """(N, K, ...) bool one-hot; all False in ignored voxels."""
        classes = paddle.arange(self.num_classes, dtype=self.ids.dtype)
        return self.ids.unsqueeze(1) == classes.reshape([1, -1] + [1] * (self.ids.ndim - 1))

    def class_counts(self, dtype: paddle.dtype) -> paddle.Tensor:
        """(K,) voxels of each class."""
        return paddle.to_tensor(self._counts, dtype=dtype)

    def image_counts(self, dtype: paddle.dtype) -> paddle.Tensor:
        """(N, K) voxels of each class in each image."""
        return paddle.to_tensor(np.stack([counts for counts, _, _ in self._images]), dtype=dtype)

    def image_voxels(self, dtype: paddle.dtype) -> paddle.Tensor:
        """(N,) number of voxels of each image that are not ignored."""
        return paddle.to_tensor([counted for _, counted, _ in self._images], dtype=dtype)

    @cached_property
    def _images(self) -> list[tuple[np.ndarray, int, int | None]]:
        return [_count(image.reshape(-1), self.num_classes, self.ignore_index) for image in host_array(self.label)]

    def voxels(self, dtype: paddle.dtype) -> paddle.Tensor:
        """(1,) number of voxels that are not ignored."""
        return paddle.full([1], float(self._counted), dtype)


def _count(ids: np.ndarray, num_classes: int, ignore_index: int | None) -> tuple[np.ndarray, int, int | None]:
    """(K,) voxels of each class, the number that is not ignored, and an id that is no class."""
    if num_classes <= FEW and ignore_index not in range(num_classes):
        counts = _count_each(ids, num_classes)
        if counts.sum() == ids.size:
            return counts, ids.size, None
    low, high = _extent(ids)
    if ignore_index is not None and low <= ignore_index <= high:
        ids = ids[ids != ignore_index]
        low, high = _extent(ids)
    wrong = low if low < 0 else high if high >= max(num_classes, 2) else None
    if wrong is not None:
        return _count_each(ids, num_classes), ids.size, wrong
    return np.bincount(ids, minlength=num_classes)[:num_classes], ids.size, None


def _count_each(ids: np.ndarray, num_classes: int) -> np.ndarray:
    return np.array([np.count_nonzero(ids == index) for index in range(num_classes)])


def _extent(ids: np.ndarray) -> tuple[int, int]:
    return (int(ids.min()), int(ids.max())) if ids.size else (0, 0)


def check_integers(label: paddle.Tensor) -> None:
    """Refuse a label of other numbers.

    Raises:
        DataError: it is not of an integer kind.
    """
    if label.dtype not in INTEGERS:
        raise DataError(f"the label has type {label.dtype}; it must be of integers, one class id per voxel")


def split_ignored(label: paddle.Tensor, ignore_index: int | None) -> tuple[paddle.Tensor, paddle.Tensor | None]:
    """The label as int64 with -1 in the voxels to ignore; also returns where they are not, None if there are none.

    Raises:
        DataError: the label is not of an integer kind.
    """
    check_integers(label)
    label = label.astype("int64")
    if ignore_index is None:
        return label, None
    valid = label != ignore_index
    if bool(valid.all().item()):
        return label, None
    return paddle.where(valid, label, paddle.full_like(label, IGNORED)), valid
