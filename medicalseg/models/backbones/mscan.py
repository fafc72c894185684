"""MSCAN, the convolutional encoder of SegNeXt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.layers.arguments import count, counts, is_count, positives, rate
from medicalseg.models.layers.drop_path import DropPath, rising_rates

LAYER_SCALE = 1e-2


def depthwise(channels: int, kernel: Sequence[int]) -> nn.Conv2D:
    """Convolution of each channel by itself that keeps the size."""
    padding = [size // 2 for size in kernel]
    return nn.Conv2D(channels, channels, list(kernel), padding=padding, groups=channels)


def init_convolutions(model: nn.Layer) -> None:
    """Draw the weights of all 2D convolutions from N(0, 2 / fan out), biases 0."""
    for layer in model.sublayers(include_self=True):
        if isinstance(layer, nn.Conv2D):
            fan_out = layer.weight.shape[0] // layer._groups * math.prod(layer.weight.shape[2:])
            nn.initializer.Normal(0.0, math.sqrt(2 / fan_out))(layer.weight)


class Stem(nn.Layer):
    """Two convolutions of stride 2 with batch norm: a quarter of the size, rounded up."""

    def __init__(self, in_channels: int, out_channels: int, momentum: float = 0.9) -> None:
        super().__init__()
        half = out_channels // 2
        self.proj = nn.Sequential(
            nn.Conv2D(in_channels, half, 3, stride=2, padding=1),
            nn.BatchNorm2D(half, momentum),
            nn.GELU(),
            nn.Conv2D(half, out_channels, 3, stride=2, padding=1),
            nn.BatchNorm2D(out_channels, momentum),
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, H, W) to (N, out, H / 4, W / 4)."""
        return self.proj(x)


class Downsampling(nn.Layer):
    """Convolution of stride 2 with batch norm."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2D(in_channels, out_channels, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2D(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in, H, W) to (N, out, H / 2, W / 2)."""
        return self.norm(self.proj(x))


class MultiScaleAttention(nn.Layer):
    """Weights the input with what 5x5 and then strip convolutions of several lengths see around each pixel."""

    def __init__(self, channels: int, kernel_sizes: Sequence[int]) -> None:
        super().__init__()
        self.conv0 = depthwise(channels, (5, 5))
        self.dwconvs = nn.LayerList()
        for number, size in enumerate(kernel_sizes, start=1):
            row, column = depthwise(channels, (1, size)), depthwise(channels, (size, 1))
            self.dwconvs.append(nn.Sequential((f"conv{number}_1", row), (f"conv{number}_2", column)))
        self.conv_out = nn.Conv2D(channels, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) to the same shape."""
        near = self.conv0(x)
        seen = near
        for strips in self.dwconvs:
            seen = seen + strips(near)
        return self.conv_out(seen) * x


class SpatialAttention(nn.Layer):
    """1x1 convolution, GELU, multi-scale attention, 1x1 convolution, shortcut."""

    def __init__(self, channels: int, kernel_sizes: Sequence[int]) -> None:
        super().__init__()
        self.proj_1 = nn.Conv2D(channels, channels, 1)
        self.activation = nn.GELU()
        self.spatial_gating_unit = MultiScaleAttention(channels, kernel_sizes)
        self.proj_2 = nn.Conv2D(channels, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) to the same shape."""
        return self.proj_2(self.spatial_gating_unit(self.activation(self.proj_1(x)))) + x


class FeedForward(nn.Layer):
    """1x1 convolution to more channels, 3x3 depthwise convolution, GELU, 1x1 convolution back."""

    def __init__(self, channels: int, hidden: int, drop: float) -> None:
        super().__init__()
        self.fc1 = nn.Conv2D(channels, hidden, 1)
        self.dwconv = depthwise(hidden, (3, 3))
        self.act = nn.GELU()
        self.fc2 = nn.Conv2D(hidden, channels, 1)
        self.drop = nn.Dropout(drop)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) to the same shape."""
        return self.drop(self.fc2(self.drop(self.act(self.dwconv(self.fc1(x))))))


class Block(nn.Layer):
    """Attention and feed-forward, each after batch norm and with a scaled residual."""

    def __init__(
        self, channels: int, kernel_sizes: Sequence[int], mlp_ratio: float, drop: float, drop_path: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2D(channels)
        self.attn = SpatialAttention(channels, kernel_sizes)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.BatchNorm2D(channels)
        self.mlp = FeedForward(channels, int(channels * mlp_ratio), drop)
        scale = nn.initializer.Constant(LAYER_SCALE)
        self.layer_scale_1 = self.create_parameter([channels, 1, 1], default_initializer=scale)
        self.layer_scale_2 = self.create_parameter([channels, 1, 1], default_initializer=scale)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) to the same shape."""
        x = x + self.drop_path(self.layer_scale_1 * self.attn(self.norm1(x)))
        return x + self.drop_path(self.layer_scale_2 * self.mlp(self.norm2(x)))


