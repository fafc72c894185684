"""Windows of a volume for attention: where they lie, how tokens get into them and back, where tokens see each other."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import paddle

from medicalseg.models.layers.sizes import Triple


class Windows:
    """Windows side by side over a map of tokens (N, D, H, W, C) whose size is known.

    No dataclass, as Paddle 3's graph tracer cannot call methods of one. No array of more than five axes, which oneDNN
    in Paddle 2.6 does not take. A map that is no multiple of the window is
    padded with 0 at the end of its axes; these tokens take part in attention, as the published weights know it.

    Args:
        size: D, H, W of the map.
        window: tokens of a window per axis.
        shifted: the map is rolled by half a window first, so that tokens at the border of two windows meet. Not done
            where one window is the whole map, nor where the window has a single token along an axis.
    """

    def __init__(self, size: Triple, window: Triple, shifted: bool = False) -> None:
        self.size, self.window = size, window
        self.counts = tuple(-(-n // w) for n, w in zip(size, window, strict=True))
        self.padding = tuple(c * w - n for n, w, c in zip(size, window, self.counts, strict=True))
        shift = [w // 2 for w in window]
        self.shift = shift if shifted and self.size != self.window and min(shift) > 0 else None
        self.tokens = prod(window)

    def split(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, D, H, W, C) to (N * windows, tokens, C)."""
        channels = x.shape[-1]
        if any(self.padding):
            x = padded_at_end(x, self.padding)
        if self.shift is not None:
            x = paddle.roll(x, shifts=[-step for step in self.shift], axis=[1, 2, 3])
        (_, b, c), (d, h, w) = self.counts, self.window
        x = x.reshape([-1, d, b, h * c * w * channels]).transpose([0, 2, 1, 3])
        x = x.reshape([-1, d * h, c, w * channels]).transpose([0, 2, 1, 3])
        return x.reshape([-1, self.tokens, channels])

    def join(self, x: paddle.Tensor) -> paddle.Tensor:
        """The way back: (N * windows, tokens, C) to (N, D, H, W, C)."""
        channels = x.shape[-1]
        (a, b, c), (d, h, w) = self.counts, self.window
        x = x.reshape([-1, c, d * h, w * channels]).transpose([0, 2, 1, 3])
        x = x.reshape([-1, b, d, h * c * w * channels]).transpose([0, 2, 1, 3])
        x = x.reshape([-1, a * d, b * h, c * w, channels])
        if self.shift is not None:
            x = paddle.roll(x, shifts=list(self.shift), axis=[1, 2, 3])
        if any(self.padding):
            x = paddle.slice(x, axes=[1, 2, 3], starts=[0, 0, 0], ends=list(self.size))
        return x


def padded_at_end(x: paddle.Tensor, extra: Sequence[int]) -> paddle.Tensor:
    """(N, D, H, W, C) with so many zeros at the end of D, H and W.

    Put together from slices, since exported graphs cannot pad such a map: oneDNN in Paddle 3.3 pads the last three axes
    whatever `data_format` says, and its kernel for any axes writes beyond its memory (2.6 and 3.3).
    """
    for index in range(3):
        if extra[index]:
            zeros = paddle.zeros_like(paddle.slice(x, [index + 1], [0], [1]))
            x = paddle.concat([x] + [zeros] * extra[index], axis=index + 1)
    return x


def offsets(window: Triple) -> np.ndarray:
    """From which token to which: distances (tokens, tokens, 3) along the axes, int64, from 0 to 2 (window - 1)."""
    places = np.indices(window).reshape(3, -1).T
    return (places[:, None] - places[None] + np.array(window) - 1).astype(np.int64)


def position_index(window: Triple) -> np.ndarray:
    """Row of the table of biases for every pair of tokens: (tokens, tokens) int64, another row for every offset."""
    _, h, w = window
    return offsets(window) @ np.array([(2 * h - 1) * (2 * w - 1), 2 * w - 1, 1])


def published_index(window: Triple) -> np.ndarray:
    """The rows that PaddleSeg3D's self-attention takes; several offsets share one. (tokens, tokens) int64.

    Where a window is so flat that they would lie beyond the table, those of `position_index`.
    """
    _, h, _ = window
    rows = offsets(window) @ np.array([3 * h - 1, 2 * h - 1, 1])
    return rows if rows.max() < table_rows(window) else position_index(window)


def table_rows(window: Triple) -> int:
    """Rows of a table of biases: offsets between two tokens of a window."""
    return prod(2 * n - 1 for n in window)
