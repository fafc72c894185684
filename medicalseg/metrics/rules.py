"""Other rules than ours for the same counts: each image with a plain mean, and all voxels in one confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medicalseg.metrics.counts import Counts

SMALLEST_TP = 1e-6


@dataclass(frozen=True)
class PerImage:
    """Means over images by a rule of 2D studies: IoU, Dice, precision, recall of each image, TP = 0 counting as 1e-6.

    So a class that is in neither mask of an image counts 1 there: a set of images most of which are empty scores high
    for that alone. One that is in a single mask has Dice and IoU 0, but precision 1 if it was not predicted, and
    recall 1 if it is not in the reference. Arrays have one value per class id.

    Attributes:
        dice, iou, precision, recall: means over the images.
        class_ids: foreground classes, over which `mean` goes.
        images: number of images.
    """

    RULE: ClassVar[str] = "per-image rule: TP = 0 counts as 1e-6, so an empty image with an empty prediction counts 1"

    dice: np.ndarray
    iou: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    class_ids: tuple[int, ...]
    images: int

    @classmethod
    def of(cls, counts: Sequence[Counts], class_ids: Sequence[int]) -> PerImage:
        """From the counts of each image."""
        tp, fp, fn = (np.stack([getattr(count, name) for count in counts]) for name in ("tp", "fp", "fn"))
        hits = np.where(tp == 0, SMALLEST_TP, tp)
        return cls(
            dice=(2 * hits / (2 * hits + fp + fn)).mean(axis=0),
            iou=(hits / (hits + fp + fn)).mean(axis=0),
            precision=(hits / (hits + fp)).mean(axis=0),
            recall=(hits / (hits + fn)).mean(axis=0),
            class_ids=tuple(class_ids),
            images=len(counts),
        )

    def mean(self, name: str) -> float:
        """Mean of a measure over the foreground classes; NaN if there is none."""
        values = getattr(self, name)[list(self.class_ids)]
        return float(values.mean()) if values.size else float("nan")


@dataclass(frozen=True)
class Pooled:
    """Measures of all voxels of all cases in one confusion matrix; one value per class id, NaN for 0 / 0.

    Attributes:
        sensitivity: TP / (TP + FN).
        specificity: TN / (TN + FP).
        f1: 2 TP / (2 TP + FP + FN).
        precision: TP / (TP + FP).
    """

    RULE: ClassVar[str] = "pooled: all voxels of all cases counted together; mean over the classes, background counted"

    sensitivity: np.ndarray
    specificity: np.ndarray
    f1: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, counts: Sequence[Counts]) -> Pooled:
        """From the counts of each case; specificity is NaN where the number of voxels is not known."""
        total = sum(counts[1:], counts[0])
        tp, fp, fn = total.tp, total.fp, total.fn
        tn = np.full(tp.shape, np.nan) if total.voxels is None else total.voxels - tp - fp - fn
        return cls(_ratio(tp, tp + fn), _ratio(tn, tn + fp), _ratio(2 * tp, 2 * tp + fp + fn), _ratio(tp, tp + fp))

    def mean(self, name: str) -> float:
        """Mean of a measure over the classes that have it; NaN if none has."""
        values = getattr(self, name)
        present = values[~np.isnan(values)]
        return float(present.mean()) if present.size else float("nan")


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    whole = np.asarray(denominator, np.float64)
    return np.divide(numerator, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
