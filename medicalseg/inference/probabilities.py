"""Probabilities of what networks give: the softmax over classes, or one sigmoid per structure."""

from __future__ import annotations

import numpy as np

from medicalseg.inference.argmax import refuse_nan
from medicalseg.inference.threads import for_each

CERTAIN = 20.0
SMALLEST = 1e-12


def to_probabilities(scores: np.ndarray, head: str, weights: np.ndarray | None = None) -> np.ndarray:
    """Probabilities of logits, computed in their place.

    Args:
        scores: (K, x, ...) float32 logits, or sums of them; overwritten.
        head: "softmax" or "sigmoid".
        weights: (x, ...): the scores are sums that count so often.

    Returns:
        `scores`.

    Raises:
        RunError: if a score is NaN.
    """

    def row(index: int) -> None:
        part = scores[:, index]
        if weights is not None:
            part /= weights[index]
        if head == "softmax":
            part -= part.max(axis=0)
            np.exp(part, out=part)
            part /= part.sum(axis=0)
        else:
            np.clip(part, -87, 87, out=part)
            np.exp(np.negative(part, out=part), out=part)
            part += 1
            np.reciprocal(part, out=part)
        refuse_nan(part)

    for_each(row, range(scores.shape[1]), scores.size)
    return scores


def to_logits(probabilities: np.ndarray, head: str) -> np.ndarray:
    """Logits whose probabilities these are: log p of a softmax, the log-odds of sigmoids."""
    kept = np.clip(probabilities, SMALLEST, None, dtype=np.float32)
    if head == "softmax":
        return np.log(kept)
    return np.log(kept) - np.log(np.clip(1 - probabilities, SMALLEST, None, dtype=np.float32))


def background(classes: int, head: str, probabilities: bool = False) -> np.ndarray:
    """(K,) scores of a voxel that is certainly background.

    Args:
        classes: K.
        head: "softmax" (class 0) or "sigmoid" (no structure).
        probabilities: give probabilities in place of logits.
    """
    low, high = (0.0, 1.0) if probabilities else (-CERTAIN, CERTAIN)
    scores = np.full(classes, low, np.float32)
    if head == "softmax":
        scores[0] = high
    return scores
