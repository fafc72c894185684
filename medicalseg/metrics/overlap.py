"""Dice, IoU, precision and recall per class, from voxel counts.

One rule for all four: a class absent from both prediction and reference is not applicable (NaN); one that is in only
one of them scores 0.
"""

from __future__ import annotations

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.metrics.counts import Counts


@manager.METRICS.add_component
def dice(counts: Counts) -> np.ndarray:
    """2 TP / (2 TP + FP + FN) per class, float64, NaN where the class is in neither (Dice 1945).

    Example:
        >>> dice(Counts(np.array([2, 0]), np.array([1, 0]), np.array([1, 0]))).round(4).tolist()
        [0.6667, nan]
    """
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn, counts)


@manager.METRICS.add_component
def iou(counts: Counts) -> np.ndarray:
    """TP / (TP + FP + FN) per class, the Jaccard index; NaN where the class is in neither."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn, counts)


@manager.METRICS.add_component
def precision(counts: Counts) -> np.ndarray:
    """TP / (TP + FP) per class; NaN where the class is in neither, 0 where it is in the reference only."""
    return _ratio(counts.tp, counts.tp + counts.fp, counts)


@manager.METRICS.add_component
def recall(counts: Counts) -> np.ndarray:
    """TP / (TP + FN) per class; NaN where the class is in neither, 0 where it is in the prediction only."""
    return _ratio(counts.tp, counts.tp + counts.fn, counts)


def _ratio(numerator: np.ndarray, denominator: np.ndarray, counts: Counts) -> np.ndarray:
    value = numerator / np.maximum(denominator, 1)
    value[(counts.tp + counts.fp + counts.fn) == 0] = np.nan
    return value


MEASURES = {"dice": dice, "iou": iou, "precision": precision, "recall": recall}
