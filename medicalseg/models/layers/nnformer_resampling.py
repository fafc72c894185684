"""How nnFormer's maps (N, D, H, W, C) get coarser and finer: convolutions where other transformers merge patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.errors import ConfigError
from medicalseg.models.layers.sizes import Triple

MERGING = (
    {"kernel_size": [1, 3, 3], "stride": [1, 2, 2], "padding": [0, 1, 1]},
    {"kernel_size": [3, 3, 3], "stride": [2, 2, 2], "padding": [1, 1, 1]},
    {"kernel_size": [3, 3, 3], "stride": [2, 2, 2], "padding": [0, 1, 1]},
)
"""The convolution behind each stage of the encoder but the deepest."""

EXPANDING = (
    {"kernel_size": [1, 2, 2], "stride": [1, 2, 2]},
    {"kernel_size": [2, 2, 2], "stride": [2, 2, 2]},
    {"kernel_size": [2, 2, 2], "stride": [2, 2, 2], "output_padding": [1, 0, 0]},
)
"""The transposed convolution back to each of these stages."""


def channels_first(x: paddle.Tensor) -> paddle.Tensor:
    """(N, D, H, W, C) as (N, C, D, H, W)."""
    return x.transpose([0, 4, 1, 2, 3])


def channels_last(x: paddle.Tensor) -> paddle.Tensor:
    """(N, C, D, H, W) as (N, D, H, W, C)."""
    return x.transpose([0, 2, 3, 4, 1])


class Project(nn.Layer):
    """Two convolutions, the first strided; behind each but the very last a GELU and a norm."""

    def __init__(self, in_channels: int, out_channels: int, stride: Sequence[int], last: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv3D(in_channels, out_channels, 3, stride=list(stride), padding=1)
        self.conv2 = nn.Conv3D(out_channels, out_channels, 3, padding=1)
        self.norm1 = nn.LayerNorm(out_channels)
        self.last = last
        if not last:
            self.norm2 = nn.LayerNorm(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, D, H, W) to (N, out, d, h, w)."""
        x = channels_first(self.norm1(channels_last(F.gelu(self.conv1(x)))))
        x = self.conv2(x)
        return x if self.last else channels_first(self.norm2(channels_last(F.gelu(x))))


class PatchEmbed(nn.Layer):
    """Image to tokens by convolutions; a patch's first axis stays as fine as the image's.

    Args:
        patch_size: of the patches; the image's other two axes are strided by half of it, twice.
        in_channels: of the image.
        dim: channels of the tokens.
    """

    def __init__(self, patch_size: Triple, in_channels: int, dim: int) -> None:
        super().__init__()
        stride = stem_stride(patch_size)
        self.proj1 = Project(in_channels, dim // 2, stride, last=False)
        self.proj2 = Project(dim // 2, dim, stride, last=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, X, Y, Z) to (N, D, H, W, dim)."""
        return self.norm(channels_last(self.proj2(self.proj1(x))))


class PatchMerging(nn.Layer):
    """To the next coarser stage: GELU, norm and a strided convolution that doubles the channels.

    Args:
        dim: channels.
        stage: number of the finer stage.
    """

    def __init__(self, dim: int, stage: int) -> None:
        super().__init__()
        self.reduction = nn.Conv3D(dim, 2 * dim, **MERGING[stage])
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, D, H, W, dim) to (N, d, h, w, 2 dim)."""
        return channels_last(self.reduction(channels_first(self.norm(F.gelu(x)))))


class PatchExpanding(nn.Layer):
    """To the next finer stage: norm and a transposed convolution that halves the channels.

    Args:
        dim: channels of the coarser stage.
        stage: number of the finer stage.
    """

    def __init__(self, dim: int, stage: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.up = nn.Conv3DTranspose(dim, dim // 2, **EXPANDING[stage])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, d, h, w, dim) to (N, D, H, W, dim / 2)."""
        return channels_last(self.up(channels_first(self.norm(x))))


class FinalExpanding(nn.Layer):
    """Tokens to logits of the image's size.

    Args:
        dim: channels of the tokens.
        num_classes: channels of the logits.
        patch_size: voxels per token.
        tokens: size of the map.
        size: of the image; logits of another size are interpolated to it.
    """

    def __init__(self, dim: int, num_classes: int, patch_size: Triple, tokens: Triple, size: Triple) -> None:
        super().__init__()
        self.up = nn.Conv3DTranspose(dim, num_classes, list(patch_size), stride=list(patch_size))
        self.size = list(size)
        self.fits = all(n * side == whole for n, side, whole in zip(tokens, patch_size, size, strict=True))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, *tokens, dim) to (N, num_classes, *size)."""
        logits = self.up(channels_first(x))
        if self.fits:
            return logits
        return F.interpolate(logits, size=self.size, mode="trilinear", align_corners=False, data_format="NCDHW")


def stem_stride(patch_size: Triple) -> Triple:
    """Stride of each of the two strided convolutions in front of the first stage."""
    return (1, patch_size[1] // 2, patch_size[2] // 2)


def stage_sizes(crop: Triple, patch: Triple) -> list[Triple]:
    """Sizes (D, H, W) of the maps of the four stages.

    Args:
        crop: size of the image.
        patch: voxels per token.

    Raises:
        ConfigError: the patches or the crop do not fit; names the next crop that does.

    Example:
        >>> stage_sizes((14, 160, 160), (1, 4, 4))
        [(14, 40, 40), (14, 20, 20), (7, 10, 10), (3, 5, 5)]
    """
    if any(side % 2 for side in patch[1:]):
        raise ConfigError(
            f"nnFormer.patch_size: needs even second and third numbers, as in [1, 4, 4], got {list(patch)}"
        )
    stride = stem_stride(patch)
    steps = [8 * side**2 for side in stride[1:]]
    wanted = [max(6, -(-(crop[0] - 2) // 4) * 4 + 2)]
    wanted += [-(-n // step) * step for n, step in zip(crop[1:], steps, strict=True)]
    if wanted != list(crop):
        raise ConfigError(
            f"nnFormer.crop_size: {list(crop)} does not fit: the first size must be 6, 10, 14, ..., the other two "
            f"multiples of {steps[0]} and {steps[1]}; the next that fits is {wanted}"
        )
    size = (crop[0], crop[1] // stride[1] ** 2, crop[2] // stride[2] ** 2)
    sizes = [size]
    for step in MERGING:
        size = (_merged(size, step, 0), _merged(size, step, 1), _merged(size, step, 2))
        sizes.append(size)
    return sizes


def _merged(size: Triple, step: Mapping[str, Sequence[int]], axis: int) -> int:
    return (size[axis] + 2 * step["padding"][axis] - step["kernel_size"][axis]) // step["stride"][axis] + 1
