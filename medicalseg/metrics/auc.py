"""Area under the ROC curve in bounded memory, from histograms of scores."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from medicalseg.metrics.soft_dice import kept_voxels, of_channel

BINS = 1 << 13
BLOCK_VOXELS = 1 << 16
LIMIT = 20.0


class HistogramAuc:
    """One-vs-rest area under the ROC curve per class; nothing but two histograms per class is stored.

    Scores are the log-odds of a class's softmax probability, clipped to ±20 and sorted into 8192 bins; pairs of voxels
    that share a bin count one half, as ties do. With two classes both have the same area (of class 1's score).

    Args:
        num_classes: K.
        ignore_index: voxels with this id in the label are left out.
        codes: the label holds codes of structures that may overlap (`medicalseg.inference.decision`), voxels with a
            negative one are left out, and scores are the logits, which are a sigmoid's log-odds.
    """

    def __init__(self, num_classes: int, ignore_index: int | None = 255, codes: bool = False) -> None:
        self._ignore_index, self._codes = ignore_index, codes
        self.positives = np.zeros((num_classes, BINS), dtype=np.int64)
        self.negatives = np.zeros((num_classes, BINS), dtype=np.int64)

    def add(self, logits: np.ndarray, label: np.ndarray) -> None:
        """Add voxels: logits (K, ...), label (...)."""
        label = label.reshape(-1)
        logits = logits.reshape(logits.shape[0], -1)
        kept = kept_voxels(label, self._ignore_index, self._codes)
        if kept is not None and not kept.all():
            logits, label = logits[:, kept], label[kept]
        for start in range(0, label.size, BLOCK_VOXELS):
            part = slice(start, start + BLOCK_VOXELS)
            self._add_block(logits[:, part].astype(np.float64), label[part])

    def _add_block(self, logits: np.ndarray, label: np.ndarray) -> None:
        for index, log_odds in enumerate(logits if self._codes else _log_odds(logits)):
            bins = _bin(log_odds)
            hits = of_channel(label, index, self._codes)
            self.positives[index] += np.bincount(bins[hits], minlength=BINS)
            self.negatives[index] += np.bincount(bins[~hits], minlength=BINS)

    @property
    def state(self) -> np.ndarray:
        """Both histograms of this rank, for `merge`."""
        return np.stack([self.positives, self.negatives])

    def merge(self, states: Iterable[np.ndarray]) -> None:
        """Replace the histograms by the sums of those of all ranks, this one's among them."""
        self.positives, self.negatives = np.sum(list(states), axis=0)

    def value(self) -> np.ndarray:
        """(K,) float64; NaN for a class that no voxel or every voxel has."""
        below = np.cumsum(self.negatives, axis=1) - self.negatives
        wins = (self.positives * (below + 0.5 * self.negatives)).sum(axis=1)
        pairs = self.positives.sum(axis=1).astype(np.float64) * self.negatives.sum(axis=1)
        return np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _bin(log_odds: np.ndarray) -> np.ndarray:
    scaled = (np.clip(log_odds, -LIMIT, LIMIT) + LIMIT) * ((BINS - 1) / (2 * LIMIT))
    return scaled.astype(np.int64)


def _log_odds(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=0)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=0))
    with np.errstate(divide="ignore"):
        return log_probability - np.log1p(-np.exp(log_probability))
