"""The class with the largest score, found in blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medicalseg.errors import RunError
from medicalseg.inference.threads import for_each

BLOCK_VOXELS = 1 << 15


def argmax_classes(logits: np.ndarray, axis: int = 0) -> np.ndarray:
    """Class with the largest logit, the first of equals; beside the result only small blocks are allocated.

    Args:
        logits: floats, classes along `axis`.
        axis: the axis of classes.

    Returns:
        int32, without that axis.

    Raises:
        RunError: if logits are NaN.
    """
    planes = np.moveaxis(logits, axis, 0)
    labels = np.empty(planes.shape[1:], np.int32)
    for_each(lambda block: _argmax_block(*block), list(_blocks(planes, labels)), logits.size)
    return labels


def _blocks(planes: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if labels.size <= BLOCK_VOXELS or labels.ndim == 0:
        yield planes, labels
        return
    rows = len(labels)
    step = max(1, rows * BLOCK_VOXELS // labels.size)
    for start in range(0, rows, step):
        if step == 1:
            yield from _blocks(planes[:, start], labels[start])
        else:
            yield planes[:, start : start + step], labels[start : start + step]


def _argmax_block(planes: np.ndarray, labels: np.ndarray) -> None:
    best = planes[0].copy()
    winner = np.zeros(best.shape, np.min_scalar_type(len(planes)))
    better = np.empty(best.shape, bool)
    for index in range(1, len(planes)):
        np.greater(planes[index], best, out=better)
        np.copyto(winner, index, where=better)
        np.maximum(best, planes[index], out=best)
    refuse_nan(best)
    labels[...] = winner


def refuse_nan(scores: np.ndarray) -> None:
    """Raise RunError if a score is NaN."""
    if scores.size and np.isnan(scores.min()):
        raise RunError("the network's output is NaN: its weights have diverged, or the image holds NaN")
