"""Non-negative matrix factorisation as a layer without parameters."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.models.layers.arguments import count

EVALUATION_SEED = 20220918


class NMF2D(nn.Layer):
    """Replaces the features of each image by their low-rank approximation D C^T with D, C >= 0.

    Geng et al. 2021, "Is Attention Better Than Matrix Decomposition?". The features X (channels, H W) of one image are
    approximated by `rank` bases D and their coefficients C: C starts as the softmax over the bases of X^T D, then both
    follow the multiplicative updates of Lee and Seung, and C once more at the end. Only that last update has a
    gradient, as in the paper.

    In training the first bases are uniform random numbers of Paddle's generator, of unit length, new ones for each
    image of each call. In evaluation they are fixed numbers that depend on `channels` and `rank` alone and never
    change, so the same image gives the same result whatever was computed before or is in the batch beside it.

    Args:
        channels: channels of the input, which must not be negative.
        rank: number of bases.
        train_steps: pairs of updates in training.
        eval_steps: pairs of updates in evaluation.
        epsilon: added to the denominators of the updates.
        random_bases: draw the first bases at random in training; when false the fixed ones are used there too.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(
        self,
        channels: int,
        rank: int = 64,
        train_steps: int = 6,
        eval_steps: int = 7,
        epsilon: float = 1e-6,
        random_bases: bool = True,
    ) -> None:
        super().__init__()
        for name, value, least in (("rank", rank, 1), ("train_steps", train_steps, 0), ("eval_steps", eval_steps, 0)):
            count(f"NMF2D.{name}", value, least)
        self.channels, self.rank = channels, rank
        self.train_steps, self.eval_steps = train_steps, eval_steps
        self.epsilon, self.random_bases = float(epsilon), random_bases
        self.register_buffer("bases", paddle.to_tensor(fixed_bases(channels, rank)), persistable=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W), no number negative, to the same shape."""
        data = x.flatten(2)
        turned = data.transpose([0, 2, 1])
        bases, codes = self._factorised(data.detach(), turned.detach())
        codes = self._new_codes(turned, bases, codes)
        rows = x.shape[2] if paddle.in_dynamic_mode() else paddle.shape(x)[2]
        return paddle.matmul(bases, codes, transpose_y=True).reshape([0, self.channels, rows, -1])

    def _factorised(self, data: paddle.Tensor, turned: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        bases = self._first_bases(data)
        codes = F.softmax(paddle.matmul(turned, bases), axis=-1)
        for _ in range(self.train_steps if self.training else self.eval_steps):
            codes = self._new_codes(turned, bases, codes)
            gram = paddle.matmul(codes, codes, transpose_x=True)
            bases = bases * (paddle.matmul(data, codes) / (paddle.matmul(bases, gram) + self.epsilon))
        return bases, codes

    def _new_codes(self, turned: paddle.Tensor, bases: paddle.Tensor, codes: paddle.Tensor) -> paddle.Tensor:
        gram = paddle.matmul(bases, bases, transpose_x=True)
        return codes * (paddle.matmul(turned, bases) / (paddle.matmul(codes, gram) + self.epsilon))

    def _first_bases(self, data: paddle.Tensor) -> paddle.Tensor:
        count = data.shape[0] if paddle.in_dynamic_mode() else paddle.shape(data)[0]
        if self.training and self.random_bases:
            return F.normalize(paddle.rand([count, self.channels, self.rank]), axis=1)
        return self.bases.expand([count, self.channels, self.rank])

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"channels={self.channels}, rank={self.rank}, steps={self.train_steps}/{self.eval_steps}"


def fixed_bases(channels: int, rank: int) -> np.ndarray:
    """(1, channels, rank) float32, uniform in [0, 1) and then of unit length, the same at every call."""
    drawn = np.random.RandomState(EVALUATION_SEED).random_sample((1, channels, rank))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
