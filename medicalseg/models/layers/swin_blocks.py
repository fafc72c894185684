"""Blocks of the Swin Transformer and of Swin-Unet on maps (N, H, W, C); names and order are PaddleSeg3D's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.errors import ConfigError
from medicalseg.models.layers import swin_windows
from medicalseg.models.layers.arguments import count, flag, positive, rate
from medicalseg.models.layers.drop_path import DropPath
from medicalseg.models.layers.mlp import Mlp

STANDARD_DEVIATION = 0.02


@dataclass(frozen=True)
class SwinOptions:
    """What all blocks of a network share.

    Attributes:
        window_size: rows and columns of a window; a smaller map is one window.
        mlp_ratio: hidden channels of the feed-forward part, as a multiple of the stage's.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the scores; None takes (channels / heads) ** -0.5.
        drop: dropout after the linear layers.
        attn_drop: dropout of the weights of attention.
        norm_layer: makes the normalisation of so many channels.
    """

    window_size: int = 7
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    qk_scale: float | None = None
    drop: float = 0.0
    attn_drop: float = 0.0
    norm_layer: Callable[[int], nn.Layer] = nn.LayerNorm

    def check(self, network: str) -> SwinOptions:
        """The same, if its values can be used.

        Args:
            network: whose arguments they are, for messages.

        Raises:
            ConfigError: one of them cannot; names it.
        """
        count(f"{network}.window_size", self.window_size)
        positive(f"{network}.mlp_ratio", self.mlp_ratio)
        flag(f"{network}.qkv_bias", self.qkv_bias)
        if self.qk_scale is not None:
            positive(f"{network}.qk_scale", self.qk_scale)
        rate(f"{network}.drop_rate", self.drop)
        rate(f"{network}.attn_drop_rate", self.attn_drop)
        if not callable(self.norm_layer):
            raise ConfigError(
                f"{network}.norm_layer: needs a class such as paddle.nn.LayerNorm, which no file can name, got "
                f"{self.norm_layer!r}; leave it out"
            )
        return self


class PatchEmbed(nn.Layer):
    """One linear layer for each patch of an image, and a norm: (N, C, H, W) to (N, H / patch, W / patch, D)."""

    def __init__(self, patch: int, in_chans: int, embed_dim: int, norm: Callable[[int], nn.Layer] | None) -> None:
        super().__init__()
        self.proj = nn.Conv2D(in_chans, embed_dim, patch, stride=patch)
        self.norm = nn.Identity() if norm is None else norm(embed_dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, C, H, W)."""
        return self.norm(self.proj(x).transpose([0, 2, 3, 1]))


