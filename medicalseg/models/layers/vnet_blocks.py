"""Blocks of VNet; names and creation order are those of the published checkpoints."""

from __future__ import annotations

import paddle
from paddle import nn

from medicalseg.models.layers.sizes import Triple
from medicalseg.ops import functional as fast

DROPOUT = 0.5


def activation(elu: bool, channels: int) -> nn.Layer:
    """ELU, or PReLU with one slope per channel."""
    return nn.ELU() if elu else nn.PReLU(channels)


def conv5(in_channels: int, out_channels: int) -> nn.Conv3D:
    """5x5x5 convolution that keeps the size."""
    return nn.Conv3D(in_channels, out_channels, kernel_size=5, padding=2)


class LUConv(nn.Layer):
    """5x5x5 convolution, batch norm, activation."""

    def __init__(self, channels: int, elu: bool) -> None:
        super().__init__()
        self.relu1 = activation(elu, channels)
        self.conv1 = conv5(channels, channels)
        self.bn1 = nn.BatchNorm3D(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Same shape as `x`."""
        return self.relu1(self.bn1(self.conv1(x)))


def convolutions(channels: int, count: int, elu: bool) -> nn.Sequential:
    """`count` LUConv blocks in a row."""
    return nn.Sequential(*(LUConv(channels, elu) for _ in range(count)))


class InputTransition(nn.Layer):
    """From the image's channels to `out_channels`; the image itself, repeated, is the shortcut."""

    def __init__(self, in_channels: int, out_channels: int, elu: bool) -> None:
        super().__init__()
        self.repeats = out_channels // in_channels
        self.conv1 = conv5(in_channels, out_channels)
        self.bn1 = nn.BatchNorm3D(out_channels)
        self.relu1 = activation(elu, out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, X, Y, Z) to (N, out, X, Y, Z)."""
        out = self.bn1(self.conv1(x))
        return self.relu1(fast.add(out, paddle.tile(x, [1, self.repeats, 1, 1, 1])))


class DownTransition(nn.Layer):
    """Strided convolution that doubles the channels, then residual convolutions."""

    def __init__(
        self, in_channels: int, count: int, elu: bool, kernel: Triple, stride: Triple, dropout: bool = False
    ) -> None:
        super().__init__()
        out_channels = 2 * in_channels
        self.down_conv = nn.Conv3D(in_channels, out_channels, kernel_size=list(kernel), stride=list(stride))
        self.bn1 = nn.BatchNorm3D(out_channels)
        self.relu1 = activation(elu, out_channels)
        self.relu2 = activation(elu, out_channels)
        self.dropout = nn.Dropout3D(DROPOUT) if dropout else nn.Identity()
        self.ops = convolutions(out_channels, count, elu)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, X, Y, Z) to (N, 2C, ...) at the next coarser size."""
        down, shortcut = fast.fork(self.relu1(self.bn1(self.down_conv(x))))
        return self.relu2(fast.add(self.ops(self.dropout(down)), shortcut))


class UpTransition(nn.Layer):
    """Transposed convolution to half of `out_channels`, concatenation with the skip, residual convolutions."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        count: int,
        elu: bool,
        kernel: Triple,
        stride: Triple,
        dropout: bool = False,
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.up_conv = nn.Conv3DTranspose(in_channels, half, kernel_size=list(kernel), stride=list(stride))
        self.bn1 = nn.BatchNorm3D(half)
        self.relu1 = activation(elu, half)
        self.relu2 = activation(elu, out_channels)
        self.dropout = nn.Dropout3D(DROPOUT) if dropout else nn.Identity()
        self.dropout_skip = nn.Dropout3D(DROPOUT) if dropout else nn.Identity()
        self.ops = convolutions(out_channels, count, elu)

    def forward(self, x: paddle.Tensor, skip: paddle.Tensor) -> paddle.Tensor:
        """Coarse (N, in, ...) and skip (N, out / 2, X, Y, Z) to (N, out, X, Y, Z)."""
        x, skip = self.dropout(x), self.dropout_skip(skip)
        up = self.relu1(self.bn1(self.up_conv(x)))
        joined, shortcut = fast.fork(fast.concat([up, skip]))
        return self.relu2(fast.add(self.ops(joined), shortcut))


class OutputTransition(nn.Layer):
    """5x5x5 convolution to the classes, batch norm, activation, 1x1x1 convolution."""

    def __init__(self, in_channels: int, num_classes: int, elu: bool) -> None:
        super().__init__()
        self.conv1 = conv5(in_channels, num_classes)
        self.bn1 = nn.BatchNorm3D(num_classes)
        self.conv2 = nn.Conv3D(num_classes, num_classes, kernel_size=1)
        self.relu1 = activation(elu, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, X, Y, Z) to logits (N, num_classes, X, Y, Z)."""
        return self.conv2(self.relu1(self.bn1(self.conv1(x))))
