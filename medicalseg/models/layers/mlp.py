"""The feed-forward part of a transformer's block."""

from __future__ import annotations

import paddle
from paddle import nn


class Mlp(nn.Layer):
    """Two linear layers with a GELU between, and dropout behind both.

    Args:
        features: numbers of a token.
        hidden: numbers between the layers.
        drop: rate of the dropout.
    """

    def __init__(self, features: int, hidden: int, drop: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, features)
        self.drop = nn.Dropout(drop)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(..., features) to the same shape."""
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))
