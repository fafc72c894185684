"""nnFormer: an encoder and a decoder of transformer blocks that look at windows of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.base import SegmentationModel
from medicalseg.models.layers.arguments import count, counts, flag, is_count
from medicalseg.models.layers.drop_path import rising_rates
from medicalseg.models.layers.fixed_size import FixedSize, as_shape
from medicalseg.models.layers.nnformer_blocks import Block, SkipBlock
from medicalseg.models.layers.nnformer_resampling import (
    FinalExpanding,
    PatchEmbed,
    PatchExpanding,
    PatchMerging,
    stage_sizes,
)
from medicalseg.models.layers.nnformer_windows import Windows
from medicalseg.models.layers.sizes import Triple, as_triples
from medicalseg.utils.logger import logger

STAGES = 4
DROP_PATH = 0.2
MOST_TOKENS = 4096
WINDOWS = ((3, 5, 5), (3, 5, 5), (7, 10, 10), (3, 5, 5))
UNUSED_STRIDES = ((1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2))


class Stage(nn.Layer):
    """Blocks of one resolution of the encoder, and the way to the next coarser one.

    Args:
        number: of the stage, 0 the finest.
        dim: channels.
        size: of the map.
        window: of the attention.
        num_heads: of the attention.
        rates: drop rate of each block.
    """

    def __init__(
        self, number: int, dim: int, size: Triple, window: Triple, num_heads: int, rates: Sequence[float]
    ) -> None:
        super().__init__()
        self.blocks = nn.LayerList(
            [Block(dim, Windows(size, window, i % 2 == 1), num_heads, rate) for i, rate in enumerate(rates)]
        )
        self.downsample = PatchMerging(dim, number) if number < STAGES - 1 else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, D, H, W, dim) to the same; `downsample` is the caller's."""
        for block in self.blocks:
            x = block(x)
        return x


class Encoder(nn.Layer):
    """Tokens of four resolutions."""

    def __init__(self, embed: PatchEmbed, stages: Sequence[Stage], dims: Sequence[int]) -> None:
        super().__init__()
        self.patch_embed = embed
        self.layers = nn.LayerList(list(stages))
        self.norm0, self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for dim in dims)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """(N, C, X, Y, Z) to four maps (N, D, H, W, dim), finest first."""
        x = self.patch_embed(x)
        norms = (self.norm0, self.norm1, self.norm2, self.norm3)
        maps = []
        for number, stage in enumerate(self.layers):
            x = stage(x)
            maps.append(norms[number](x))
            x = x if stage.downsample is None else stage.downsample(x)
        return maps


class UpStage(nn.Layer):
    """The way from the next coarser resolution, attention to the encoder's map, and blocks with shifted windows."""

    def __init__(
        self, number: int, dim: int, size: Triple, window: Triple, num_heads: int, rates: Sequence[float]
    ) -> None:
        super().__init__()
        first = SkipBlock(dim, Windows(size, window), num_heads, rates[0])
        others = [Block(dim, Windows(size, window, shifted=True), num_heads, rate) for rate in rates[1:]]
        self.blocks = nn.LayerList([first, *others])
        self.Upsample = PatchExpanding(2 * dim, number)

    def forward(self, x: paddle.Tensor, skip: paddle.Tensor) -> paddle.Tensor:
        """Coarser `x` (N, d, h, w, 2 dim) and `skip` (N, D, H, W, dim) to (N, D, H, W, dim)."""
        x = self.blocks[0](self.Upsample(x), skip)
        for block in self.blocks[1:]:
            x = block(x)
        return x


