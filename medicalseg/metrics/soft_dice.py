"""The soft Dice that PaddleSeg3D prints as its evaluation Dice."""

from __future__ import annotations

import numpy as np

from medicalseg.errors import DataError

EPSILON = 1e-6


def soft_dice(
    logits: np.ndarray, label: np.ndarray, sigmoid: bool = True, ignore_index: int | None = 255
) -> np.ndarray:
    """PaddleSeg3D's Dice of one image: 2 Σ p t / max(Σ p² + Σ t², 1e-6) per class.

    p is the sigmoid (or softmax) of the logits, t the one-hot label. A class that is not in the label scores 0 rather
    than not applicable, and a confident network scores higher for the same segmentation: compare networks by the hard
    `dice`, and use this one only beside PaddleSeg3D's own figures.

    Args:
        logits: (K, ...) floats.
        label: (...) integer ids; voxels with `ignore_index` are left out.
        sigmoid: False takes the softmax over classes.

    Returns:
        (K,) float64.

    Raises:
        DataError: if the shapes do not fit.
    """
    sums = SoftDiceSums(logits.shape[0], sigmoid=sigmoid, ignore_index=ignore_index)
    sums.add(logits, label)
    return sums.value()


class SoftDiceSums:
    """Soft Dice of a volume that arrives in pieces.

    Args:
        num_classes: K.
        sigmoid: False takes the softmax over classes.
        ignore_index: voxels with this id in the label are left out.
        codes: the label holds codes of structures that may overlap (`medicalseg.inference.decision`); voxels with a
            negative one are left out.
    """

    def __init__(
        self, num_classes: int, sigmoid: bool = True, ignore_index: int | None = 255, codes: bool = False
    ) -> None:
        self._sigmoid, self._codes = sigmoid, codes
        self._ignore_index = ignore_index
        self._overlap = np.zeros(num_classes)
        self._squares = np.zeros(num_classes)

    def add(self, logits: np.ndarray, label: np.ndarray) -> None:
        """Add a piece: logits (K, ...), label (...)."""
        if logits.shape != (len(self._overlap), *label.shape):
            raise DataError(f"logits of shape {logits.shape} do not fit a label of shape {label.shape}")
        kept = kept_voxels(label, self._ignore_index, self._codes)
        if kept is not None and kept.all():
            kept = None
        normaliser = None if self._sigmoid else _log_sum_exp(logits)
        for index, plane in enumerate(logits):
            probability = _sigmoid(plane) if normaliser is None else np.exp(plane - normaliser)
            target = of_channel(label, index, self._codes)
            if kept is not None:
                probability = np.where(kept, probability, 0)
            self._overlap[index] += np.sum(probability, where=target, dtype=np.float64)
            self._squares[index] += np.square(probability).sum(dtype=np.float64) + np.count_nonzero(target)

    def value(self) -> np.ndarray:
        """(K,) float64: the soft Dice of all pieces together."""
        return 2 * self._overlap / np.maximum(self._squares, EPSILON)


def kept_voxels(label: np.ndarray, ignore_index: int | None, codes: bool) -> np.ndarray | None:
    """Where a label of ids, or of codes, is known; None if nothing can be unknown."""
    if codes:
        return np.asarray(label >= 0)
    return None if ignore_index is None else label != ignore_index


def of_channel(label: np.ndarray, channel: int, codes: bool) -> np.ndarray:
    """Where a label has the class of a network's channel, which of codes is the bit, and nothing where negative."""
    return (label >= 0) & ((label >> channel) & 1 == 1) if codes else label == channel


def _sigmoid(plane: np.ndarray) -> np.ndarray:
    return 0.5 * (np.tanh(0.5 * plane) + 1)


def _log_sum_exp(logits: np.ndarray) -> np.ndarray:
    highest = logits.max(axis=0)
    total = np.zeros_like(highest)
    for plane in logits:
        total += np.exp(plane - highest)
    return highest + np.log(total)
