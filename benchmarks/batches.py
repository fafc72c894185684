"""The batch every contender learns on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def batch(shape: Sequence[int], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise around a stack of slabs, one class each.

    Args:
        shape: (N, C, X, Y, Z).
        classes: number of classes.

    Returns:
        Image (N, C, X, Y, Z) float32 and label (N, X, Y, Z) int64.
    """
    generator = np.random.default_rng(0)
    columns = np.arange(shape[2]) * classes // shape[2]
    label = np.broadcast_to(columns[:, None, None], (shape[0], *shape[2:])).astype(np.int64)
    image = generator.normal(size=shape).astype(np.float32) + label[:, None] / np.float32(classes)
    return image.astype(np.float32), label
