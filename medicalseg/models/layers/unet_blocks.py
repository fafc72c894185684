"""Blocks of U-Nets in nnU-Net's manner, for volumes and images."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from medicalseg.ops import functional as fast

SLOPE = 0.01


def convolution(
    in_channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int] | int = 1, bias: bool = True
) -> nn.Layer:
    """Convolution that keeps the size but for its stride, which rounds up; He's initial weights, biases 0."""
    layer = {2: nn.Conv2D, 3: nn.Conv3D}[len(kernel)]
    steps = stride if isinstance(stride, int) else list(stride)
    padding = [k // 2 for k in kernel]
    return layer(
        in_channels, out_channels, list(kernel), steps, padding, weight_attr=_he(), bias_attr=None if bias else False
    )


def up_convolution(in_channels: int, out_channels: int, stride: Sequence[int], bias: bool = True) -> nn.Layer:
    """Transposed convolution whose kernel is its stride."""
    layer = {2: nn.Conv2DTranspose, 3: nn.Conv3DTranspose}[len(stride)]
    bias_attr = None if bias else False
    return layer(in_channels, out_channels, list(stride), list(stride), weight_attr=_he(), bias_attr=bias_attr)


def normalization(axes: int, channels: int, scale: float = 1.0) -> nn.Layer:
    """Instance normalisation with learned scale, which starts at `scale`, and shift."""
    layer = {2: nn.InstanceNorm2D, 3: nn.InstanceNorm3D}[axes]
    return layer(channels, weight_attr=paddle.ParamAttr(initializer=nn.initializer.Constant(scale)))


def _he() -> paddle.ParamAttr:
    return paddle.ParamAttr(initializer=nn.initializer.KaimingNormal(negative_slope=SLOPE, nonlinearity="leaky_relu"))


class ConvBlock(nn.Layer):
    """Convolution, instance norm, LeakyReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int] | int = 1
    ) -> None:
        super().__init__()
        self.conv = convolution(in_channels, out_channels, kernel, stride)
        self.norm = normalization(len(kernel), out_channels)
        self.relu = nn.LeakyReLU(SLOPE)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, ...) to (N, out, ... / stride)."""
        return self.relu(self.norm(self.conv(x)))


def conv_blocks(
    count: int, in_channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int] | int = 1
) -> nn.Sequential:
    """`count` convolution blocks in a row; the first one has the stride and changes the channels."""
    first = ConvBlock(in_channels, out_channels, kernel, stride)
    return nn.Sequential(first, *(ConvBlock(out_channels, out_channels, kernel) for _ in range(count - 1)))


class ResidualBlock(nn.Layer):
    """Two convolutions beside a shortcut: average pooling for the stride, 1x1 convolution where the channels change.

    He et al. 2019 ("Bag of Tricks for Image Classification with Convolutional Neural Networks"), ResNet-D. The second
    norm's scale starts at 0, so that the block starts as its shortcut.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        axes = len(kernel)
        steps = list(stride or [1] * axes)
        self.conv1 = ConvBlock(in_channels, out_channels, kernel, steps)
        self.conv2 = convolution(out_channels, out_channels, kernel)
        self.norm2 = normalization(axes, out_channels, scale=0.0)
        self.relu = nn.LeakyReLU(SLOPE)
        shortcut: list[nn.Layer] = []
        if max(steps) > 1:
            pool = {2: nn.AvgPool2D, 3: nn.AvgPool3D}[axes]
            shortcut.append(pool(steps, steps, ceil_mode=True))
        if in_channels != out_channels:
            shortcut.append(convolution(in_channels, out_channels, [1] * axes, bias=False))
            shortcut.append(normalization(axes, out_channels))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, ...) to (N, out, ... / stride)."""
        x, shortcut = fast.fork(x)
        return self.relu(fast.add(self.norm2(self.conv2(self.conv1(x))), self.shortcut(shortcut)))


def residual_blocks(
    count: int, in_channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int]
) -> nn.Sequential:
    """`count` residual blocks in a row; the first one has the stride and changes the channels."""
    first = ResidualBlock(in_channels, out_channels, kernel, stride)
    return nn.Sequential(first, *(ResidualBlock(out_channels, out_channels, kernel) for _ in range(count - 1)))
