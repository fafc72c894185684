"""A batch of labels, checked against the logits and ready for the losses."""

from __future__ import annotations

from dataclasses import dataclass

import paddle

from medicalseg.errors import DataError

IGNORED = -1


@dataclass(frozen=True)
class Target:
    """Labels of a batch.

    Attributes:
        ids: (N, ...) int64 class ids; ignored voxels hold -1.
        valid: (N, ...) bool, False where ignored; None when nothing is ignored.
        num_classes: K.
    """

    ids: paddle.Tensor
    valid: paddle.Tensor | None
    num_classes: int

    @classmethod
    def of(cls, logits: paddle.Tensor, label: paddle.Tensor, ignore_index: int | None) -> Target:
        """Check `label` (N, ...) or (N, 1, ...) against `logits` (N, K, ...).

        Raises:
            DataError: shapes differ, the label is not of integers, or an id is not a class of the network.
        """
        if label.ndim == logits.ndim and label.shape[1] == 1:
            label = label.squeeze(1)
        expected = [logits.shape[0], *logits.shape[2:]]
        if list(label.shape) != expected:
            raise DataError(
                f"logits (N, K, ...) of shape {list(logits.shape)} need a label of shape {expected}, "
                f"got {list(label.shape)}"
            )
        ids, valid = split_ignored(as_integers(label), ignore_index)
        num_classes = max(int(logits.shape[1]), 2)
        _check_ids(ids, valid, num_classes, ignore_index)
        return cls(ids, valid, int(logits.shape[1]))

    @property
    def filled(self) -> paddle.Tensor:
        """Ids with class 0 in the ignored voxels."""
        return self.ids if self.valid is None else self.ids.clip(min=0)

    def is_class(self) -> paddle.Tensor:
        """(N, K, ...) bool one-hot; all False in ignored voxels."""
        classes = paddle.arange(self.num_classes, dtype=self.ids.dtype)
        return self.ids.unsqueeze(1) == classes.reshape([1, -1] + [1] * (self.ids.ndim - 1))

    def class_counts(self, dtype: paddle.dtype) -> paddle.Tensor:
        """(K,) voxels of each class."""
        counts = paddle.bincount(self.ids.flatten() - IGNORED, minlength=self.num_classes + 1)
        return counts[1 : self.num_classes + 1].astype(dtype)

    def voxels(self, dtype: paddle.dtype) -> paddle.Tensor:
        """(1,) number of voxels that are not ignored."""
        if self.valid is None:
            return paddle.full([1], float(self.ids.size), dtype)
        return self.valid.astype("int64").sum().reshape([1]).astype(dtype)


def as_integers(label: paddle.Tensor) -> paddle.Tensor:
    """The label as int64.

    Raises:
        DataError: it is not of an integer kind.
    """
    if label.dtype not in (paddle.int64, paddle.int32, paddle.int16, paddle.int8, paddle.uint8, paddle.bool):
        raise DataError(f"the label has type {label.dtype}; it must be of integers, one class id per voxel")
    return label.astype("int64")


def split_ignored(label: paddle.Tensor, ignore_index: int | None) -> tuple[paddle.Tensor, paddle.Tensor | None]:
    """Put -1 into the voxels to ignore; also returns where they are not, None if there are none."""
    if ignore_index is None:
        return label, None
    valid = label != ignore_index
    if bool(valid.all().item()):
        return label, None
    return paddle.where(valid, label, paddle.full_like(label, IGNORED)), valid


def _check_ids(ids: paddle.Tensor, valid: paddle.Tensor | None, num_classes: int, ignore_index: int | None) -> None:
    inside = ids if valid is None else paddle.where(valid, ids, paddle.zeros_like(ids))
    low, high = int(inside.min().item()), int(inside.max().item())
    if low >= 0 and high < num_classes:
        return
    wrong = low if low < 0 else high
    ignored = "nothing is ignored" if ignore_index is None else f"{ignore_index} is ignored"
    raise DataError(
        f"the label holds id {wrong}, but the classes are 0 to {num_classes - 1} and {ignored}; "
        "correct num_classes, ignore_index or the labels"
    )
