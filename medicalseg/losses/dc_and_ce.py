"""Dice and cross-entropy under PaddleSeg3D's name, arguments and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import paddle

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.losses.dice_ce import DiceCELoss
from medicalseg.losses.target import Target

ENTROPY_KEYS = ("weight", "ignore_index")
LEAST_DICE = 1e-8


@manager.LOSSES.add_component
class DC_and_CE_loss(DiceCELoss):  # noqa: N801 - PaddleSeg3D's name
    """weight_ce * cross-entropy - weight_dice * mean soft Dice of the softmax, nnU-Net's first loss.

    It differs from `DiceCELoss` by a constant, -weight_dice (a perfect prediction has -1), by the arguments' names, and
    in what it leaves out by default: nothing, not 255. In a configuration both leave out what the dataset says.

    Args:
        batch_dice: Dice of the whole batch; false: of each image, then their mean.
        smooth: of the Dice, in voxels.
        do_bg: whether class 0 counts in the Dice.
        ce_kwargs: `weight`, class weights of the cross-entropy, and `ignore_index`, which means `ignore_label`.
        reduction: "sum", the only one there is.
        square_dice: Σ p² rather than Σ p in the Dice's denominator; without effect in PaddleSeg3D.
        weight_ce: factor of the cross-entropy.
        weight_dice: factor of the Dice.
        log_dice: -log of the mean Dice instead of its negative.
        ignore_label: label id to leave out.

    Raises:
        ConfigError: an argument is wrong.
    """

    def __init__(
        self,
        batch_dice: bool = True,
        smooth: float = 1e-5,
        do_bg: bool = False,
        ce_kwargs: Mapping[str, Any] | None = MappingProxyType({}),
        reduction: str = "sum",
        square_dice: bool = False,
        weight_ce: float = 1,
        weight_dice: float = 1,
        log_dice: bool = False,
        ignore_label: int | None = None,
    ) -> None:
        entropy = _entropy_arguments(ce_kwargs)
        if reduction != "sum":
            raise ConfigError(f"DC_and_CE_loss.reduction: only 'sum' exists, got {reduction!r}")
        other = entropy.get("ignore_index")
        ignored = other if ignore_label is None else ignore_label
        if other not in (None, ignored):
            raise ConfigError(
                f"DC_and_CE_loss.ce_kwargs.ignore_index: {other} differs from ignore_label, {ignored} "
                "(the dataset's ignore_index, if that is not written); give both one value"
            )
        super().__init__(
            weight_dice=weight_dice,
            weight_ce=weight_ce,
            weight=entropy.get("weight"),
            ignore_index=ignored,
            include_background=bool(do_bg),
            smooth=smooth,
            squared=bool(square_dice),
            per_image=not batch_dice,
        )
        self.log_dice = bool(log_dice)

    def compute(self, logits: paddle.Tensor, target: Target) -> paddle.Tensor:
        """See the class."""
        total = super().compute(logits, target)
        counts = (target.voxels(logits.dtype) > 0).astype(logits.dtype).sum()
        if not self.log_dice:
            return total - self.weight_dice * counts
        loss = self.dice.compute(logits, target)
        return total - self.weight_dice * (loss + counts * (1 - loss).clip(min=LEAST_DICE).log())


def _entropy_arguments(given: Mapping[str, Any] | None) -> dict[str, Any]:
    entropy = dict(given or {})
    unknown = [key for key in entropy if key not in ENTROPY_KEYS]
    if unknown:
        raise ConfigError(f"DC_and_CE_loss.ce_kwargs: '{unknown[0]}' is unknown; allowed: {', '.join(ENTROPY_KEYS)}")
    return entropy
