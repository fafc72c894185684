"""A column of boxes with known levels, and ways to corrupt a level map."""

from __future__ import annotations

import numpy as np

VERTEBRAE = list(range(2, 11))
DISCS = list(range(11, 20))


def column(levels: int = 6, sacrum: bool = False, bend: float = 6.0) -> np.ndarray:
    """(X, Y, Z) ids in RAS at 1 mm: disc 11 + k below vertebra 2 + k, along a curve; 1 is a long lowest vertebra."""
    labels = np.zeros((30, 60, 20 + 18 * levels + (40 if sacrum else 0)), np.uint8)
    z = 10
    if sacrum:
        _box(labels, z, z + 40, 1, bend)
        z += 41
    for level in range(levels):
        _box(labels, z, z + 4, DISCS[level], bend)
        _box(labels, z + 5, z + 17, VERTEBRAE[level], bend)
        z += 18
    return labels


def _box(labels: np.ndarray, low: int, high: int, value: int, bend: float) -> None:
    for z in range(low, high):
        middle = 30 + round(bend * np.sin(z / 25))
        labels[8:22, middle - 10 : middle + 10, z] = value


def shifted(labels: np.ndarray, first: int, by: int = 1) -> np.ndarray:
    """All levels from number `first` on, of both kinds, called `by` too high."""
    result = labels.copy()
    for ids in (VERTEBRAE, DISCS):
        stretch = (labels >= ids[first]) & (labels <= ids[-1])
        result[stretch] = np.clip(labels[stretch].astype(int) + by, ids[0], ids[-1])
    return result


def half_as_neighbour(labels: np.ndarray, value: int, other: int, axis: int = 0) -> np.ndarray:
    """Half of one level called another."""
    result = labels.copy()
    places = np.argwhere(labels == value)
    half = places[places[:, axis] > np.median(places[:, axis])]
    result[tuple(half.T)] = other
    return result


def speckled(labels: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """A share of the foreground with other levels of its kind."""
    generator = np.random.default_rng(seed)
    result = labels.copy()
    for ids in (VERTEBRAE, DISCS):
        chosen = np.isin(labels, ids) & (generator.random(labels.shape) < share)
        result[chosen] = generator.choice(ids, int(chosen.sum()))
    return result


def mean_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Mean over the levels of either."""
    both = np.bincount(reference[prediction == reference], minlength=20)
    sizes = np.bincount(prediction.ravel(), minlength=20) + np.bincount(reference.ravel(), minlength=20)
    present = np.flatnonzero(sizes[1:]) + 1
    return float((2 * both[present] / sizes[present]).mean())