@manager.BACKBONES.add_component
class MSCAN(nn.Layer):
    """Multi-scale convolutional attention network (Guo et al. 2022, "SegNeXt", section 3.1).

    Four stages at 1/4, 1/8, 1/16 and 1/32 of the image's size, each rounded up. An image of any size is taken. Names,
    order and shapes of the state dict are those of PaddleSeg's MSCAN.

    Args:
        in_channels: channels of the image.
        embed_dims: channels of each stage.
        depths: blocks of each stage.
        mlp_ratios: channels within the feed-forward part, as a multiple of the stage's.
        atten_kernel_sizes: lengths of the strip convolutions, odd numbers.
        drop_rate: dropout in the feed-forward part.
        drop_path_rate: stochastic depth of the last block; rises linearly from 0.
        pretrained: file or address of weights to start from.

    Attributes:
        feat_channels: channels of each output.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    def __init__(
        self,
        in_channels: int = 3,
        embed_dims: Sequence[int] = (32, 64, 160, 256),
        depths: Sequence[int] = (3, 3, 5, 2),
        mlp_ratios: Sequence[float] = (8, 8, 4, 4),
        atten_kernel_sizes: Sequence[int] = (7, 11, 21),
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        _check(in_channels, embed_dims, depths, mlp_ratios, atten_kernel_sizes)
        rate("MSCAN.drop_rate", drop_rate)
        rate("MSCAN.drop_path_rate", drop_path_rate)
        self.in_channels = in_channels
        self.feat_channels = list(embed_dims)
        rates = rising_rates(drop_path_rate, sum(depths))
        for stage, (channels, depth, ratio) in enumerate(zip(embed_dims, depths, mlp_ratios, strict=True)):
            entry = Downsampling(embed_dims[stage - 1], channels) if stage else Stem(in_channels, channels)
            drops, rates = rates[:depth], rates[depth:]
            blocks = [Block(channels, atten_kernel_sizes, ratio, drop_rate, drop) for drop in drops]
            setattr(self, f"patch_embed{stage + 1}", entry)
            setattr(self, f"block{stage + 1}", nn.LayerList(blocks))
            setattr(self, f"norm{stage + 1}", nn.LayerNorm(channels))
        init_convolutions(self)
        if pretrained:
            from medicalseg.utils.checkpoint import load_pretrained

            load_pretrained(self, pretrained)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """(N, in, H, W) to the outputs (N, C_i, H / 2^(i+2), W / 2^(i+2)) of the four stages."""
        outputs = []
        for stage in range(1, len(self.feat_channels) + 1):
            x = getattr(self, f"patch_embed{stage}")(x)
            for block in getattr(self, f"block{stage}"):
                x = block(x)
            x = _channel_norm(getattr(self, f"norm{stage}"), x)
            outputs.append(x)
        return outputs


def _channel_norm(norm: nn.LayerNorm, x: paddle.Tensor) -> paddle.Tensor:
    return norm(x.transpose([0, 2, 3, 1])).transpose([0, 3, 1, 2])


def _check(
    in_channels: int,
    embed_dims: Sequence[int],
    depths: Sequence[int],
    mlp_ratios: Sequence[float],
    kernel_sizes: Sequence[int],
) -> None:
    count("MSCAN.in_channels", in_channels)
    counts("MSCAN.embed_dims", embed_dims, 4)
    counts("MSCAN.depths", depths, 4)
    positives("MSCAN.mlp_ratios", mlp_ratios, 4)
    if not isinstance(kernel_sizes, (list, tuple)) or not all(is_count(k) and k % 2 for k in kernel_sizes):
        raise ConfigError(f"MSCAN.atten_kernel_sizes: needs odd integers, got {kernel_sizes!r}")


SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "T": ((32, 64, 160, 256), (3, 3, 5, 2)),
    "S": ((64, 128, 320, 512), (2, 2, 4, 2)),
    "B": ((64, 128, 320, 512), (3, 3, 12, 3)),
    "L": ((64, 128, 320, 512), (3, 5, 27, 3)),
}


def _variant(size: str, rate: float = 0.1) -> Callable[..., MSCAN]:
    widths, depths = SIZES[size]

    def build(
        in_channels: int = 3, drop_rate: float = 0.0, drop_path_rate: float = rate, pretrained: str | None = None
    ) -> MSCAN:
        return MSCAN(
            in_channels, widths, depths, drop_rate=drop_rate, drop_path_rate=drop_path_rate, pretrained=pretrained
        )

    doc = f"`MSCAN` with {list(widths)} channels and {list(depths)} blocks."
    return manager.BACKBONES.add_function(build, f"MSCAN_{size}", doc)


MSCAN_T = _variant("T")
MSCAN_S = _variant("S")
MSCAN_B = _variant("B")
MSCAN_L = _variant("L", rate=0.3)