class WindowAttention(nn.Layer):
    """Multi-head attention within windows, with a learned bias for each relative position.

    The factor of the scores is applied to the keys, and the bias to a flattened form of them, since oneDNN in Paddle
    2.6 would fuse them with the products before: the factor wrongly, the bias to something twenty times slower.

    Args:
        dim: channels.
        window: rows and columns of a window.
        num_heads: heads; must divide `dim`.
        options: of the network.
    """

    def __init__(self, dim: int, window: int, num_heads: int, options: SwinOptions) -> None:
        super().__init__()
        self.dim, self.num_heads, self.tokens = dim, num_heads, window * window
        self.scale = (dim // num_heads) ** -0.5 if options.qk_scale is None else options.qk_scale
        self.relative_position_bias_table = self.create_parameter(
            [(2 * window - 1) ** 2, num_heads],
            default_initializer=nn.initializer.TruncatedNormal(std=STANDARD_DEVIATION),
        )
        index = swin_windows.relative_positions(window)
        self.register_buffer("relative_position_index", paddle.to_tensor(index))
        self.qkv = nn.Linear(dim, 3 * dim, bias_attr=None if options.qkv_bias else False)
        self.attn_drop = nn.Dropout(options.attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(options.drop)

    def forward(self, x: paddle.Tensor, mask: paddle.Tensor | None = None) -> paddle.Tensor:
        """Same shape as `x`.

        Args:
            x: (N windows, tokens, dim).
            mask: (windows, tokens, tokens), added to the scores; None adds nothing.
        """
        bias = self._bias(mask)
        queries, keys, values = (self._heads(part, bias.shape[0]) for part in paddle.split(self.qkv(x), 3, axis=-1))
        scores = paddle.matmul(queries, keys * self.scale, transpose_y=True).flatten(2) + bias.flatten(1)
        weights = self.attn_drop(F.softmax(scores.reshape([-1, *bias.shape]), axis=-1))
        mixed = paddle.matmul(weights, values).reshape([-1, self.num_heads, self.tokens, self.dim // self.num_heads])
        return self.proj_drop(self.proj(mixed.transpose([0, 2, 1, 3]).reshape([-1, self.tokens, self.dim])))

    def _bias(self, mask: paddle.Tensor | None) -> paddle.Tensor:
        """(heads, tokens, tokens), or (windows heads, tokens, tokens) with a mask."""
        chosen = paddle.index_select(self.relative_position_bias_table, self.relative_position_index.flatten())
        bias = chosen.transpose([1, 0]).reshape([self.num_heads, self.tokens, self.tokens])
        return bias if mask is None else (bias.unsqueeze(0) + mask.unsqueeze(1)).flatten(0, 1)

    def _heads(self, x: paddle.Tensor, groups: int) -> paddle.Tensor:
        """(N windows, tokens, dim) as (N', groups, tokens, dim / heads), where windows and heads make the groups."""
        size = self.dim // self.num_heads
        heads = x.reshape([-1, self.tokens, self.num_heads, size]).transpose([0, 2, 1, 3])
        return heads.reshape([-1, groups, self.tokens, size])


class SwinTransformerBlock(nn.Layer):
    """Attention within windows, which every second block shifts by half of one, and a feed-forward part.

    Args:
        dim: channels.
        size: (H, W) of the map.
        num_heads: heads of attention.
        shifted: whether the windows are shifted; a map that is one window never is.
        drop_path: stochastic depth.
        options: of the network.
    """

    def __init__(
        self, dim: int, size: tuple[int, int], num_heads: int, shifted: bool, drop_path: float, options: SwinOptions
    ) -> None:
        super().__init__()
        self.size = size
        self.window = min(options.window_size, *size)
        self.shift = options.window_size // 2 if shifted and min(size) > options.window_size else 0
        if self.shift:
            mask = swin_windows.shift_mask(size, self.window, self.shift)
            self.register_buffer("attn_mask", paddle.to_tensor(mask))
        self.norm1 = options.norm_layer(dim)
        self.attn = WindowAttention(dim, self.window, num_heads, options)
        self.drop_path = DropPath(drop_path)
        self.norm2 = options.norm_layer(dim)
        self.mlp = Mlp(dim, max(1, int(dim * options.mlp_ratio)), options.drop)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, H, W, dim)."""
        x = x + self.drop_path(self._attended(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _attended(self, x: paddle.Tensor) -> paddle.Tensor:
        if not self.shift:
            return swin_windows.put_together(
                self.attn(swin_windows.cut(x, self.size, self.window)), self.size, self.window
            )
        x = paddle.roll(x, [-self.shift, -self.shift], axis=[1, 2])
        windows = self.attn(swin_windows.cut(x, self.size, self.window), self.attn_mask)
        x = swin_windows.put_together(windows, self.size, self.window)
        return paddle.roll(x, [self.shift, self.shift], axis=[1, 2])


class PatchMerging(nn.Layer):
    """Every four neighbours become one pixel of twice the channels: (N, H, W, C) to (N, H / 2, W / 2, 2 C)."""

    def __init__(self, dim: int, size: tuple[int, int], norm: Callable[[int], nn.Layer]) -> None:
        super().__init__()
        self.dim, self.size = dim, size
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias_attr=False)
        self.norm = norm(4 * dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, H, W, C); the neighbours' channels follow one another column by column."""
        height, width = self.size[0] // 2, self.size[1] // 2
        fours = x.reshape([-1, height, 2, width, 2, self.dim]).transpose([0, 1, 3, 4, 2, 5])
        return self.reduction(self.norm(fours.reshape([-1, height, width, 4 * self.dim])))


class PatchExpand(nn.Layer):
    """Every pixel becomes `factor` by `factor` ones: (N, H, W, C) to (N, factor H, factor W, out).

    Args:
        dim: C.
        out: channels of the result.
        size: (H, W).
        factor: rows, and columns, of each.
        norm: makes the normalisation of the result.
    """

    def __init__(self, dim: int, out: int, size: tuple[int, int], factor: int, norm: Callable[[int], nn.Layer]) -> None:
        super().__init__()
        self.out, self.size, self.factor = out, size, factor
        self.expand = nn.Linear(dim, factor * factor * out, bias_attr=False)
        self.norm = norm(out)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, H, W, C)."""
        (height, width), factor = self.size, self.factor
        tiles = self.expand(x).reshape([-1, height, width, factor, factor, self.out]).transpose([0, 1, 3, 2, 4, 5])
        return self.norm(tiles.reshape([-1, height * factor, width * factor, self.out]))


class Stage(nn.Layer):
    """Blocks on maps of one size; in the encoder `downsample` follows them, in the decoder `upsample`.

    Args:
        dim: channels.
        size: (H, W) of the map.
        num_heads: heads of attention.
        drop_paths: stochastic depth of each block.
        options: of the network.
        downsample: what makes the next coarser map, if anything.
        upsample: what makes the next finer map, if anything.
    """

    def __init__(
        self,
        dim: int,
        size: tuple[int, int],
        num_heads: int,
        drop_paths: Sequence[float],
        options: SwinOptions,
        downsample: nn.Layer | None = None,
        upsample: nn.Layer | None = None,
    ) -> None:
        super().__init__()
        self.blocks = nn.LayerList(
            [
                SwinTransformerBlock(dim, size, num_heads, index % 2 == 1, rate, options)
                for index, rate in enumerate(drop_paths)
            ]
        )
        if downsample is not None:
            self.downsample = downsample
        if upsample is not None:
            self.upsample = upsample

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, H, W, dim)."""
        for block in self.blocks:
            x = block(x)
        for name in ("downsample", "upsample"):
            if name in self._sub_layers:
                x = getattr(self, name)(x)
        return x


def initialise(layer: nn.Layer) -> None:
    """Weights of linear layers from a normal distribution cut at two standard deviations of 0.02, biases 0."""
    if isinstance(layer, nn.Linear):
        nn.initializer.TruncatedNormal(std=STANDARD_DEVIATION)(layer.weight)
        if layer.bias is not None:
            nn.initializer.Constant(0.0)(layer.bias)
