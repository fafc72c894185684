"""nnU-Net's first U-Net under the layer names of PaddleSeg3D's checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.models.layers.resize import resize
from medicalseg.models.layers.unet_blocks import SLOPE, convolution, normalization, up_convolution
from medicalseg.models.layers.unet_stages import Stages
from medicalseg.models.staged_unet import cropped
from medicalseg.ops import functional as fast


class Sampling(NamedTuple):
    """How the network goes down and up.

    Attributes:
        by_stride: strided convolutions; else maximum pooling.
        by_transpose: transposed convolutions; else linear interpolation.
    """

    by_stride: bool = True
    by_transpose: bool = True


class NNUNetConv(nn.Layer):
    """Convolution, instance norm, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.conv = convolution(in_channels, out_channels, kernel, list(stride))
        self.instnorm = normalization(len(kernel), out_channels)
        self.lrelu = nn.LeakyReLU(SLOPE)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, ...) to (N, out, ... / stride)."""
        return self.lrelu(self.instnorm(self.conv(x)))


class NNUNetStack(nn.Layer):
    """`count` of them in a row; the first one has the stride and changes the channels."""

    def __init__(
        self, count: int, in_channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int]
    ) -> None:
        super().__init__()
        ones = [1] * len(kernel)
        first = NNUNetConv(in_channels, out_channels, kernel, stride)
        rest = [NNUNetConv(out_channels, out_channels, kernel, ones) for _ in range(count - 1)]
        self.blocks = nn.Sequential(first, *rest)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, ...) to (N, out, ... / stride)."""
        return self.blocks(x)


class LinearUpsample(nn.Layer):
    """Bilinear or trilinear interpolation by whole factors, one per axis."""

    def __init__(self, factors: Sequence[int]) -> None:
        super().__init__()
        self.factors = list(factors)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, ...) to (N, C, ... * factors)."""
        x = fast.plain(x)
        if paddle.in_dynamic_mode():
            size = [n * factor for n, factor in zip(x.shape[2:], self.factors, strict=True)]
        else:
            size = paddle.shape(x)[2:].astype("int32") * paddle.to_tensor(self.factors, dtype="int32")
        return resize(x, size) if x.ndim == 4 else F.interpolate(x, size=size, mode="trilinear", data_format="NCDHW")


class NNUNetTrunk(nn.Layer):
    """The whole network; lists of layers are in the order of the checkpoints.

    Args:
        in_channels: channels of the image.
        num_classes: channels of the output.
        stages: features, kernels and strides of each resolution.
        convolutions: of each resolution, at least 2.
        sampling: how it goes down and up.
    """

    def __init__(
        self, in_channels: int, num_classes: int, stages: Stages, convolutions: int, sampling: Sampling
    ) -> None:
        super().__init__()
        features, _, strides = stages
        axes, pools = len(strides[0]), strides[1:]
        deepest = features[-1] if sampling.by_transpose else features[-2]
        widths = [*reversed(features[:-1])]
        narrowed = widths if sampling.by_transpose else [*widths[1:], widths[-1]]
        self.conv_blocks_localization = nn.LayerList(_decoder(stages, widths, narrowed, convolutions))
        self.conv_blocks_context = nn.LayerList(_encoder(in_channels, stages, convolutions, sampling, deepest))
        pooling = {2: nn.MaxPool2D, 3: nn.MaxPool3D}[axes]
        self.pool_layers = nn.LayerList(
            [] if sampling.by_stride else [pooling(list(p), list(p), ceil_mode=axes == 2) for p in pools]
        )
        self.upsample_ops = nn.LayerList(_ups(stages, widths, sampling))
        self.seg_heads = nn.LayerList([convolution(width, num_classes, [1] * axes, bias=False) for width in narrowed])

    def encode(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """What every resolution gives, the finest first."""
        skips = []
        for level, stage in enumerate(self.conv_blocks_context[:-1]):
            x, skip = fast.fork(stage(x))
            skips.append(skip)
            if len(self.pool_layers):
                x = self.pool_layers[level](x)
        skips.append(self.conv_blocks_context[-1](x))
        return skips

    def decode(self, skips: list[paddle.Tensor], all_heads: bool) -> list[paddle.Tensor]:
        """Logits of the heads, the finest first; else of that alone."""
        x = skips.pop()
        logits = []
        last = len(self.seg_heads) - 1
        for level, (up, block, head) in enumerate(
            zip(self.upsample_ops, self.conv_blocks_localization, self.seg_heads)  # noqa: B905 (traced code)
        ):
            skip = skips.pop()
            x = block(fast.concat([cropped(up(x), skip), skip]))
            if level == last:
                logits.append(head(x))
            elif all_heads:
                x, seen = fast.fork(x)
                logits.append(head(seen))
        return logits[::-1]


def _encoder(in_channels: int, stages: Stages, convolutions: int, sampling: Sampling, deepest: int) -> list[nn.Layer]:
    ones = (1,) * len(stages.kernels[0])
    layers: list[nn.Layer] = []
    before = in_channels
    for width, kernel, stride in zip(*stages, strict=True):
        step = stride if sampling.by_stride else ones
        if len(layers) < len(stages.features) - 1:
            layers.append(NNUNetStack(convolutions, before, width, kernel, step))
        else:
            first = NNUNetStack(convolutions - 1, before, width, kernel, step)
            layers.append(nn.Sequential(first, NNUNetStack(1, width, deepest, kernel, ones)))
        before = width
    return layers


def _decoder(stages: Stages, widths: Sequence[int], narrowed: Sequence[int], convolutions: int) -> list[nn.Layer]:
    """From the deepest on; the kernel is that of the resolution below, as PaddleSeg3D has it."""
    ones = (1,) * len(stages.kernels[0])
    layers: list[nn.Layer] = []
    for width, last, kernel in zip(widths, narrowed, reversed(stages.kernels[1:]), strict=True):
        first = NNUNetStack(convolutions - 1, 2 * width, width, kernel, ones)
        layers.append(nn.Sequential(first, NNUNetStack(1, width, last, kernel, ones)))
    return layers


def _ups(stages: Stages, widths: Sequence[int], sampling: Sampling) -> list[nn.Layer]:
    layers: list[nn.Layer] = []
    before = stages.features[-1]
    for width, stride in zip(widths, reversed(stages.strides[1:]), strict=True):
        if sampling.by_transpose:
            layers.append(up_convolution(before, width, stride, bias=False))
        else:
            layers.append(LinearUpsample(stride))
        before = width
    return layers
