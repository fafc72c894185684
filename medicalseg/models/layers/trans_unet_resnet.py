"""Blocks of TransUNet's ResNet: weight-standardised convolutions and group norm."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.ops import convolution_layers
from medicalseg.ops.layers import add_accelerated

WEIGHT_EPSILON = 1e-5
NORM_EPSILON = 1e-6
GROUPS = 32
EXPANSION = 4


class StandardizedConv2D(nn.Conv2D):
    """A convolution without bias whose filters are brought to mean 0 and variance 1 before they are applied.

    Qiao et al. 2019, "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization".

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: rows and columns of the kernel.
        stride: of the kernel.
        padding: rows and columns of 0 on every side.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H', W')."""
        return F.conv2d(x, self.standardized(), None, self._stride, self._padding)

    def standardized(self) -> paddle.Tensor:
        """The filters that are applied, (out_channels, in_channels, kernel_size, kernel_size)."""
        centred = self.weight - self.weight.mean([1, 2, 3], keepdim=True)
        variance = centred.square().mean([1, 2, 3], keepdim=True)
        return centred * paddle.rsqrt(variance + WEIGHT_EPSILON)

    def deployed(self) -> nn.Conv2D:
        """The ordinary convolution that computes the same, for export: its filters are not computed in every run."""
        outputs, inputs, *kernel = self.weight.shape
        layer = nn.Conv2D(inputs, outputs, kernel, self._stride, self._padding, bias_attr=False)
        with paddle.no_grad():
            layer.weight.set_value(self.standardized())
        return layer


class FastStandardizedConv2D(convolution_layers.Conv2D, StandardizedConv2D):
    """`StandardizedConv2D` through oneDNN."""

    def filters(self) -> paddle.Tensor:
        """See `StandardizedConv2D.standardized`."""
        return self.standardized()


add_accelerated(StandardizedConv2D, FastStandardizedConv2D)


def group_norm(channels: int, groups: int = GROUPS, epsilon: float = NORM_EPSILON) -> nn.GroupNorm:
    """Group norm with learned scale and shift."""
    return nn.GroupNorm(groups, channels, epsilon)


class Bottleneck(nn.Layer):
    """Three convolutions (1x1, 3x3, 1x1) beside a shortcut, which has one of its own where size or channels change.

    He et al. 2016, "Deep Residual Learning for Image Recognition", with group norm in place of batch norm.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: of the 3x3 convolution and of the shortcut's.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        middle = out_channels // EXPANSION
        self.gn1 = group_norm(middle)
        self.conv1 = StandardizedConv2D(in_channels, middle, 1)
        self.gn2 = group_norm(middle)
        self.conv2 = StandardizedConv2D(middle, middle, 3, stride, padding=1)
        self.gn3 = group_norm(out_channels)
        self.conv3 = StandardizedConv2D(middle, out_channels, 1)
        self.relu = nn.ReLU()
        self.projected = stride != 1 or in_channels != out_channels
        if self.projected:
            self.downsample = StandardizedConv2D(in_channels, out_channels, 1, stride)
            self.gn_proj = group_norm(out_channels, out_channels, epsilon=1e-5)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        shortcut = self.gn_proj(self.downsample(x)) if self.projected else x
        x = self.relu(self.gn1(self.conv1(x)))
        x = self.relu(self.gn2(self.conv2(x)))
        return self.relu(shortcut + self.gn3(self.conv3(x)))


class Root(nn.Layer):
    """The first layers: a 7x7 convolution of stride 2, group norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = StandardizedConv2D(in_channels, out_channels, 7, stride=2, padding=3)
        self.gn = group_norm(out_channels)
        self.relu = nn.ReLU()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / 2, W / 2)."""
        return self.relu(self.gn(self.conv(x)))


def stage(count: int, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """`count` bottlenecks named unit1, unit2, ...; the first has the stride and changes the channels."""
    units: list[Any] = [("unit1", Bottleneck(in_channels, out_channels, stride))]
    units += [(f"unit{number}", Bottleneck(out_channels, out_channels)) for number in range(2, count + 1)]
    return nn.Sequential(*units)
