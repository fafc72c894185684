"""The transformer of UNETR: patches of a volume as tokens, attention and MLP blocks."""

from __future__ import annotations

from collections.abc import Collection

import paddle
from paddle import nn
from paddle.nn import functional as F


class PositionTable(nn.Layer):
    """A learned vector per token, added to it.

    Args:
        tokens: their number.
        dim: their length.
    """

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        normal = paddle.ParamAttr(initializer=nn.initializer.Normal())
        self.abs_pos_enc = self.create_parameter([1, tokens, dim], attr=normal)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, tokens, dim)."""
        return x + self.abs_pos_enc


class PatchEmbedding(nn.Layer):
    """Cubes of the volume as tokens, in the order X, Y, Z (the last fastest), with their positions.

    Args:
        in_channels: channels of the volume.
        dim: length of a token.
        patch_size: side of a cube, in voxels.
        tokens: how many cubes the volume has.
        dropout: of the tokens' numbers.
    """

    def __init__(self, in_channels: int, dim: int, patch_size: int, tokens: int, dropout: float) -> None:
        super().__init__()
        self.patch_embeddings = nn.Conv3D(in_channels, dim, patch_size, stride=patch_size, bias_attr=False)
        self.position_embeddings = PositionTable(tokens, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, X, Y, Z) to (N, tokens, dim)."""
        tokens = self.patch_embeddings(x).flatten(2).transpose([0, 2, 1])
        return self.dropout(self.position_embeddings(tokens))


class SelfAttention(nn.Layer):
    """Multi-head self-attention (Vaswani et al. 2017), linear maps without bias.

    The columns of `to_qvk` are ordered head dimension, then (query, key, value), then head, as PaddleSeg3D's
    checkpoints have them. They are transposed before they are parted, in four axes: of five, OpenVINO confuses heads
    and tokens where there are as many.

    Args:
        dim: length of a token.
        num_heads: heads; must divide `dim`.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.dim, self.num_heads = dim, num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.to_qvk = nn.Linear(dim, 3 * dim, bias_attr=False)
        self.W_0 = nn.Linear(dim, dim, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, tokens, dim)."""
        tokens = x.shape[1]
        parts = self.to_qvk(x).reshape([-1, tokens, self.dim // self.num_heads, 3 * self.num_heads])
        queries, keys, values = paddle.split(parts.transpose([0, 3, 1, 2]), 3, axis=1)
        weights = F.softmax(paddle.matmul(queries * self.scale, keys, transpose_y=True), axis=-1)
        mixed = paddle.matmul(weights, values).transpose([0, 2, 1, 3])
        return self.W_0(mixed.reshape([-1, tokens, self.dim]))


class TransformerBlock(nn.Layer):
    """Attention and an MLP, each normalised before and added to what came in.

    Args:
        dim: length of a token.
        num_heads: heads of the attention.
        hidden: width of the MLP.
        dropout: behind the attention and the MLP's layers.
    """

    def __init__(self, dim: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.mhsa = SelfAttention(dim, num_heads)
        self.drop = nn.Dropout(dropout)
        self.norm_1 = nn.LayerNorm(dim)
        self.norm_2 = nn.LayerNorm(dim)
        self.linear = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim), nn.Dropout(dropout)
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, tokens, dim)."""
        x = x + self.drop(self.mhsa(self.norm_1(x)))
        return x + self.linear(self.norm_2(x))


class TransformerEncoder(nn.Layer):
    """Blocks in a row, some of whose outputs are kept.

    Args:
        depth: number of blocks.
        kept: numbers of the blocks, from 1, whose outputs are kept; blocks behind the last of them compute nothing.
        dim: length of a token.
        num_heads: heads of the attention.
        hidden: width of the MLPs.
        dropout: see `TransformerBlock`.
    """

    def __init__(
        self, depth: int, kept: Collection[int], dim: int, num_heads: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.kept = tuple(kept)
        self.block_list = nn.LayerList([TransformerBlock(dim, num_heads, hidden, dropout) for _ in range(depth)])

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """The kept outputs (N, tokens, dim) for tokens (N, tokens, dim)."""
        outputs = []
        for number in range(1, max(self.kept) + 1):
            x = self.block_list[number - 1](x)
            if number in self.kept:
                outputs.append(x)
        return outputs
