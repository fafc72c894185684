"""Focal loss."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle.nn import functional as F

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.losses.arguments import check_class_weights, check_number, is_number
from medicalseg.losses.base import SegmentationLoss
from medicalseg.losses.blocks import SMALLEST
from medicalseg.losses.class_sums import class_sums, masked, per_class
from medicalseg.losses.class_weights import BATCH_FREQUENCY, FREQUENCY, class_weights
from medicalseg.losses.mask_target import MaskTarget
from medicalseg.losses.rows import Row, entropy_row
from medicalseg.losses.sums import ratio
from medicalseg.losses.target import Target


@manager.LOSSES.add_component
class FocalLoss(SegmentationLoss):
    """Mean over the voxels of -alpha (1 - p)^gamma log p, p being the softmax probability of the voxel's class.

    Lin et al. 2017 ("Focal Loss for Dense Object Detection"), for any number of classes. Of masks it is the mean over
    voxels and structures, p being the sigmoid's probability of what the mask says, in or not in.

    Args:
        gamma: how strongly easy voxels are discounted; 0 is cross-entropy.
        alpha: one factor for all, a list with one per class, "frequency", or "auto" / "label_frequency" (see
            `CrossEntropyLoss`; the last two not for masks).
        ignore_index: label id to leave out.
        balance: of masks: positives weigh `balance`, negatives 1 - `balance`, as by the alpha of Lin et al.; null
            weighs both by 1.

    Raises:
        ConfigError: an argument is wrong; also, when first used, a list of another length than the classes.
    """

    class_weighted = "alpha"

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | str = 1.0,
        ignore_index: int | None = 255,
        balance: float | None = None,
    ) -> None:
        super().__init__(ignore_index)
        self.gamma = check_number(gamma, "FocalLoss.gamma")
        self.scale = check_number(alpha, "FocalLoss.alpha") if is_number(alpha) else 1.0
        self.alpha = None if is_number(alpha) else check_class_weights(alpha, "FocalLoss.alpha", FREQUENCY)
        if balance is not None and not (is_number(balance) and 0 <= balance <= 1):
            raise ConfigError(f"FocalLoss.balance: needs null or a number from 0 to 1, got {balance!r}")
        self.balance = balance

    def compute(self, logits: paddle.Tensor, target: Target) -> paddle.Tensor:
        """See the class."""
        if isinstance(target, MaskTarget):
            return self._of_masks(logits, target)
        if self.balance is not None:
            raise ConfigError("FocalLoss.balance: is for masks; give class ids an alpha with one number per class")
        row = entropy_row(self.alpha is not None, self.gamma)
        entropy = class_sums(logits, target, (row,))[row]
        weights = class_weights(self.alpha, target, logits.dtype, "FocalLoss.alpha")
        total = entropy if weights is None else weights * entropy
        return self.scale * ratio(total.sum(), target.voxels(logits.dtype))

    def _of_masks(self, logits: paddle.Tensor, target: MaskTarget) -> paddle.Tensor:
        if self.alpha in BATCH_FREQUENCY:
            raise ConfigError(f"FocalLoss.alpha: '{self.alpha}' is not for masks; give numbers, or a balance")
        positive = target.is_class()
        entropy = F.softplus(paddle.where(positive, -logits, logits))
        if target.valid is not None:
            entropy = masked(entropy, target.valid)
        if self.gamma:
            entropy = entropy * (-paddle.expm1(-entropy)).clip(min=SMALLEST) ** self.gamma
        sums = per_class(entropy)
        if self.balance is not None:
            hits = per_class(masked(entropy, positive))
            sums = self.balance * hits + (1 - self.balance) * (sums - hits)
        weights = class_weights(self.alpha, target, logits.dtype, "FocalLoss.alpha")
        total = sums if weights is None else weights * sums
        return self.scale * ratio(total.sum(), target.voxels(logits.dtype))

    def rows(self) -> frozenset[Row]:
        """See `SegmentationLoss.rows`."""
        return frozenset({entropy_row(self.alpha is not None, self.gamma)})
