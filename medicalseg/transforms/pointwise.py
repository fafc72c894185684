"""Arithmetic on large float32 arrays a block at a time, so that several operations find a block in the cache."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

_BLOCK = 1 << 15


def blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Flat views that cover a C-contiguous array; writing to them changes it."""
    flat = array.reshape(-1)
    for first in range(0, flat.size, _BLOCK):
        yield flat[first : first + _BLOCK]


def mean_and_deviation(array: np.ndarray) -> tuple[float, float]:
    """Mean and (population) standard deviation of a non-empty float32 array.

    Differences from the first block's mean are summed, block by block in float32 and over all in float64, so that a
    large mean costs no digits.
    """
    origin: np.float32 | None = None
    total = squares = 0.0
    for part in blocks(array):
        if origin is None:
            origin = np.float32(part.mean(dtype=np.float64))
        difference = part - origin
        total += float(difference.sum())
        difference *= difference
        squares += float(difference.sum())
    shift = total / array.size
    return float(origin or 0.0) + shift, math.sqrt(max(0.0, squares / array.size - shift * shift))


def raise_to(part: np.ndarray, exponent: float) -> None:
    """`part ** exponent` in place, for values >= 0 and an exponent > 0; NumPy's logarithm is faster than its power."""
    with np.errstate(divide="ignore"):
        np.log(part, out=part)
    part *= np.float32(exponent)
    np.exp(part, out=part)
