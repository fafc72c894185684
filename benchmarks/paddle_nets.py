"""The nnU-Net-shaped network in Paddle; the others are the toolkit's own."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from medicalseg.ops import functional as fast

WIDTHS = (32, 64, 128, 256)


class NNUNetBlock(nn.Layer):
    """3x3x3 convolution, instance norm, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv3D(in_channels, out_channels, 3, stride=stride, padding=1)
        self.norm = nn.InstanceNorm3D(out_channels)
        self.relu = nn.LeakyReLU(0.01)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, X, Y, Z) to (N, out, X / stride, ...)."""
        return self.relu(self.norm(self.conv(x)))


class NNUNet(nn.Layer):
    """Plain convolutional U-Net in nnU-Net's shape (Isensee et al. 2021), without deep supervision.

    Args:
        in_channels: channels of the image.
        num_classes: classes, background included.
        widths: channels of each level, finest first; each level halves the size.
    """

    channels_last = True
    heads = ("head",)

    def __init__(self, in_channels: int = 1, num_classes: int = 3, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.encoders = nn.LayerList()
        for level, width in enumerate(widths):
            first = widths[level - 1] if level else in_channels
            self.encoders.append(
                nn.Sequential(NNUNetBlock(first, width, 2 if level else 1), NNUNetBlock(width, width, 1))
            )
        self.upsamples, self.decoders = nn.LayerList(), nn.LayerList()
        for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True):
            self.upsamples.append(nn.Conv3DTranspose(coarse, fine, 2, stride=2))
            self.decoders.append(nn.Sequential(NNUNetBlock(2 * fine, fine, 1), NNUNetBlock(fine, fine, 1)))
        self.head = nn.Conv3D(widths[0], num_classes, 1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Logits (N, num_classes, X, Y, Z), in a list as the toolkit's networks return them."""
        skips = []
        for encoder in self.encoders:
            x, skip = fast.fork(encoder(x))
            skips.append(skip)
        skips.pop()
        for upsample, decoder in zip(self.upsamples, self.decoders):  # noqa: B905 (traced code knows no strict)
            x = decoder(fast.concat([upsample(x), skips.pop()]))
        return [fast.plain(self.head(x))]


def nnunet(in_channels: int = 1, num_classes: int = 3, widths: Sequence[int] = WIDTHS) -> nn.Layer:
    """nnU-Net-shaped U-Net with `widths` channels, finest first."""
    return NNUNet(in_channels, num_classes, widths)
