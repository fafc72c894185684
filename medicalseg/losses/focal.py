"""Focal loss."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from medicalseg.cvlibs import manager
from medicalseg.losses.arguments import check_class_weights, check_number, is_number
from medicalseg.losses.base import SegmentationLoss
from medicalseg.losses.class_sums import class_sums
from medicalseg.losses.class_weights import FREQUENCY, class_weights
from medicalseg.losses.rows import Row, entropy_row
from medicalseg.losses.sums import ratio
from medicalseg.losses.target import Target


@manager.LOSSES.add_component
class FocalLoss(SegmentationLoss):
    """Mean over the voxels of -alpha (1 - p)^gamma log p, p being the softmax probability of the voxel's class.

    Lin et al. 2017 ("Focal Loss for Dense Object Detection"), for any number of classes.

    Args:
        gamma: how strongly easy voxels are discounted; 0 is cross-entropy.
        alpha: one factor for all, a list with one per class, or "auto" / "label_frequency" (see `CrossEntropyLoss`).
        ignore_index: label id to leave out.

    Raises:
        ConfigError: an argument is wrong; also, when first used, a list of another length than the classes.
    """

    def __init__(
        self, gamma: float = 2.0, alpha: float | Sequence[float] | str = 1.0, ignore_index: int | None = 255
    ) -> None:
        super().__init__(ignore_index)
        self.gamma = check_number(gamma, "FocalLoss.gamma")
        self.scale = check_number(alpha, "FocalLoss.alpha") if is_number(alpha) else 1.0
        self.alpha = None if is_number(alpha) else check_class_weights(alpha, "FocalLoss.alpha", FREQUENCY)

    def compute(self, logits: paddle.Tensor, target: Target) -> paddle.Tensor:
        """See the class."""
        row = entropy_row(self.alpha is not None, self.gamma)
        entropy = class_sums(logits, target, (row,))[row]
        weights = class_weights(self.alpha, target, logits.dtype, "FocalLoss.alpha")
        total = entropy if weights is None else weights * entropy
        return self.scale * ratio(total.sum(), target.voxels(logits.dtype))

    def rows(self) -> frozenset[Row]:
        """See `SegmentationLoss.rows`."""
        return frozenset({entropy_row(self.alpha is not None, self.gamma)})
