"""Binary cross-entropy, one decision per class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle.nn import functional as F

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError, DataError
from medicalseg.losses.arguments import check_class_weights, check_length, check_number, is_number
from medicalseg.losses.base import SegmentationLoss
from medicalseg.losses.class_sums import masked, per_class
from medicalseg.losses.class_weights import DATA_FREQUENCY, refuse_word
from medicalseg.losses.edges import edge_map
from medicalseg.losses.mask_target import target_of
from medicalseg.losses.sums import over_ranks, ratio
from medicalseg.losses.target import split_ignored

DYNAMIC = ("dynamic",)
Weight = float | Sequence[float] | str | None


@manager.LOSSES.add_component
class BCELoss(SegmentationLoss):
    """Sigmoid cross-entropy: the mean over voxels and classes of -w (v t log p + (1 - t) log(1 - p)).

    Labels are ids (N, ...), made one-hot, or, for overlapping classes, 0 and 1 for each class (N, K, ...). With one
    class, ids are 0 and 1.

    Args:
        weight: w: a number, a list with one per class, "frequency" (see `frequency_weights`), or "dynamic":
            2 neg / (pos + neg) for positives and 2 pos / (pos + neg) for negatives, counted in the batch; null is 1.
        pos_weight: v: a number, a list with one per class, or "dynamic": 2 neg / (pos + neg); null is 1.
        ignore_index: label id to leave out.
        edge_label: learn the borders between classes: the target is 1 in voxels that touch, by a face, a voxel of
            another class; needs a network with one output channel.
        log_floor: log p and log(1 - p) are not taken lower, so that a voxel beyond it has no gradient; null: as they
            are.

    Raises:
        ConfigError: an argument is wrong; also, when first used, a list of another length than the classes.
    """

    class_weighted = "weight"

    def __init__(
        self,
        weight: Weight = None,
        pos_weight: Weight = None,
        ignore_index: int | None = 255,
        edge_label: bool = False,
        log_floor: float | None = None,
    ) -> None:
        super().__init__(ignore_index)
        self.weight = _check(weight, "BCELoss.weight", (*DYNAMIC, DATA_FREQUENCY))
        self.pos_weight = _check(pos_weight, "BCELoss.pos_weight", DYNAMIC)
        self.edge_label = edge_label
        if log_floor is not None and not (is_number(log_floor) and log_floor < 0):
            raise ConfigError(f"BCELoss.log_floor: needs null or a number below 0, got {log_floor!r}")
        self.log_floor = log_floor

    def target(self, logits: paddle.Tensor, label: paddle.Tensor) -> Any:
        """Pair of bool tensors (N, K, ...): positives, and voxels to count (None: all)."""
        if self.edge_label:
            return self._edge_target(logits, label)
        target = target_of(logits, label, self.ignore_index).check()
        return target.is_class(), None if target.counted is None else target.counted.expand_as(logits)

    def _edge_target(self, logits: paddle.Tensor, label: paddle.Tensor) -> Any:
        if logits.shape[1] != 1:
            raise ConfigError(f"BCELoss.edge_label: needs a network with 1 output channel, not {logits.shape[1]}")
        squeezed = label.squeeze(1) if label.ndim == logits.ndim else label
        if list(squeezed.shape) != [logits.shape[0], *logits.shape[2:]]:
            raise DataError(f"logits of shape {list(logits.shape)} do not fit a label of shape {list(label.shape)}")
        ids, valid = split_ignored(squeezed, self.ignore_index)
        return edge_map(ids, valid).unsqueeze(1), None if valid is None else valid.unsqueeze(1)

    def compute(self, logits: paddle.Tensor, target: Any) -> paddle.Tensor:
        """See the class; `target` is what the method of that name returns."""
        positive, valid = target
        loss = F.softplus(paddle.where(positive, -logits, logits))
        if self.log_floor is not None:
            loss = loss.clip(max=-self.log_floor)
        if valid is not None:
            loss = masked(loss, valid)
        dtype, whole = loss.dtype, float(loss.size)
        counted = paddle.full([1], whole, dtype) if valid is None else _count(valid, dtype)
        if self.weight is None and self.pos_weight is None:
            return ratio(loss.sum(), counted)
        hits, misses = self._factors(positive, counted, int(logits.shape[1]), dtype)
        on_positive = per_class(masked(loss, positive))
        total = hits * on_positive + misses * (per_class(loss) - on_positive)
        return ratio(total.sum(), counted)

    def _factors(
        self, positive: paddle.Tensor, counted: paddle.Tensor, classes: int, dtype: paddle.dtype
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """(K,) factors of positives and of negatives."""
        refuse_word(self.weight, "BCELoss.weight")
        hits = misses = paddle.ones([classes], dtype)
        positives, voxels = paddle.split(over_ranks(paddle.concat([_count(positive, dtype), counted])), 2)
        share = positives / voxels.clip(min=1)
        if isinstance(self.weight, str):
            hits, misses = hits * 2 * (1 - share), misses * 2 * share
        elif self.weight is not None:
            hits = misses = _vector(self.weight, classes, dtype, "BCELoss.weight")
        if isinstance(self.pos_weight, str):
            hits = hits * 2 * (1 - share)
        elif self.pos_weight is not None:
            hits = hits * _vector(self.pos_weight, classes, dtype, "BCELoss.pos_weight")
        return hits, misses


def _check(value: Weight, name: str, words: Sequence[str]) -> float | list[float] | str | None:
    return check_number(value, name) if is_number(value) else check_class_weights(value, name, words)


def _vector(value: float | list[float], classes: int, dtype: paddle.dtype, name: str) -> paddle.Tensor:
    if isinstance(value, float):
        return paddle.full([classes], value, dtype)
    check_length(value, classes, name)
    return paddle.to_tensor(value, dtype=dtype)


def _count(mask: paddle.Tensor, dtype: paddle.dtype) -> paddle.Tensor:
    return mask.astype("int64").sum().reshape([1]).astype(dtype)
