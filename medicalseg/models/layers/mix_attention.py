"""Blocks of the Mix Transformer; feature maps are (N, H, W, C), so no layer but a convolution has to move numbers."""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.models.layers.drop_path import DropPath


def channels_first(x: paddle.Tensor) -> paddle.Tensor:
    """(N, H, W, C) as (N, C, H, W)."""
    return x.transpose([0, 3, 1, 2])


def channels_last(x: paddle.Tensor) -> paddle.Tensor:
    """(N, C, H, W) as (N, H, W, C)."""
    return x.transpose([0, 2, 3, 1])


class OverlapPatchEmbed(nn.Layer):
    """A strided convolution whose patches overlap, and a norm: (N, C, H, W) to (N, H / stride, W / stride, D)."""

    def __init__(self, patch_size: int, stride: int, in_chans: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2D(in_chans, embed_dim, patch_size, stride=stride, padding=patch_size // 2)
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, C, H, W)."""
        return self.norm(channels_last(self.proj(x)))


class Attention(nn.Layer):
    """Multi-head attention whose keys and values come from a map reduced by `sr_ratio` per side.

    The factor of the scores is applied to the keys, the smallest operand, and not right behind their linear layer:
    oneDNN in Paddle 2.6 fuses a linear layer and a factor to something else.

    Args:
        dim: channels.
        num_heads: heads; must divide `dim`.
        qkv_bias: whether queries, keys and values have a bias.
        qk_scale: factor of the scores; None takes (dim / num_heads) ** -0.5.
        attn_drop: dropout of the weights of attention.
        proj_drop: dropout of the output.
        sr_ratio: reduction of the side; 1 reduces nothing.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        qkv_bias: bool = False,
        qk_scale: float | None = None,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        sr_ratio: int = 1,
    ) -> None:
        super().__init__()
        self.dim, self.num_heads, self.sr_ratio = dim, num_heads, sr_ratio
        self.scale = (dim // num_heads) ** -0.5 if qk_scale is None else qk_scale
        bias = None if qkv_bias else False
        self.q = nn.Linear(dim, dim, bias_attr=bias)
        self.kv = nn.Linear(dim, 2 * dim, bias_attr=bias)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)
        if sr_ratio > 1:
            self.sr = nn.Conv2D(dim, dim, sr_ratio, stride=sr_ratio)
            self.norm = nn.LayerNorm(dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, H, W, dim)."""
        reduced = x if self.sr_ratio == 1 else self.norm(channels_last(self.sr(channels_first(x))))
        queries = self._heads(self.q(x))
        keys, values = paddle.split(self.kv(reduced), 2, axis=-1)
        keys, values = self._heads(keys) * self.scale, self._heads(values)
        weights = self.attn_drop(F.softmax(paddle.matmul(queries, keys, transpose_y=True), axis=-1))
        mixed = paddle.matmul(weights, values).transpose([0, 2, 1, 3])
        size = x.shape if paddle.in_dynamic_mode() else paddle.shape(x)
        return self.proj_drop(self.proj(mixed.reshape(size)))

    def _heads(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, H, W, dim) as (N, heads, H W, dim / heads)."""
        return x.reshape([0, -1, self.num_heads, self.dim // self.num_heads]).transpose([0, 2, 1, 3])


class DWConv(nn.Layer):
    """A 3x3 convolution of every channel alone; it tells the tokens where they are."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2D(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, H, W, dim)."""
        return channels_last(self.dwconv(channels_first(x)))


class Mlp(nn.Layer):
    """Mix-FFN: two linear layers with a depthwise convolution and a GELU between."""

    def __init__(self, in_features: int, hidden_features: int, drop: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden_features)
        self.dwconv = DWConv(hidden_features)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_features, in_features)
        self.drop = nn.Dropout(drop)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, H, W, in_features)."""
        hidden = self.drop(self.act(self.dwconv(self.fc1(x))))
        return self.drop(self.fc2(hidden))


class Block(nn.Layer):
    """Attention and Mix-FFN, each normalised before and added to what came in."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        qk_scale: float | None = None,
        drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        epsilon: float = 1e-6,
        sr_ratio: int = 1,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, epsilon=epsilon)
        self.attn = Attention(dim, num_heads, qkv_bias, qk_scale, attn_drop, drop, sr_ratio)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim, epsilon=epsilon)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, H, W, dim)."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))
