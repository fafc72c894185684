"""Transformer blocks of nnFormer; maps are (N, D, H, W, C)."""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.models.layers.drop_path import DropPath
from medicalseg.models.layers.nnformer_attention import SelfAttention, SkipAttention
from medicalseg.models.layers.nnformer_windows import Windows

MLP_RATIO = 4


class MLP(nn.Layer):
    """Two linear layers with a GELU between them; oneDNN in Paddle 2.6 takes no linear layer of five axes."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, MLP_RATIO * dim)
        self.fc2 = nn.Linear(MLP_RATIO * dim, dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, D, H, W, dim) to the same."""
        return self.fc2(F.gelu(self.fc1(x.flatten(1, 3)))).reshape([-1, *x.shape[1:]])


class Block(nn.Layer):
    """Attention within windows and an MLP, each normalised before and added to what came in.

    Args:
        dim: channels.
        windows: of the map.
        num_heads: of the attention.
        drop_path: probability of dropping either branch in training.
    """

    def __init__(self, dim: int, windows: Windows, num_heads: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, windows, num_heads)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, D, H, W, dim) to the same."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class SkipBlock(nn.Layer):
    """As `Block` for the sum of two maps, one of which asks the other: nnFormer's skip attention."""

    def __init__(self, dim: int, windows: Windows, num_heads: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SkipAttention(dim, windows, num_heads)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim)

    def forward(self, x: paddle.Tensor, skip: paddle.Tensor) -> paddle.Tensor:
        """Decoder's `x` and encoder's `skip`, both (N, D, H, W, dim), to the same."""
        mixed = self.attn(self.norm1(x), self.norm1(skip))
        x = skip + x + self.drop_path(mixed)
        return x + self.drop_path(self.mlp(self.norm2(x)))
