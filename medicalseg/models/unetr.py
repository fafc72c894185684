"""UNETR: a transformer as the encoder of a U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.base import SegmentationModel
from medicalseg.models.layers.arguments import count, is_count, rate
from medicalseg.models.layers.fixed_size import FixedSize, as_shape
from medicalseg.models.layers.unetr_blocks import ResidualConvs, UpConv, UpConvs
from medicalseg.models.layers.unetr_encoder import PatchEmbedding, TransformerEncoder

PATCH = 16


@manager.MODELS.add_component
class UNETR(SegmentationModel):
    """UNETR (Hatamizadeh et al. 2022, "UNETR: Transformers for 3D Medical Image Segmentation"), with the layer names,
    shapes and numbers of PaddleSeg3D's checkpoints.

    The volume is cut into cubes of 16 voxels, which go as tokens through the blocks of a transformer; the outputs of
    four blocks, brought to 1/8, 1/4, 1/2 and 1/1 of the volume's size, are what the decoder joins. The position table
    belongs to one size of the volume: larger ones go through the network in windows of it.

    Args:
        img_shape: size (X, Y, Z) of the volumes, multiples of 16.
        in_channels: channels of the image, any number.
        embed_dim: length of a token.
        patch_size: side of the cubes; 16, as the decoder doubles the size four times.
        num_heads: heads of the attention; must divide `embed_dim`.
        dropout: of the tokens, behind the attention and in the MLPs.
        ext_layers: four blocks, from 1 and rising, whose outputs the decoder gets.
        norm: of the decoder: "instance", "batch" or "group".
        base_filters: channels of the decoder's finest level.
        dim_linear_block: width of the MLPs.
        num_classes: classes, background included.
        num_layers: blocks of the transformer; 12 in PaddleSeg3D.
        pretrained: file or address of weights to start from.

    Attributes:
        img_shape: size (X, Y, Z) of the volumes.
        only_size: the same.

    Raises:
        ConfigError: an argument is wrong; the message names it.

    Example:
        >>> UNETR(img_shape=[64, 64, 32], embed_dim=48, num_classes=3).next_input_shape((60, 60, 30))
        (64, 64, 32)
    """

    heads = ("out_conv.1",)

    def __init__(
        self,
        img_shape: Sequence[int] | str = (128, 128, 128),
        in_channels: int = 4,
        embed_dim: int = 768,
        patch_size: int = PATCH,
        num_heads: int = 12,
        dropout: float = 0.0,
        ext_layers: Sequence[int] = (3, 6, 9, 12),
        norm: str = "instance",
        base_filters: int = 16,
        dim_linear_block: int = 3072,
        num_classes: int = 4,
        num_layers: int = 12,
        pretrained: str | None = None,
    ) -> None:
        sizes = {"embed_dim": embed_dim, "num_heads": num_heads, "base_filters": base_filters}
        for name, value in {**sizes, "dim_linear_block": dim_linear_block, "num_layers": num_layers}.items():
            count(f"UNETR.{name}", value)
        shape = _checked_shape(img_shape, patch_size)
        _check_transformer(embed_dim, num_heads, dropout, ext_layers, num_layers)
        super().__init__(in_channels, num_classes, FixedSize(shape))
        self.img_shape = self.only_size = shape
        self.embed_dim = embed_dim
        self.grid = tuple(size // PATCH for size in shape)
        self.embed = PatchEmbedding(in_channels, embed_dim, PATCH, prod(self.grid), dropout)
        self.transformer = TransformerEncoder(num_layers, ext_layers, embed_dim, num_heads, dim_linear_block, dropout)
        self._add_decoder(base_filters, norm)
        self._load_pretrained(pretrained)

    @property
    def unused_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that never get a gradient."""
        depth = len(self.transformer.block_list)
        unused = tuple(f"transformer.block_list.{number}." for number in range(max(self.transformer.kept), depth))
        return tuple(name for name, _ in self.named_parameters() if name.startswith(unused))

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, X, Y, Z)."""
        x3, x6, x9, x12 = (self._as_volume(tokens) for tokens in self.transformer(self.embed(x)))
        y = self.z9_conv(paddle.concat([self.z12_deconv(x12), self.z9_blue_conv(x9)], axis=1))
        y = self.z6_conv(paddle.concat([self.z9_deconv(y), self.z6_blue_conv(x6)], axis=1))
        y = self.z3_conv(paddle.concat([self.z6_deconv(y), self.z3_blue_conv(x3)], axis=1))
        return self.out_conv(paddle.concat([self.z3_deconv(y), self.init_conv(x)], axis=1))

    def _as_volume(self, tokens: paddle.Tensor) -> paddle.Tensor:
        """(N, tokens, dim) as (N, dim, X / 16, Y / 16, Z / 16)."""
        return tokens.transpose([0, 2, 1]).reshape([-1, self.embed_dim, *self.grid])

    def _add_decoder(self, base: int, norm: str) -> None:
        dim = self.embed_dim
        self.init_conv = ResidualConvs(self.in_channels, base, norm)
        self.z3_blue_conv = UpConvs(dim, 2 * base, 3)
        self.z6_blue_conv = UpConvs(dim, 4 * base, 2)
        self.z9_blue_conv = UpConvs(dim, 8 * base, 1)
        self.z12_deconv = UpConv(dim, 8 * base)
        self.z9_deconv = UpConv(8 * base, 4 * base)
        self.z6_deconv = UpConv(4 * base, 2 * base)
        self.z3_deconv = UpConv(2 * base, base)
        self.z9_conv = ResidualConvs(16 * base, 8 * base, norm)
        self.z6_conv = ResidualConvs(8 * base, 4 * base, norm)
        self.z3_conv = ResidualConvs(4 * base, 2 * base, norm)
        self.out_conv = nn.Sequential(ResidualConvs(2 * base, base, norm), nn.Conv3D(base, self.num_classes, 1))


def _checked_shape(img_shape: Sequence[int] | str, patch_size: int) -> tuple[int, int, int]:
    if patch_size != PATCH:
        raise ConfigError(
            f"UNETR.patch_size: {patch_size!r}, but the decoder doubles the size four times, which fits cubes of "
            f"{PATCH} voxels alone; leave patch_size out"
        )
    shape = as_shape(img_shape, "UNETR.img_shape")
    if any(size % PATCH for size in shape):
        fitting = [-(-size // PATCH) * PATCH for size in shape]
        raise ConfigError(f"UNETR.img_shape: {list(shape)} are no multiples of {PATCH}; the next ones are {fitting}")
    return shape


def _check_transformer(
    embed_dim: int, num_heads: int, dropout: float, ext_layers: Sequence[int], num_layers: int
) -> None:
    if embed_dim % num_heads:
        raise ConfigError(f"UNETR.num_heads: {num_heads} does not divide embed_dim, {embed_dim}")
    rate("UNETR.dropout", dropout)
    numbers = list(ext_layers) if isinstance(ext_layers, (list, tuple)) else []
    right = all(is_count(number) and number <= num_layers for number in numbers)
    if len(numbers) != 4 or not right or sorted(set(numbers)) != numbers:
        raise ConfigError(
            f"UNETR.ext_layers: needs four rising numbers of blocks, 1 to {num_layers}, got {ext_layers!r}"
        )
