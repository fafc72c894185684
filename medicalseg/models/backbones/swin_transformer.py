"""Swin Transformer, the encoder of Swin-Unet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.layers.arguments import count, counts, flag, rate
from medicalseg.models.layers.drop_path import rising_rates
from medicalseg.models.layers.swin_blocks import (
    STANDARD_DEVIATION,
    PatchEmbed,
    PatchMerging,
    Stage,
    SwinOptions,
    initialise,
)
from medicalseg.models.slice_layout import as_image_size


@manager.BACKBONES.add_component
class SwinTransformer(nn.Layer):
    """Swin Transformer (Liu et al. 2021, "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows"),
    with the layer names, shapes and numbers of PaddleSeg3D's checkpoints.

    Each stage halves the sides and doubles the channels of the one before.

    Args:
        img_size: (H, W) of the image, or one number for both: the only size that is taken.
        patch_size: side of the patches that become the pixels of the first stage.
        in_chans: channels of the image.
        class_num: taken for PaddleSeg3D's configs; there is no classifier.
        embed_dim: channels of the first stage.
        depths: blocks of each stage.
        num_heads: heads of attention in each.
        window_size: rows and columns of the windows.
        mlp_ratio: hidden channels of the feed-forward parts, as a multiple of the stage's.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the scores; None takes (channels / heads) ** -0.5.
        drop_rate: dropout after the linear layers.
        attn_drop_rate: dropout of the weights of attention.
        drop_path_rate: stochastic depth of the last block; it rises evenly from 0 in the first.
        norm_layer: class of the normalisations, made with the number of channels.
        ape: whether a learned position is added to the patches.
        patch_norm: whether the patches are normalised.
        pretrained: weights to start from, see `medicalseg.utils.checkpoint.load_pretrained`.

    Attributes:
        sizes: (H, W) of the maps of each stage.
        feat_channels: their channels.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    def __init__(
        self,
        img_size: int | Sequence[int] = 224,
        patch_size: int = 4,
        in_chans: int = 3,
        class_num: int = 1000,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 7,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        norm_layer: Callable[[int], nn.Layer] = nn.LayerNorm,
        ape: bool = False,
        patch_norm: bool = True,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        options = SwinOptions(window_size, mlp_ratio, qkv_bias, qk_scale, drop_rate, attn_drop_rate, norm_layer)
        options.check("SwinTransformer")
        _check(patch_size, in_chans, embed_dim, drop_path_rate, ape, patch_norm)
        self.image_size = as_image_size(img_size, "SwinTransformer.img_size")
        self.feat_channels = stage_channels("SwinTransformer", embed_dim, depths, num_heads)
        self.sizes = stage_sizes("SwinTransformer", self.image_size, patch_size, len(depths), window_size)
        self.patch_size, self.in_chans, self.embed_dim = patch_size, in_chans, embed_dim
        self.depths, self.num_heads, self.window_size = list(depths), list(num_heads), window_size
        if ape:
            normal = nn.initializer.TruncatedNormal(std=STANDARD_DEVIATION)
            height, width = self.sizes[0]
            self.absolute_pos_embed = self.create_parameter([1, height * width, embed_dim], default_initializer=normal)
        self.patch_embed = PatchEmbed(patch_size, in_chans, embed_dim, norm_layer if patch_norm else None)
        self.pos_drop = nn.Dropout(drop_rate)
        rates = iter(rising_rates(drop_path_rate, sum(depths)))
        stages = []
        for number, (channels, size) in enumerate(zip(self.feat_channels, self.sizes, strict=True)):
            last = number == len(depths) - 1
            merging = None if last else PatchMerging(channels, size, norm_layer)
            drops = [next(rates) for _ in range(depths[number])]
            stages.append(Stage(channels, size, num_heads[number], drops, options, downsample=merging))
        self.layers = nn.LayerList(stages)
        self.norm = norm_layer(self.feat_channels[-1])
        self.apply(initialise)
        if pretrained:
            from medicalseg.utils.checkpoint import load_pretrained

            load_pretrained(self, pretrained)

    def forward(self, x: paddle.Tensor) -> tuple[paddle.Tensor, list[paddle.Tensor]]:
        """The normalised map of the last stage, and what went into each stage, all (N, H_i, W_i, C_i).

        Args:
            x: (N, in_chans, H, W).
        """
        x = self.patch_embed(x)
        if hasattr(self, "absolute_pos_embed"):
            x = x + self.absolute_pos_embed.reshape([1, *self.sizes[0], self.embed_dim])
        x = self.pos_drop(x)
        entered = []
        for stage in self.layers:
            entered.append(x)
            x = stage(x)
        return self.norm(x), entered


def _check(patch_size: int, in_chans: int, embed_dim: int, drop_path_rate: float, ape: bool, patch_norm: bool) -> None:
    for name, value in (("patch_size", patch_size), ("in_chans", in_chans), ("embed_dim", embed_dim)):
        count(f"SwinTransformer.{name}", value)
    rate("SwinTransformer.drop_path_rate", drop_path_rate)
    flag("SwinTransformer.ape", ape)
    flag("SwinTransformer.patch_norm", patch_norm)


def stage_channels(network: str, embed_dim: int, depths: Sequence[int], num_heads: Sequence[int]) -> list[int]:
    """Channels of each stage, which its heads divide.

    Raises:
        ConfigError: depths and heads are not positive integers, one of each per stage, or heads do not divide.
    """
    counts(f"{network}.depths", depths)
    counts(f"{network}.num_heads", num_heads)
    if len(depths) != len(num_heads):
        raise ConfigError(f"{network}.num_heads: has {len(num_heads)} values, depths has {len(depths)}")
    channels = [embed_dim * 2**stage for stage in range(len(depths))]
    for width, heads in zip(channels, num_heads, strict=True):
        if width % heads:
            raise ConfigError(f"{network}.num_heads: {heads} heads do not divide {width} channels")
    return channels


def stage_sizes(
    network: str, image_size: tuple[int, int], patch_size: int, stages: int, window: int
) -> list[tuple[int, int]]:
    """(H, W) of the maps of each stage, each cut into whole windows.

    Raises:
        ConfigError: a side leaves a remainder; names the sides that fit.

    Example:
        >>> stage_sizes("SwinTransformer", (224, 224), 4, 4, 7)
        [(56, 56), (28, 28), (14, 14), (7, 7)]
    """
    sizes = []
    for stage in range(stages):
        step = patch_size * 2**stage
        height, width = (side // step for side in image_size)
        seen = min(window, height, width)
        if any(side % step for side in image_size) or seen == 0 or height % seen or width % seen:
            fitting = patch_size * 2 ** (stages - 1) * window
            raise ConfigError(
                f"{network}.img_size: {image_size[0]}x{image_size[1]} cannot be cut into windows of {window} after "
                f"{stage} halvings of patches of {patch_size}; use multiples of {fitting}"
            )
        sizes.append((height, width))
    return sizes


NARROW, WIDE = (3, 6, 12, 24), (6, 12, 24, 48)
VARIANTS: dict[str, tuple[int, tuple[int, ...], tuple[int, ...], int, int, float]] = {
    "tinier_patch4_window7_224": (96, (2, 2, 2, 2), NARROW, 7, 224, 0.2),
    "tiny_patch4_window7_224": (96, (2, 2, 6, 2), NARROW, 7, 224, 0.2),
    "small_patch4_window7_224": (96, (2, 2, 18, 2), NARROW, 7, 224, 0.1),
    "base_patch4_window7_224": (128, (2, 2, 18, 2), (4, 8, 16, 32), 7, 224, 0.5),
    "base_patch4_window12_384": (128, (2, 2, 18, 2), (4, 8, 16, 32), 12, 384, 0.5),
    "large_patch4_window7_224": (192, (2, 2, 18, 2), WIDE, 7, 224, 0.1),
    "large_patch4_window12_384": (192, (2, 2, 18, 2), WIDE, 12, 384, 0.1),
}


def _variant(name: str) -> Callable[..., SwinTransformer]:
    embed_dim, depths, num_heads, window_size, side, drop_path = VARIANTS[name]

    def build(
        pretrained: bool | str | None = False,
        img_size: int | Sequence[int] = side,
        patch_size: int = 4,
        in_chans: int = 3,
        class_num: int = 1000,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = drop_path,
        norm_layer: Callable[[int], nn.Layer] = nn.LayerNorm,
        ape: bool = False,
        patch_norm: bool = True,
    ) -> SwinTransformer:
        return SwinTransformer(
            img_size, patch_size, in_chans, class_num, embed_dim, depths, num_heads, window_size, mlp_ratio, qkv_bias,
            qk_scale, drop_rate, attn_drop_rate, drop_path_rate, norm_layer, ape, patch_norm, _source(name, pretrained),
        )  # fmt: skip

    doc = f"`SwinTransformer` of {embed_dim} channels and {depths} blocks for images of {side} x {side}."
    return manager.BACKBONES.add_function(build, f"SwinTransformer_{name}", doc)


def _source(name: str, pretrained: bool | str | None) -> str | None:
    """Where weights come from: true means those of ImageNet that are published under the function's name."""
    if pretrained is not True:
        return pretrained or None
    if name.startswith("tinier"):
        raise ConfigError(
            "SwinTransformer_tinier_patch4_window7_224.pretrained: true means weights of ImageNet, and there are none "
            "of this size; give a file, or take SwinTransformer_tiny_patch4_window7_224"
        )
    return f"SwinTransformer_{name}"


SwinTransformer_tinier_patch4_window7_224 = _variant("tinier_patch4_window7_224")
SwinTransformer_tiny_patch4_window7_224 = _variant("tiny_patch4_window7_224")
SwinTransformer_small_patch4_window7_224 = _variant("small_patch4_window7_224")
SwinTransformer_base_patch4_window7_224 = _variant("base_patch4_window7_224")
SwinTransformer_base_patch4_window12_384 = _variant("base_patch4_window12_384")
SwinTransformer_large_patch4_window7_224 = _variant("large_patch4_window7_224")
SwinTransformer_large_patch4_window12_384 = _variant("large_patch4_window12_384")
