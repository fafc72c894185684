"""Mix Transformer (MiT), the encoder of SegFormer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.layers.arguments import count, counts, flag, positive, positives, rate
from medicalseg.models.layers.drop_path import rising_rates
from medicalseg.models.layers.mix_attention import Block, OverlapPatchEmbed, channels_first

STAGES = 4
EPSILON = 1e-6


@manager.BACKBONES.add_component
class MixVisionTransformer(nn.Layer):
    """Mix Transformer (Xie et al. 2021, "SegFormer: Simple and Efficient Design for Semantic Segmentation with
    Transformers"), with the layer names, shapes and numbers of PaddleSeg's checkpoints.

    Four stages at 1/4, 1/8, 1/16 and 1/32 of the image; `forward` gives the map of each, (N, C_i, H_i, W_i).

    Args:
        img_size: taken for PaddleSeg's configs; any size fits.
        patch_size: likewise; the patches are 7x7 in the first stage and 3x3 in the others.
        in_channels: channels of the image.
        num_classes: likewise; there is no classifier.
        embed_dims: channels of the four stages.
        num_heads: heads of attention in each.
        mlp_ratios: hidden channels of the Mix-FFN, as a multiple of the stage's.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the scores; None takes (channels / heads) ** -0.5.
        drop_rate: dropout after the linear layers.
        attn_drop_rate: dropout of the weights of attention.
        drop_path_rate: stochastic depth of the last block; it rises evenly from 0 in the first.
        depths: blocks of each stage.
        sr_ratios: reduction of the side of keys and values in each.
        pretrained: weights to start from, see `medicalseg.utils.checkpoint.load_pretrained`.

    Attributes:
        feat_channels: channels of the maps that `forward` gives.
        in_channels: channels of the image.
        smallest_side: fewest rows and columns that the layers can compute on.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    def __init__(
        self,
        img_size: int = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        num_classes: int = 1000,
        embed_dims: Sequence[int] = (64, 128, 256, 512),
        num_heads: Sequence[int] = (1, 2, 4, 8),
        mlp_ratios: Sequence[float] = (4, 4, 4, 4),
        qkv_bias: bool = False,
        qk_scale: float | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        depths: Sequence[int] = (3, 4, 6, 3),
        sr_ratios: Sequence[int] = (8, 4, 2, 1),
        pretrained: Any = None,
    ) -> None:
        super().__init__()
        _check(in_channels, embed_dims=embed_dims, num_heads=num_heads, depths=depths, sr_ratios=sr_ratios)
        _check_options(mlp_ratios, qkv_bias, qk_scale)
        _check_rates(drop_rate=drop_rate, attn_drop_rate=attn_drop_rate, drop_path_rate=drop_path_rate)
        self.in_channels, self.depths = in_channels, list(depths)
        self.feat_channels = list(embed_dims)
        self.smallest_side = smallest_side(sr_ratios)
        sources = [in_channels, *embed_dims[:-1]]
        for stage, (source, width) in enumerate(zip(sources, embed_dims, strict=True)):
            kernel, stride = (7, 4) if stage == 0 else (3, 2)
            setattr(self, f"patch_embed{stage + 1}", OverlapPatchEmbed(kernel, stride, source, width))
        rates = iter(rising_rates(drop_path_rate, sum(depths)))
        for stage, width in enumerate(embed_dims):
            blocks = [
                Block(
                    dim=width,
                    num_heads=num_heads[stage],
                    mlp_ratio=mlp_ratios[stage],
                    qkv_bias=qkv_bias,
                    qk_scale=qk_scale,
                    drop=drop_rate,
                    attn_drop=attn_drop_rate,
                    drop_path=next(rates),
                    epsilon=EPSILON,
                    sr_ratio=sr_ratios[stage],
                )
                for _ in range(depths[stage])
            ]
            setattr(self, f"block{stage + 1}", nn.LayerList(blocks))
            setattr(self, f"norm{stage + 1}", nn.LayerNorm(width, epsilon=EPSILON))
        self.apply(_initialise)
        if pretrained:
            from medicalseg.utils.checkpoint import load_pretrained

            load_pretrained(self, pretrained)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Maps (N, C_i, H_i, W_i) of the four stages, finest first; `x` is (N, in_channels, H, W)."""
        maps = []
        for stage in range(1, STAGES + 1):
            x = getattr(self, f"patch_embed{stage}")(x)
            for block in getattr(self, f"block{stage}"):
                x = block(x)
            x = channels_first(getattr(self, f"norm{stage}")(x))
            maps.append(x)
        return maps


def smallest_side(sr_ratios: Sequence[int]) -> int:
    """Fewest rows that leave each stage's reducing convolution one whole window.

    Example:
        >>> smallest_side((8, 4, 2, 1))
        29
    """
    needed = [(ratio - 1) * 4 * 2**stage + 1 for stage, ratio in enumerate(sr_ratios)]
    return max(needed)


def _check(in_channels: object, **lists: Sequence[int]) -> None:
    count("MixVisionTransformer.in_channels", in_channels)
    for name, values in lists.items():
        counts(f"MixVisionTransformer.{name}", values, STAGES)
    for width, heads in zip(lists["embed_dims"], lists["num_heads"], strict=True):
        if width % heads:
            raise ConfigError(
                f"MixVisionTransformer.num_heads: {heads} does not divide {width} of embed_dims; needs num_heads that "
                "divide embed_dims"
            )


def _check_options(mlp_ratios: Sequence[float], qkv_bias: bool, qk_scale: float | None) -> None:
    positives("MixVisionTransformer.mlp_ratios", mlp_ratios, STAGES)
    flag("MixVisionTransformer.qkv_bias", qkv_bias)
    if qk_scale is not None:
        positive("MixVisionTransformer.qk_scale", qk_scale)


def _check_rates(**rates: float) -> None:
    for name, value in rates.items():
        rate(f"MixVisionTransformer.{name}", value)


def _initialise(layer: nn.Layer) -> None:
    if isinstance(layer, nn.Linear):
        nn.initializer.Normal(std=0.02)(layer.weight)
    elif isinstance(layer, nn.Conv2D):
        outputs, _, *kernel = layer.weight.shape
        reached = math.prod(kernel) * outputs // layer._groups
        nn.initializer.Normal(std=math.sqrt(2 / reached))(layer.weight)
        nn.initializer.Constant(0.0)(layer.bias)


SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "B0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "B1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "B2": ((64, 128, 320, 512), (3, 4, 6, 3)),
    "B3": ((64, 128, 320, 512), (3, 4, 18, 3)),
    "B4": ((64, 128, 320, 512), (3, 8, 27, 3)),
    "B5": ((64, 128, 320, 512), (3, 6, 40, 3)),
}


def _variant(size: str) -> Callable[..., MixVisionTransformer]:
    widths, depths = SIZES[size]

    def build(
        img_size: int = 224,
        in_channels: int = 3,
        num_classes: int = 1000,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        pretrained: Any = None,
    ) -> MixVisionTransformer:
        return MixVisionTransformer(
            in_channels=in_channels,
            embed_dims=widths,
            num_heads=(1, 2, 5, 8),
            qkv_bias=True,
            attn_drop_rate=attn_drop_rate,
            drop_path_rate=drop_path_rate,
            depths=depths,
            pretrained=pretrained,
        )

    doc = f"`MixVisionTransformer` of the paper's size {size}: {widths} channels, {depths} blocks."
    return manager.BACKBONES.add_function(build, f"MixVisionTransformer_{size}", doc)


MixVisionTransformer_B0 = _variant("B0")
MixVisionTransformer_B1 = _variant("B1")
MixVisionTransformer_B2 = _variant("B2")
MixVisionTransformer_B3 = _variant("B3")
MixVisionTransformer_B4 = _variant("B4")
MixVisionTransformer_B5 = _variant("B5")
