"""TransUNet's transformer: tokens of the coarsest map, and blocks of attention; names as in published checkpoints."""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.models.backbones.resnet import ResNet
from medicalseg.models.layers.mlp import Mlp

EPSILON = 1e-6


class Embeddings(nn.Layer):
    """An image as tokens: what the ResNet's coarsest map holds at each place, and where that is.

    Args:
        backbone: gives maps from 1/2 to 1/16 of the image.
        grid: rows and columns of the coarsest map.
        hidden_size: numbers of a token.
        dropout_rate: dropout of the tokens.
    """

    def __init__(self, backbone: ResNet, grid: tuple[int, int], hidden_size: int, dropout_rate: float) -> None:
        super().__init__()
        start = nn.initializer.TruncatedNormal(std=0.02)
        shape = [1, grid[0] * grid[1], hidden_size]
        self.position_embeddings = self.create_parameter(shape, default_initializer=start)
        self.hybrid_model = backbone
        self.patch_embeddings = nn.Conv2D(backbone.feat_channels[-1], hidden_size, 1)
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, x: paddle.Tensor) -> tuple[paddle.Tensor, list[paddle.Tensor]]:
        """Tokens (N, T, hidden_size), and the maps at 1/2, 1/4 and 1/8, of images (N, C, H, W)."""
        *maps, coarsest = self.hybrid_model(x)
        tokens = self.patch_embeddings(coarsest).flatten(2).transpose([0, 2, 1])
        return self.dropout(tokens + self.position_embeddings), maps


class Attention(nn.Layer):
    """Multi-head attention of all tokens to all tokens.

    The factor of the scores is applied to the keys, not right behind a linear layer: oneDNN in Paddle 2.6 fuses a
    linear layer and a factor to something else.

    Args:
        hidden_size: numbers of a token.
        num_heads: heads; must divide `hidden_size`.
        dropout_rate: dropout of the weights of attention and of the output.
    """

    def __init__(self, hidden_size: int, num_heads: int, dropout_rate: float) -> None:
        super().__init__()
        self.num_heads, self.head_size = num_heads, hidden_size // num_heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)
        self.attn_dropout = nn.Dropout(dropout_rate)
        self.proj_dropout = nn.Dropout(dropout_rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, T, hidden_size)."""
        queries, keys, values = self._heads(self.query(x)), self._heads(self.key(x)), self._heads(self.value(x))
        scores = paddle.matmul(queries, keys * self.head_size**-0.5, transpose_y=True)
        weights = self.attn_dropout(F.softmax(scores, axis=-1))
        mixed = paddle.matmul(weights, values).transpose([0, 2, 1, 3])
        return self.proj_dropout(self.out(mixed.reshape([0, 0, self.num_heads * self.head_size])))

    def _heads(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, T, hidden_size) as (N, heads, T, hidden_size / heads)."""
        return x.reshape([0, 0, self.num_heads, self.head_size]).transpose([0, 2, 1, 3])


class Block(nn.Layer):
    """Attention and two linear layers, each normalised before and added to what came in."""

    def __init__(
        self, hidden_size: int, mlp_dim: int, num_heads: int, dropout_rate: float, attention_dropout_rate: float
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden_size, epsilon=EPSILON)
        self.ffn_norm = nn.LayerNorm(hidden_size, epsilon=EPSILON)
        self.ffn = Mlp(hidden_size, mlp_dim, dropout_rate)
        self.attention = Attention(hidden_size, num_heads, attention_dropout_rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, T, hidden_size)."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x))


class Encoder(nn.Layer):
    """Blocks in a row and a last layer norm (Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words")."""

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        mlp_dim: int,
        num_heads: int,
        dropout_rate: float,
        attention_dropout_rate: float,
    ) -> None:
        super().__init__()
        blocks = [
            Block(hidden_size, mlp_dim, num_heads, dropout_rate, attention_dropout_rate) for _ in range(num_layers)
        ]
        self.layer = nn.LayerList(blocks)
        self.encoder_norm = nn.LayerNorm(hidden_size, epsilon=EPSILON)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, T, hidden_size)."""
        for block in self.layer:
            x = block(x)
        return self.encoder_norm(x)


class Transformer(nn.Layer):
    """Embeddings and encoder."""

    def __init__(self, embeddings: Embeddings, encoder: Encoder) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder

    def forward(self, x: paddle.Tensor) -> tuple[paddle.Tensor, list[paddle.Tensor]]:
        """Tokens (N, T, hidden_size), and the maps at 1/2, 1/4 and 1/8, of images (N, C, H, W)."""
        tokens, maps = self.embeddings(x)
        return self.encoder(tokens), maps
