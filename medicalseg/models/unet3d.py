"""3D U-Net."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.base import SegmentationModel
from medicalseg.models.layers.arguments import count, rate
from medicalseg.models.layers.norm import make_norm
from medicalseg.models.layers.sizes import SizeRule, Triple, as_triples
from medicalseg.ops import functional as fast


class ConvBlock(nn.Layer):
    """Convolution that keeps the size, normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Triple, norm: str) -> None:
        super().__init__()
        padding = [k // 2 for k in kernel]
        self.conv = nn.Conv3D(in_channels, out_channels, kernel_size=list(kernel), padding=padding)
        self.norm = make_norm(norm, out_channels)
        self.relu = nn.ReLU()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, X, Y, Z) to (N, out, X, Y, Z)."""
        return self.relu(self.norm(self.conv(x)))


class Upsample(nn.Layer):
    """Up-convolution that keeps the channels, then concatenation with the skip."""

    def __init__(self, channels: int, pool: Triple) -> None:
        super().__init__()
        self.up_conv = nn.Conv3DTranspose(
            channels, channels, kernel_size=list(pool), stride=list(pool), bias_attr=False
        )

    def forward(self, x: paddle.Tensor, skip: paddle.Tensor) -> paddle.Tensor:
        """Coarse (N, C, ...) and skip (N, S, X, Y, Z) to (N, C + S, X, Y, Z)."""
        return fast.concat([self.up_conv(x), skip])


@manager.MODELS.add_component
class UNet3D(SegmentationModel):
    """3D U-Net (Çiçek et al. 2016, "3D U-Net: Learning Dense Volumetric Segmentation from Sparse Annotation").

    Each level has two convolutions with normalisation and ReLU; the second doubles the channels before pooling (32-64,
    64-128, 128-256, 256-512), which avoids bottlenecks. The paper's net for 3 channels and 3 classes has 19,069,955
    parameters without those of batch norm; so has this one. Convolutions are padded here, so the output has the size
    of the input; up-convolutions have no bias, as in the published count.

    Args:
        in_channels: channels of the image, any number.
        num_classes: classes, background included.
        base_channels: channels of the very first convolution.
        depth: number of resolutions, at least 2.
        norm: "batch", "instance" or "group".
        kernel_size: convolution kernel of each of the `depth` resolutions, finest first: an odd integer or three of
            them; default 3. Thin volumes may start with [3, 3, 1].
        pool_size: each of the `depth - 1` poolings, an integer or three of them; default 2. For 512x512x12 use
            [[2, 2, 1], [2, 2, 2], [2, 2, 2]].
        dropout: probability of dropping a whole channel after the two coarsest resolutions of the encoder.
        pretrained: file or address of weights to start from.

    Raises:
        ConfigError: an argument is wrong; the message names it.

    Example:
        >>> UNet3D(pool_size=[[2, 2, 1], [2, 2, 2], [2, 2, 2]]).next_input_shape((512, 500, 12))
        (512, 504, 12)
    """

    channels_last = True
    heads = ("head",)

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 4,
        base_channels: int = 32,
        depth: int = 4,
        norm: str = "batch",
        kernel_size: Sequence[object] | None = None,
        pool_size: Sequence[object] | None = None,
        dropout: float = 0.0,
        pretrained: str | None = None,
    ) -> None:
        kernels, pools = _check_arguments(base_channels, depth, kernel_size, pool_size, dropout)
        super().__init__(in_channels, num_classes, SizeRule(pools, pools))
        widths = [base_channels * 2**level for level in range(depth + 1)]
        self.encoders = nn.LayerList()
        for level, kernel in enumerate(kernels):
            first = in_channels if level == 0 else widths[level]
            self.encoders.append(_double_conv(first, widths[level], widths[level + 1], kernel, norm))
        self.pools = nn.LayerList([nn.MaxPool3D(list(pool), stride=list(pool)) for pool in pools])
        self.drops = nn.LayerList(
            [nn.Dropout3D(dropout) if dropout and level >= depth - 2 else nn.Identity() for level in range(depth)]
        )
        self.upsamples = nn.LayerList()
        self.decoders = nn.LayerList()
        for level in reversed(range(depth - 1)):
            coarse, fine = widths[level + 2], widths[level + 1]
            self.upsamples.append(Upsample(coarse, pools[level]))
            self.decoders.append(_double_conv(coarse + fine, fine, fine, kernels[level], norm))
        self.head = nn.Conv3D(widths[1], num_classes, kernel_size=1)
        self._load_pretrained(pretrained)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, X, Y, Z)."""
        skips = []
        for level, encoder in enumerate(self.encoders):
            if level:
                x = self.pools[level - 1](x)
            x, skip = fast.fork(self.drops[level](encoder(x)))
            skips.append(skip)
        skips.pop()
        for upsample, decoder in zip(self.upsamples, self.decoders):  # noqa: B905 (LayerList; traced code knows no strict)
            x = decoder(upsample(x, skips.pop()))
        return self.head(x)


def _double_conv(in_channels: int, middle: int, out_channels: int, kernel: Triple, norm: str) -> nn.Sequential:
    return nn.Sequential(
        ConvBlock(in_channels, middle, kernel, norm),
        ConvBlock(middle, out_channels, kernel, norm),
    )


def _check_arguments(
    base_channels: int,
    depth: int,
    kernel_size: Sequence[object] | None,
    pool_size: Sequence[object] | None,
    dropout: float,
) -> tuple[tuple[Triple, ...], tuple[Triple, ...]]:
    count("UNet3D.base_channels", base_channels)
    count("UNet3D.depth", depth, least=2)
    rate("UNet3D.dropout", dropout)
    kernels = as_triples(kernel_size if kernel_size is not None else (3,) * depth, depth, "UNet3D.kernel_size")
    pools = as_triples(pool_size if pool_size is not None else (2,) * (depth - 1), depth - 1, "UNet3D.pool_size")
    even = [kernel for kernel in kernels if not all(k % 2 for k in kernel)]
    if even:
        raise ConfigError(f"UNet3D.kernel_size: {list(even[0])} holds an even number; use odd ones such as [3, 3, 1]")
    return kernels, pools
