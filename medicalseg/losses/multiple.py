"""One loss for all heads of a network with deep supervision."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import paddle

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.losses.mixed import MixedLoss
from medicalseg.losses.resized import label_for
from medicalseg.utils.nnunet_plan import read_plan


@manager.LOSSES.add_component
class MultipleLoss(MixedLoss):
    """The same losses on every head, weighed 1, 1/2, 1/4, ... and nothing for the coarsest; the weights sum to 1.

    It is the only entry of `loss.types`, whose `coef` has one number; it gets all heads.

    Args:
        losses: what is computed on each head; their sum, times `coef`.
        coef: one number per loss.
        ignore_index: label id to leave out, for those losses that leave out none, also of a `MixedLoss` among them.
        plan_path: the plan that the network was built from: as many weights as it has poolings. None: as many as there
            are heads, so a single head weighs 1.
        stage: of that plan.

    Raises:
        ConfigError: an argument or the plan is wrong.

    Example:
        >>> from medicalseg.losses import DC_and_CE_loss
        >>> MultipleLoss([DC_and_CE_loss()], [1.0]).weights(3)
        [0.6666666666666666, 0.3333333333333333, 0.0]
    """

    of_all_heads = True

    def __init__(
        self,
        losses: Sequence[Any],
        coef: Sequence[float],
        ignore_index: int | None = 255,
        plan_path: str | os.PathLike[str] | None = None,
        stage: int | None = None,
    ) -> None:
        super().__init__(losses, coef)
        self.ignore_index = ignore_index
        for loss in self.losses.sublayers():
            if getattr(loss, "ignore_index", ignore_index) is None:
                loss.ignore_index = ignore_index
        self.poolings = None if plan_path is None else len(read_plan(plan_path).stage(stage).pools)

    def forward(self, logits: paddle.Tensor | Sequence[paddle.Tensor], label: paddle.Tensor) -> paddle.Tensor:
        """The weighted sum, a scalar.

        Args:
            logits: (N, K, ...) of each head, the finest first, or of that alone.
            label: (N, ...) class ids in the size of the first head; scaled down for the others.

        Raises:
            ConfigError: there are more heads than the plan has poolings.
        """
        heads: list[paddle.Tensor] = list(logits) if isinstance(logits, (list, tuple)) else [logits]
        total = paddle.zeros([], dtype=heads[0].dtype)
        for number, (head, weight) in enumerate(zip(heads, self.weights(len(heads)), strict=True)):
            if weight:
                own = label if number == 0 else label_for(head.shape[2:], label)
                parts = super().forward(head, own)
                total = total + weight * sum(parts[1:], parts[0])
        return total

    def weights(self, heads: int) -> list[float]:
        """The weight of each of the first `heads` heads.

        Raises:
            ConfigError: there are more heads than the plan has poolings.
        """
        count = heads if self.poolings is None else self.poolings
        if heads > count:
            raise ConfigError(
                f"MultipleLoss.plan_path: the network has {heads} heads, the plan {count} poolings; "
                "give the plan and stage that the network was built from"
            )
        shares = [0.5**number for number in range(count)]
        if count > 1:
            shares[-1] = 0.0
        return [share / sum(shares) for share in shares[:heads]]
