"""From a network's scores to labels: the largest class of a softmax, or every structure above a sigmoid's threshold.

Labels are integers everywhere. Of a softmax they are class ids. Of sigmoids, whose structures may overlap, they are
codes: bit k is set where the structure of channel k, which has the id k + 1, is present. With a single structure the
code is the id.
"""

from __future__ import annotations

import math

import numpy as np

from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.argmax import argmax_classes, refuse_nan
from medicalseg.inference.threads import for_each

HEADS = ("softmax", "sigmoid")
MOST_STRUCTURES = 30


class Decision:
    """How scores become labels.

    Args:
        head: "softmax" or "sigmoid".
        threshold: probability from which on a sigmoid's structure is present.

    Raises:
        ConfigError: if a value is wrong.
    """

    def __init__(self, head: str = "softmax", threshold: float = 0.5) -> None:
        if head not in HEADS:
            raise ConfigError(f"head: expected one of {list(HEADS)}, got {head!r}")
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 < threshold < 1:
            raise ConfigError(f"threshold: expected a number between 0 and 1, got {threshold!r}")
        self.head, self.threshold = head, float(threshold)

    @property
    def smallest_logit(self) -> float:
        """The logit of the threshold."""
        return math.log(self.threshold / (1 - self.threshold))

    def labels(
        self, scores: np.ndarray, axis: int = 0, *, weights: np.ndarray | None = None, probabilities: bool = False
    ) -> np.ndarray:
        """Labels of a network's output.

        Args:
            scores: floats, channels along `axis`.
            axis: the axis of channels.
            weights: without that axis; the scores are sums that count so often.
            probabilities: the scores come from a softmax or sigmoids; else they are logits.

        Returns:
            int32 class ids or codes, without that axis.

        Raises:
            RunError: if scores are NaN.
        """
        if self.head == "softmax":
            return argmax_classes(scores, axis)
        least = self.threshold if probabilities else self.smallest_logit
        return codes_above(scores if weights is None else scores / np.expand_dims(weights, axis), least, axis)


def codes_above(scores: np.ndarray, least: float, axis: int = 0) -> np.ndarray:
    """Codes (int32) of the channels along `axis` whose score is at least `least`.

    Raises:
        RunError: if scores are NaN.
    """
    planes = np.moveaxis(scores, axis, 0)
    codes = np.zeros(planes.shape[1:], np.int32)
    if codes.ndim == 0:
        return codes_above(planes[:, None], least)[0]

    def row(index: int) -> None:
        for channel, plane in enumerate(planes[:, index]):
            refuse_nan(plane)
            codes[index] |= np.left_shift(plane >= least, channel, dtype=np.int32)

    for_each(row, range(len(codes)), scores.size)
    return codes


def pack(masks: np.ndarray, ignore_index: int | None = None) -> np.ndarray:
    """Masks of overlapping structures as codes.

    Args:
        masks: (K, ...) of 0, 1 and, where nothing is known, `ignore_index`.
        ignore_index: becomes the code -1 where any structure has it.

    Returns:
        int32 (...).

    Raises:
        DataError: if a mask holds another number, or there are too many structures.
    """
    if len(masks) > MOST_STRUCTURES:
        raise DataError(f"{len(masks)} structures; at most {MOST_STRUCTURES} may overlap")
    codes = np.zeros(masks.shape[1:], np.int32)
    unknown = np.zeros(masks.shape[1:], bool)
    for channel, mask in enumerate(masks):
        present = mask == 1
        if ignore_index is not None:
            unknown |= mask == ignore_index
        if not (present | (mask == 0) | unknown).all():
            raise DataError(f"the mask of structure {channel + 1} holds other numbers than 0 and 1")
        codes |= present.astype(np.int32) << channel
    codes[unknown] = -1
    return codes


def unpack(codes: np.ndarray, structures: int, ignore_index: int | None = None) -> np.ndarray:
    """Inverse of `pack`: uint8 (K, ...); `ignore_index` (or 0 if that is None) where the code is -1."""
    masks = np.stack([(codes >> channel & 1).astype(np.uint8) for channel in range(structures)])
    unknown = codes < 0
    if unknown.any():
        masks[:, unknown] = 0 if ignore_index is None else ignore_index
    return masks


def codes_of_ids(ids: np.ndarray, ignore_index: int | None = None) -> np.ndarray:
    """Codes of class ids of which each voxel has one: id k sets bit k - 1, `ignore_index` gives -1."""
    ids = np.asarray(ids)
    ignored = np.zeros(ids.shape, bool) if ignore_index is None else ids == ignore_index
    known = np.where(ignored, 0, ids).astype(np.int32)
    codes = np.where(known > 0, np.left_shift(np.int32(1), np.maximum(known - 1, 0)), 0).astype(np.int32)
    codes[ignored] = -1
    return codes
