"""What every loss has in common."""

from __future__ import annotations

from typing import ClassVar

import paddle
from paddle import nn

from medicalseg.errors import ConfigError, DataError
from medicalseg.losses.mask_target import MaskTarget, target_of
from medicalseg.losses.rows import Row
from medicalseg.losses.sharing import remembered, sharing
from medicalseg.losses.target import Target


class SegmentationLoss(nn.Layer):
    """Base of the losses: `loss(logits, label)` is a scalar that can be differentiated.

    Logits are (N, K, X, Y, Z) or of any other number of spatial axes. Labels are class ids (N, X, Y, Z), or masks
    (N, K, X, Y, Z) of 0 and 1 of structures that may overlap; with K = 1, ids 0 and 1 are the mask. Voxels with
    `ignore_index` count nowhere and get no gradient. A batch in which every voxel is ignored has loss 0. Half-precision
    logits are computed on in float32, also inside `auto_cast`. A subclass writes `compute`.

    Args:
        ignore_index: label id to leave out; None leaves out nothing.

    Attributes:
        instead: what to use for masks, of a loss that is of a softmax whatever its arguments.
        class_weighted: name of the attribute with the class weights, which may be the word "frequency" at first.
    """

    instead: ClassVar[str] = ""
    class_weighted: ClassVar[str] = ""

    def __init__(self, ignore_index: int | None = 255) -> None:
        super().__init__()
        if ignore_index is not None and (not isinstance(ignore_index, int) or isinstance(ignore_index, bool)):
            raise ConfigError(f"{type(self).__name__}.ignore_index: needs an integer or null, got {ignore_index!r}")
        self.ignore_index = ignore_index

    def forward(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        """The loss of a batch.

        Args:
            logits: (N, K, ...) floats, before softmax or sigmoid.
            label: (N, ...) or (N, K, ...) integers.

        Raises:
            DataError: the shapes do not fit, or the label holds an id that is no class.
            ConfigError: the loss is of a softmax, and the label of masks.
        """
        if not isinstance(logits, paddle.Tensor) or logits.ndim < 3:
            raise DataError(f"{type(self).__name__} needs logits (N, K, ...), got {getattr(logits, 'shape', logits)}")
        with paddle.amp.auto_cast(enable=False):
            logits = as_floats(logits)
            target = self.target(logits, label)
            if isinstance(target, MaskTarget):
                self._refuse_masks(target)
            with sharing(self.rows()):
                return self.compute(logits, target)

    def _refuse_masks(self, target: MaskTarget) -> None:
        reason = self.refusal(getattr(self, "sigmoid_norm", True))
        if reason:
            given = "one output channel" if target.num_classes == 1 else "labels that are masks"
            raise ConfigError(f"{type(self).__name__}, with {given}: {reason}")

    @classmethod
    def refusal(cls, sigmoid_norm: bool) -> str | None:
        """Why the loss cannot take masks, and what can; None if it takes them."""
        reason = "it needs one class per voxel (softmax), not a mask per structure (sigmoid); "
        if cls.instead:
            return f"{reason}use {cls.instead}"
        return None if sigmoid_norm else f"{reason}give it sigmoid_norm: True"

    def rows(self) -> frozenset[Row]:
        """The class sums that `compute` asks for, as far as they are known beforehand."""
        return frozenset()

    def target(self, logits: paddle.Tensor, label: paddle.Tensor) -> Target:
        """The label, checked."""
        return target_of(logits, label, self.ignore_index).check()

    def compute(self, logits: paddle.Tensor, target: Target) -> paddle.Tensor:
        """The loss of float32 or float64 logits, a tensor without axes."""
        raise NotImplementedError


def as_floats(logits: paddle.Tensor) -> paddle.Tensor:
    """The logits in float32, or float64 if they are so."""
    if logits.dtype in (paddle.float32, paddle.float64):
        return logits
    return remembered((logits,), ("floats", paddle.is_grad_enabled()), lambda: logits.astype("float32"))
