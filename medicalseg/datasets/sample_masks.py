"""Masks of structures that may overlap, on their way through transforms, which move one array of ids."""

from __future__ import annotations

import numpy as np

from medicalseg.inference.decision import MOST_STRUCTURES, unpack

_MARK = 1 << MOST_STRUCTURES


def marked(codes: np.ndarray) -> np.ndarray:
    """Codes that no id of a transform can be mistaken for: a bit beyond those of structures is set."""
    return np.where(codes > 0, codes | _MARK, codes)


def unmarked(labels: np.ndarray, ignore_index: int) -> np.ndarray:
    """Inverse of `marked`; -1 where a transform has put `ignore_index`."""
    codes = np.where(labels > 0, labels & (_MARK - 1), labels)
    codes[labels == ignore_index] = -1
    return codes


def as_masks(labels: np.ndarray, structures: int, ignore_index: int, codes: bool) -> np.ndarray:
    """Masks uint8 (K, ...) for sigmoids, of `marked` codes or of ids; `ignore_index` where ignored."""
    if codes:
        return unpack(unmarked(labels, ignore_index), structures, ignore_index)
    masks = np.stack([(labels == index + 1).astype(np.uint8) for index in range(structures)])
    masks[:, labels == ignore_index] = ignore_index
    return masks
