"""Stochastic depth."""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.models.layers.arguments import rate as checked_rate


class DropPath(nn.Layer):
    """Drops a residual branch for whole samples in training, and scales those that stay by 1 / (1 - rate).

    Huang et al. 2016, "Deep Networks with Stochastic Depth".

    Args:
        rate: probability of dropping a sample, from 0 to below 1.

    Raises:
        ConfigError: the rate is out of range.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = checked_rate("drop_path_rate", rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, ...) with some samples 0."""
        return F.dropout(x, self.rate, axis=0, training=True) if self.training and self.rate else x

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"rate={self.rate}"


def rising_rates(last: float, count: int) -> list[float]:
    """Drop rates of `count` blocks, rising linearly from 0 to `last`.

    Example:
        >>> rising_rates(0.1, 3)
        [0.0, 0.05, 0.1]
    """
    return [last * index / max(count - 1, 1) for index in range(count)]
