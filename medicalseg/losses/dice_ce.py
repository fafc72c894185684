"""Dice and cross-entropy together."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from medicalseg.cvlibs import manager
from medicalseg.losses.arguments import check_number
from medicalseg.losses.base import SegmentationLoss
from medicalseg.losses.class_sums import class_sums
from medicalseg.losses.cross_entropy import CrossEntropyLoss
from medicalseg.losses.dice import DiceLoss
from medicalseg.losses.rows import Row
from medicalseg.losses.target import Target


@manager.LOSSES.add_component
class DiceCELoss(SegmentationLoss):
    """weight_dice * DiceLoss + weight_ce * CrossEntropyLoss, with nnU-Net's defaults (Isensee et al. 2021).

    Args:
        weight_dice: factor of the Dice loss.
        weight_ce: factor of the cross-entropy.
        weight: class weights of the cross-entropy, see `CrossEntropyLoss`.
        sigmoid_norm: Dice of the sigmoid; False: of the softmax.
        ignore_index: label id to leave out.
        include_background: whether class 0 counts in the Dice.
        smooth: of the Dice, in voxels.
        squared: Dice with Σ p² rather than Σ p in the denominator.
        per_image: Dice of each image, then their mean; False: of the whole batch (nnU-Net's batch Dice).

    Raises:
        ConfigError: an argument is wrong.
    """

    instead = "a MixedLoss of DiceLoss and BCELoss"

    def __init__(
        self,
        weight_dice: float = 1.0,
        weight_ce: float = 1.0,
        weight: Sequence[float] | str | None = None,
        sigmoid_norm: bool = False,
        ignore_index: int | None = 255,
        include_background: bool = False,
        smooth: float = 1e-5,
        squared: bool = False,
        per_image: bool = False,
    ) -> None:
        super().__init__(ignore_index)
        name = type(self).__name__
        self.weight_dice = check_number(weight_dice, f"{name}.weight_dice")
        self.weight_ce = check_number(weight_ce, f"{name}.weight_ce")
        self.dice = DiceLoss(sigmoid_norm, None, ignore_index, include_background, smooth, squared, per_image)
        self.cross_entropy = CrossEntropyLoss(weight, ignore_index)

    def compute(self, logits: paddle.Tensor, target: Target) -> paddle.Tensor:
        """See the class."""
        if self.dice.per_image:
            rows = self.dice.image_rows() | self.cross_entropy.rows()
            class_sums(logits, target, rows, per_image=True)
        dice = self.dice.compute(logits, target)
        return self.weight_dice * dice + self.weight_ce * self.cross_entropy.compute(logits, target)

    def rows(self) -> frozenset[Row]:
        """See `SegmentationLoss.rows`."""
        return self.dice.rows() | self.cross_entropy.rows()