class Decoder(nn.Layer):
    """Maps of the three finer resolutions; `layers` are numbered as the encoder's, finest first."""

    def __init__(self, stages: Sequence[UpStage]) -> None:
        super().__init__()
        self.layers = nn.LayerList(list(stages))

    def forward(self, maps: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        """The encoder's maps, finest first, to as many but the deepest."""
        x = maps[-1]
        outputs: list[paddle.Tensor] = []
        for number in range(len(self.layers) - 1, -1, -1):
            x = self.layers[number](x, maps[number])
            outputs.insert(0, x)
        return outputs


@manager.MODELS.add_component
class nnFormer(SegmentationModel):  # noqa: N801 - PaddleSeg3D's name
    """nnFormer (Zhou et al. 2021, "nnFormer: Volumetric Medical Image Segmentation via a 3D Transformer"), compatible
    with PaddleSeg3D's checkpoints.

    The first axis of the volume is the one across the slices: the patches and the first stages keep it as fine as it
    is. With deep supervision `forward` returns three heads, finest first, each of the input's size, in training and in
    evaluation; `inference_forward`, or `main_head_only = True`, computes the first alone.

    Args:
        crop_size: the only size (slices, rows, columns) that is taken; larger volumes go through in windows of it.
        embedding_dim: channels of the finest stage; doubled from stage to stage.
        input_channels: channels of the image.
        num_classes: classes, background included.
        conv_op: kept for PaddleSeg3D's sake, not used.
        depths: blocks of each of the four stages, finest first.
        num_heads: heads of attention of each stage.
        patch_size: voxels per token of the finest stage; the first axis keeps its tokens, see `PatchEmbed`.
        window_size: tokens of a window of each stage per axis; at most 4096 in one.
        down_stride: how much coarser each stage is than the image. It follows from the other arguments; another value
            than the right one is not used, and logged.
        deep_supervision: whether the two coarser stages of the decoder have a head too.
        pretrained: file or address of weights to start from.
        in_channels: `input_channels` under the name that other networks have.

    Attributes:
        img_shape: `crop_size`.
        only_size: `crop_size`.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    def __init__(
        self,
        crop_size: Sequence[int] = (14, 160, 160),
        embedding_dim: int = 96,
        input_channels: int = 1,
        num_classes: int = 4,
        conv_op: Any = None,
        depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        patch_size: Sequence[int] = (2, 4, 4),
        window_size: Sequence[Sequence[int]] = WINDOWS,
        down_stride: Sequence[Sequence[int]] = UNUSED_STRIDES,
        deep_supervision: bool = True,
        pretrained: str | None = None,
        in_channels: int | None = None,
    ) -> None:
        crop, patch = as_shape(crop_size, "nnFormer.crop_size"), as_shape(patch_size, "nnFormer.patch_size")
        super().__init__(_channels(input_channels, in_channels), num_classes, FixedSize(crop, "crop_size"))
        self.img_shape, self.only_size = list(crop), crop
        windows = as_triples(window_size, STAGES, "nnFormer.window_size")
        depth = counts("nnFormer.depths", depths, STAGES)
        num_heads = counts("nnFormer.num_heads", num_heads, STAGES)
        dims = _dims(embedding_dim, num_heads)
        sizes = stage_sizes(crop, patch)
        _check_windows(windows, sizes)
        _tell_strides(down_stride, crop, sizes)
        encoder = rising_rates(DROP_PATH, sum(depth))
        stages = [
            Stage(i, dims[i], sizes[i], windows[i], num_heads[i], encoder[sum(depth[:i]) : sum(depth[: i + 1])])
            for i in range(STAGES)
        ]
        self.model_down = Encoder(PatchEmbed(patch, self.in_channels, dims[0]), stages, dims)
        decoder = rising_rates(DROP_PATH, sum(depth[:-1]))
        ends = [sum(depth[i:-1]) for i in range(STAGES)]
        self.decoder = Decoder(
            [
                UpStage(i, dims[i], sizes[i], windows[i], num_heads[i], decoder[ends[i + 1] : ends[i]])
                for i in range(STAGES - 1)
            ]
        )
        levels = range(STAGES - 1) if flag("nnFormer.deep_supervision", deep_supervision) else range(1)
        self.final = nn.LayerList([FinalExpanding(dims[i], num_classes, patch, sizes[i], crop) for i in levels])
        self.heads = tuple(f"final.{i}.up" for i in levels)
        self._load_pretrained(pretrained)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, X, Y, Z) of the finest head."""
        return self.final[0](self.decoder(self.model_down(x))[0])

    def all_logits(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Logits of every head, finest first, all of the input's size."""
        maps = self.decoder(self.model_down(x))
        return [head(maps[number]) for number, head in enumerate(self.final)]


def _channels(input_channels: int, in_channels: int | None) -> int:
    """Channels of the image, which have two names; the default of the first says nothing."""
    if in_channels is None:
        return count("nnFormer.input_channels", input_channels)
    if input_channels not in (1, in_channels):
        raise ConfigError(
            f"nnFormer.input_channels: {input_channels!r} differs from in_channels, {in_channels!r}, which means the "
            "same; give one of them"
        )
    return in_channels


def _dims(embedding_dim: Any, num_heads: Sequence[int]) -> list[int]:
    """Channels of each stage."""
    if not is_count(embedding_dim) or embedding_dim % 2:
        raise ConfigError(f"nnFormer.embedding_dim: needs a positive even integer, got {embedding_dim!r}")
    dims = [embedding_dim * 2**stage for stage in range(STAGES)]
    for dim, heads in zip(dims, num_heads, strict=True):
        if dim % heads:
            raise ConfigError(f"nnFormer.num_heads: {heads} does not divide the stage's {dim} channels; stages: {dims}")
    return dims


def _check_windows(windows: Sequence[Triple], sizes: Sequence[Triple]) -> None:
    for stage, (window, size) in enumerate(zip(windows, sizes, strict=True)):
        if prod(window) > MOST_TOKENS:
            raise ConfigError(
                f"nnFormer.window_size: {list(window)} has {prod(window)} tokens, of which every pair is compared; at "
                f"most {MOST_TOKENS} are taken. Stage {stage} has {'x'.join(map(str, size))} tokens"
            )


def _tell_strides(given: Any, crop: Triple, sizes: Sequence[Triple]) -> None:
    strides = as_triples(given, STAGES, "nnFormer.down_stride")
    said = [tuple(n // step for n, step in zip(crop, stride, strict=True)) for stride in strides]
    if strides != UNUSED_STRIDES and said != list(sizes):
        logger.warning(
            "nnFormer.down_stride: %s is not used: with this crop_size and patch_size the stages have %s tokens.",
            *([list(stride) for stride in strides], " ".join("x".join(map(str, size)) for size in sizes)),
        )
