"""Whether probabilities mean what they say: calibration error in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from medicalseg.errors import DataError
from medicalseg.metrics.soft_dice import kept_voxels, of_channel

BINS = 15
BLOCK_VOXELS = 1 << 16


@dataclass(frozen=True)
class ReliabilityCurve:
    """Voxels by predicted probability.

    Attributes:
        count: (bins,) voxels.
        confidence: (bins,) sum of their probabilities.
        hits: (bins,) those that were right.
    """

    count: np.ndarray
    confidence: np.ndarray
    hits: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean over voxels of their bin's |share right - probability|; NaN if empty."""
        total = self.count.sum()
        return float(np.abs(self.hits - self.confidence).sum() / total) if total else float("nan")

    @property
    def mean_confidence(self) -> np.ndarray:
        """(bins,) NaN where a bin is empty."""
        return _ratio(self.confidence, self.count)

    @property
    def accuracy(self) -> np.ndarray:
        """(bins,) share of the voxels that were right, NaN where a bin is empty."""
        return _ratio(self.hits, self.count)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "error": self.error,
            "count": [int(value) for value in self.count],
            "confidence": [float(value) for value in self.mean_confidence],
            "accuracy": [float(value) for value in self.accuracy],
        }


@dataclass(frozen=True)
class CalibrationResult:
    """Calibration of all voxels that were added, on the grid they came from.

    Attributes:
        top: of the most probable class (Guo et al. 2017); of overlapping structures, of each one's decision.
        foreground: likewise, only voxels that the network decides are foreground (of structures: the structure is
            there). A volume that is mostly background is easy; this is the figure to look at. Labels have no say in
            which voxels count, or a network that is right about its doubts would seem wrong.
        classes: of each channel's own probability (Nixon et al. 2019).
        codes: whether the channels are structures that may overlap.
    """

    top: ReliabilityCurve
    foreground: ReliabilityCurve
    classes: tuple[ReliabilityCurve, ...]
    codes: bool = False

    @property
    def class_error(self) -> float:
        """Class-wise calibration error: mean over the channels; NaN without voxels."""
        errors = [curve.error for curve in self.classes]
        return float(np.mean(errors)) if errors else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; NaN where not applicable."""
        return {
            "rule": f"{len(self.top.count)} bins of equal width; error = mean over voxels of |share right - mean "
            "probability| in their bin; foreground: voxels decided as foreground; on the grid of the network",
            "top_label_error": self.top.error,
            "foreground_error": self.foreground.error,
            "class_wise_error": self.class_error,
            "top_label": self.top.to_dict(),
            "foreground": self.foreground.to_dict(),
            "channels": [curve.to_dict() for curve in self.classes],
        }


class Calibration:
    """Gathers probabilities into bins; nothing but the bins is stored.

    Args:
        num_classes: K, channels of the network.
        ignore_index: voxels with this id in the label are left out.
        codes: the label holds codes of structures that may overlap (`medicalseg.inference.decision`), voxels with a
            negative one are left out, and probabilities are sigmoids.
        bins: of equal width from 0 to 1.
        probabilities: `add` gets probabilities; else logits.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int | None = 255,
        codes: bool = False,
        bins: int = BINS,
        probabilities: bool = False,
    ) -> None:
        self._classes, self._ignore_index, self._codes = num_classes, ignore_index, codes
        self._bins, self._probabilities = bins, probabilities
        self._sums = np.zeros((num_classes + 2, 3, bins))

    def add(self, scores: np.ndarray, label: np.ndarray, probabilities: bool | None = None) -> None:
        """Add voxels.

        Args:
            scores: (K, ...) logits or probabilities.
            label: (...) ids or codes.
            probabilities: which of both they are; None = as the object was made.

        Raises:
            DataError: if the shapes do not fit.
        """
        if scores.shape != (self._classes, *label.shape):
            raise DataError(f"scores of shape {scores.shape} do not fit {self._classes} classes of {label.shape}")
        ready = self._probabilities if probabilities is None else probabilities
        flat, label = scores.reshape(self._classes, -1), label.reshape(-1)
        for start in range(0, label.size, BLOCK_VOXELS):
            part = slice(start, start + BLOCK_VOXELS)
            block, ids = flat[:, part], label[part]
            kept = kept_voxels(ids, self._ignore_index, self._codes)
            if kept is not None and not kept.all():
                block, ids = block[:, kept], ids[kept]
            self._add_block(block.astype(np.float64) if ready else _probabilities(block, self._codes), ids)

    @property
    def state(self) -> np.ndarray:
        """All bins of this rank, for `merge`."""
        return self._sums

    def merge(self, states: Iterable[np.ndarray]) -> None:
        """Replace the bins by the sum of those of all ranks, this one's among them."""
        self._sums = np.sum(list(states), axis=0)

    def value(self) -> CalibrationResult:
        """The calibration of everything added so far."""
        curves = [ReliabilityCurve(*sums) for sums in self._sums]
        return CalibrationResult(curves[0], curves[1], tuple(curves[2:]), self._codes)

    def _add_block(self, probabilities: np.ndarray, label: np.ndarray) -> None:
        targets = [of_channel(label, index, self._codes) for index in range(self._classes)]
        for index, (own, target) in enumerate(zip(probabilities, targets, strict=True)):
            self._count(index + 2, own, target)
            if self._codes:
                decided = own >= 0.5
                sure, right = np.where(decided, own, 1 - own), decided == target
                self._count(0, sure, right)
                self._count(1, sure[decided], right[decided])
        if not self._codes and label.size:
            decided = probabilities.argmax(axis=0)
            sure, right = probabilities.max(axis=0), decided == label
            self._count(0, sure, right)
            seen = decided > 0
            self._count(1, sure[seen], right[seen])

    def _count(self, row: int, confidence: np.ndarray, right: np.ndarray) -> None:
        bins = np.minimum((confidence * self._bins).astype(np.int64), self._bins - 1)
        for place, weights in enumerate((None, confidence, right)):
            self._sums[row, place] += np.bincount(bins, weights, minlength=self._bins)


def _probabilities(logits: np.ndarray, codes: bool) -> np.ndarray:
    values = logits.astype(np.float64)
    if codes:
        return 0.5 * (np.tanh(0.5 * values) + 1)
    values = np.exp(values - values.max(axis=0, initial=-np.inf))
    return np.asarray(values / values.sum(axis=0))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
