"""Convolution blocks of UNETR's decoder."""

from __future__ import annotations

import paddle
from paddle import nn

from medicalseg.models.layers.norm import make_norm

SLOPE = 0.01


class ResidualConvs(nn.Layer):
    """Two 3x3x3 convolutions beside a shortcut, which is a 1x1x1 convolution where the channels change.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        norm: see `make_norm`.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Conv3D(in_channels, out_channels, 3, padding=1),
            make_norm(norm, out_channels),
            nn.LeakyReLU(SLOPE),
            nn.Conv3D(out_channels, out_channels, 3, padding=1),
            make_norm(norm, out_channels),
        )
        if in_channels != out_channels:
            self.conv_down = nn.Sequential(nn.Conv3D(in_channels, out_channels, 1), make_norm(norm, out_channels))
        self.final_activation = nn.LeakyReLU(SLOPE)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, X, Y, Z) to (N, out, X, Y, Z)."""
        shortcut = self.conv_down(x) if hasattr(self, "conv_down") else x
        return self.final_activation(self.conv_block(x) + shortcut)


class UpConv(nn.Layer):
    """Transposed convolution that doubles the size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = nn.Conv3DTranspose(in_channels, out_channels, 2, stride=2, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, X, Y, Z) to (N, out, 2 X, 2 Y, 2 Z)."""
        return self.block(x)


class UpConvs(nn.Layer):
    """`count` of them in a row; the first one changes the channels."""

    def __init__(self, in_channels: int, out_channels: int, count: int) -> None:
        super().__init__()
        sources = [in_channels] + [out_channels] * (count - 1)
        self.blocks = nn.LayerList([UpConv(source, out_channels) for source in sources])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, X, Y, Z) to (N, out, 2 ** count X, ...)."""
        for block in self.blocks:
            x = block(x)
        return x
