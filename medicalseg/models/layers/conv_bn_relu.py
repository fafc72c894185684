"""Convolution, batch norm and ReLU, with PaddleSeg's names."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn


class ConvBNReLU(nn.Layer):
    """Convolution, batch norm and ReLU.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: rows and columns of the kernel.
        options: further arguments of `paddle.nn.Conv2D`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, **options: Any) -> None:
        super().__init__()
        self._conv = nn.Conv2D(in_channels, out_channels, kernel_size, **options)
        self._batch_norm = nn.BatchNorm2D(out_channels)
        self._relu = nn.ReLU()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, in_channels, H, W)."""
        return self.activated(self._conv(x))

    def activated(self, x: paddle.Tensor) -> paddle.Tensor:
        """What follows the convolution, of its output (N, out_channels, H, W)."""
        return self._relu(self._batch_norm(x))
