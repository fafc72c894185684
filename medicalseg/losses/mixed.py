"""A weighted list of losses on the same logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.losses.arguments import is_number
from medicalseg.losses.base import SegmentationLoss
from medicalseg.losses.rows import Row
from medicalseg.losses.sharing import sharing


@manager.LOSSES.add_component
class MixedLoss(nn.Layer):
    """Several losses, each with its coefficient; the result is their list, so that logs can show the parts.

    Args:
        losses: the losses.
        coef: one number per loss.

    Raises:
        ConfigError: the lists differ in length or hold something else.

    Example:
        >>> from medicalseg.losses import CrossEntropyLoss, DiceLoss
        >>> mixed = MixedLoss([CrossEntropyLoss(), DiceLoss()], [1.0, 1.0])
        >>> len(mixed(paddle.zeros([1, 2, 4]), paddle.zeros([1, 4], dtype="int64")))
        2
    """

    def __init__(self, losses: Sequence[Any], coef: Sequence[float]) -> None:
        super().__init__()
        name = type(self).__name__
        if not isinstance(losses, (list, tuple)) or not losses or not all(callable(loss) for loss in losses):
            raise ConfigError(f"{name}.losses: needs a list of losses, got {losses!r}")
        if not isinstance(coef, (list, tuple)) or not all(map(is_number, coef)):
            raise ConfigError(f"{name}.coef: needs a list of numbers, got {coef!r}")
        if len(losses) != len(coef):
            raise ConfigError(f"{name}.coef: has {len(coef)} numbers for {len(losses)} losses")
        self.losses = nn.LayerList(losses)
        self.coef = [float(factor) for factor in coef]

    def forward(self, logits: paddle.Tensor, label: paddle.Tensor) -> list[paddle.Tensor]:
        """The losses times their coefficients; arguments as in `SegmentationLoss.forward`."""
        with sharing(self.rows()):
            return [
                factor * part
                for loss, factor in zip(self.losses, self.coef, strict=True)
                for part in as_list(loss(logits, label))
            ]

    def rows(self) -> frozenset[Row]:
        """See `SegmentationLoss.rows`."""
        return frozenset().union(*(loss.rows() for loss in self.losses if isinstance(loss, SegmentationLoss)))


def as_list(value: Any) -> list[paddle.Tensor]:
    """A loss's result as a list of scalars."""
    return list(value) if isinstance(value, (list, tuple)) else [value]
