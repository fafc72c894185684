"""Which slice of a case a training sample shows."""

from __future__ import annotations

import numpy as np

from medicalseg.errors import ConfigError
from medicalseg.inference.slices import SliceSpec
from medicalseg.utils.seeding import rng

BALANCED = "balanced"


class SliceDraw:
    """Draws slices, with a share from those that have foreground.

    Args:
        foreground: share of the training slices, 0 to 1, drawn from those with foreground, the others from all slices;
            "balanced" draws a class first, then a slice that has it (the background's are all); None: from all slices.
        ids: ids that labels may have, the background's 0 counted.

    Raises:
        ConfigError: if `foreground` is something else.
    """

    def __init__(self, foreground: float | str | None, ids: int) -> None:
        number = isinstance(foreground, (int, float)) and not isinstance(foreground, bool)
        if foreground not in (None, BALANCED) and not (number and 0 <= float(foreground) <= 1):
            raise ConfigError(f"foreground: expected a share from 0 to 1 or '{BALANCED}', got {foreground!r}")
        self.by_class = foreground == BALANCED
        self.share = (ids - 1) / ids if self.by_class else float(foreground or 0)

    def wants_foreground(self) -> bool:
        """Whether the next slice has to have foreground."""
        return self.share > 0 and bool(rng().random() < self.share)

    def any_slice(self, count: int) -> int:
        """One of `count` slices."""
        return int(rng().integers(count))

    def foreground_slice(self, presence: np.ndarray) -> int:
        """A slice that has foreground.

        Args:
            presence: (n, ids), which id is in which slice; an id other than 0 is in at least one.
        """
        wanted = presence[:, 1:].any(axis=1)
        if self.by_class:
            classes = 1 + np.flatnonzero(presence[:, 1:].any(axis=0))
            wanted = presence[:, classes[self.any_slice(len(classes))]]
        places = np.flatnonzero(wanted)
        return int(places[self.any_slice(len(places))])


def presence_of(label: np.ndarray, spec: SliceSpec, ids: int) -> np.ndarray:
    """Which id is in which slice: bool (n, ids).

    Args:
        label: ids (X, Y, Z), or masks (K, X, Y, Z) whose first has the id 1.
        spec: how the volume is cut.
        ids: ids that count; others, such as an ignored one, do not.
    """
    slices = np.moveaxis(label, label.ndim - 3 + spec.axis, 0)
    table = np.zeros((len(slices), ids), bool)
    for row, piece in zip(table, slices, strict=True):
        if label.ndim == 4:
            row[1:] = (piece == 1).any(axis=(1, 2))
            row[0] = (piece == 0).all(axis=0).any()
        else:
            found = np.unique(piece)
            row[found[(found >= 0) & (found < ids)]] = True
    return table
