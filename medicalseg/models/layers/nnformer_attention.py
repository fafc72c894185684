"""Attention within windows of a volume, with a bias for every offset between two tokens."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.models.layers.nnformer_windows import Windows, position_index, published_index, table_rows


class WindowAttention(nn.Layer):
    """Multi-head attention within windows; subclasses say where queries, keys and values come from.

    The factor of the scores is applied to the keys, and not right behind their linear layer: oneDNN in Paddle 2.6
    fuses a linear layer and a factor to something else.

    Args:
        dim: channels.
        windows: of the map.
        num_heads: heads; must divide `dim`.
        index: row of the table of biases for every pair of tokens, int64 (tokens, tokens); part of a checkpoint.
    """

    def __init__(self, dim: int, windows: Windows, num_heads: int, index: np.ndarray) -> None:
        super().__init__()
        self.windows, self.num_heads, self.head_dim = windows, num_heads, dim // num_heads
        self.scale = self.head_dim**-0.5
        self.relative_position_bias_table = self.create_parameter(
            [table_rows(windows.window), num_heads], default_initializer=nn.initializer.TruncatedNormal(std=0.02)
        )
        self.register_buffer("relative_position_index", paddle.to_tensor(index))

    def _attend(self, queries: paddle.Tensor, keys: paddle.Tensor, values: paddle.Tensor) -> paddle.Tensor:
        """All (windows, tokens, dim); so is the result."""
        queries, keys, values = (self._heads(part) for part in (queries, keys, values))
        scores = paddle.matmul(queries, keys * self.scale, transpose_y=True) + self._bias()
        mixed = paddle.matmul(F.softmax(scores, axis=-1), values)
        tokens, dim = self.windows.tokens, self.num_heads * self.head_dim
        return mixed.transpose([0, 2, 1, 3]).reshape([-1, tokens, dim])

    def _heads(self, x: paddle.Tensor) -> paddle.Tensor:
        """(windows, tokens, dim) to (windows, heads, tokens, dim / heads)."""
        return x.reshape([-1, self.windows.tokens, self.num_heads, self.head_dim]).transpose([0, 2, 1, 3])

    def _bias(self) -> paddle.Tensor:
        """(1, heads, tokens, tokens)."""
        tokens = self.windows.tokens
        rows = paddle.index_select(self.relative_position_bias_table, self.relative_position_index.flatten())
        return rows.reshape([1, tokens, tokens, self.num_heads]).transpose([0, 3, 1, 2])


class SelfAttention(WindowAttention):
    """Queries, keys and values are linear maps of the same tokens."""

    def __init__(self, dim: int, windows: Windows, num_heads: int) -> None:
        super().__init__(dim, windows, num_heads, published_index(windows.window))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, D, H, W, dim) to the same."""
        queries, keys, values = paddle.split(self.qkv(self.windows.split(x)), 3, axis=-1)
        return self.windows.join(self.proj(self._attend(queries, keys, values)))


class SkipAttention(WindowAttention):
    """Keys and values are linear maps of the encoder's tokens; queries are the decoder's tokens as they are."""

    def __init__(self, dim: int, windows: Windows, num_heads: int) -> None:
        super().__init__(dim, windows, num_heads, position_index(windows.window))
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: paddle.Tensor, skip: paddle.Tensor) -> paddle.Tensor:
        """Decoder's `x` and encoder's `skip`, both (N, D, H, W, dim), to the same."""
        keys, values = paddle.split(self.kv(self.windows.split(skip)), 2, axis=-1)
        return self.windows.join(self.proj(self._attend(self.windows.split(x), keys, values)))
