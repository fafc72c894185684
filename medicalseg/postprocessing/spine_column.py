"""The voxels of a spine as points in mm, the curve that the column follows, and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medicalseg.errors import DataError

FACES = ndimage.generate_binary_structure(3, 1)
CURVE_SIGMA_MM = 15.0
SMALLEST_SHARE = 0.02


@dataclass
class Column:
    """Voxels of vertebrae and discs.

    Attributes:
        index: (n,) their places in the flattened box of the label map.
        points: (n, 3) mm, the last coordinate rising from feet to head.
        rank: (n,) what the network said, from 0 at the lowest level.
        disc: (n,) whether that is a disc.
        part: (n,) number of the part; changed by splitting and merging.
    """

    index: np.ndarray
    points: np.ndarray
    rank: np.ndarray
    disc: np.ndarray
    part: np.ndarray

    @classmethod
    def of(cls, ranks: np.ndarray, rank_is_disc: np.ndarray, spacing: Sequence[float], axcodes: str) -> Column:
        """Connected parts of all vertebrae, and of all discs.

        Args:
            ranks: (X, Y, Z) ranks, -1 where there is neither a vertebra nor a disc.
            rank_is_disc: by rank.
            spacing: mm.
            axcodes: of the axes.

        Raises:
            DataError: if no axis runs from feet to head or back.
        """
        disc = np.append(rank_is_disc, False)[ranks]
        index = np.flatnonzero(ranks >= 0)
        parts, count = ndimage.label((ranks >= 0) & ~disc, FACES)
        part = parts.ravel()[index]
        parts, _ = ndimage.label((ranks >= 0) & disc, FACES)
        between = parts.ravel()[index]
        del parts
        part = np.where(between > 0, between + count, part)
        places = np.unravel_index(index, ranks.shape)
        axis = cranial_axis(axcodes)
        order = [other for other in range(3) if other != axis] + [axis]
        points = np.stack([places[a] * float(spacing[a]) for a in order], axis=1)
        if axcodes[axis] == "I":
            points[:, 2] *= -1
        return cls(index, points, ranks.ravel()[index], disc.ravel()[index], part - 1)

    def parts(self) -> Parts:
        """Size, kind and centre of every part, numbered as in `part`, and from now on without gaps in the numbers."""
        _, self.part = np.unique(self.part, return_inverse=True)
        size = np.bincount(self.part)
        centre = np.stack([np.bincount(self.part, self.points[:, axis]) / size for axis in range(3)], axis=1)
        disc = np.bincount(self.part, self.disc) > 0
        return Parts(size, disc, centre)


@dataclass(frozen=True)
class Parts:
    """Parts of a column.

    Attributes:
        size: (m,) voxels.
        disc: (m,) whether it is a disc.
        centre: (m, 3) mm.
    """

    size: np.ndarray
    disc: np.ndarray
    centre: np.ndarray

    def usual_size(self, disc: bool) -> float:
        """Size of the part in which half of the voxels of this kind lie in smaller ones."""
        sizes = np.sort(self.size[self.disc == disc])
        if not len(sizes):
            return 0.0
        return float(sizes[np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)])

    def main(self, disc: bool) -> np.ndarray:
        """Numbers of the parts of a kind that are no crumbs."""
        return np.flatnonzero((self.disc == disc) & (self.size >= SMALLEST_SHARE * self.usual_size(disc)))

    def large(self) -> np.ndarray:
        """Numbers of all parts that are no crumbs."""
        return np.concatenate([self.main(disc=False), self.main(disc=True)])


class Curve:
    """The line through the middle of a column, from below upwards.

    Args:
        points: (n, 3) mm, the last coordinate rising.
        step: mm between its points.
    """

    def __init__(self, points: np.ndarray, step: float) -> None:
        lowest = points[:, 2].min()
        row = np.round((points[:, 2] - lowest) / step).astype(np.int64)
        weight = _smooth(np.bincount(row).astype(np.float64), step)
        sideways = [_smooth(np.bincount(row, points[:, axis]), step) / weight for axis in range(2)]
        self.points = np.stack([*sideways, lowest + step * np.arange(len(weight))], axis=1)
        if len(self.points) == 1:
            self.points = np.concatenate([self.points, self.points + [0, 0, step]])
        steps = np.diff(self.points, axis=0)
        self._along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(steps, axis=1))])
        tangents = np.gradient(self.points, axis=0)
        self._tangents = tangents / np.linalg.norm(tangents, axis=1, keepdims=True)

    def place(self, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where centres (m, 3) lie: mm along the curve (m,), its directions there (m, 3), mm aside of it (m,)."""
        distances = np.linalg.norm(centres[:, None] - self.points[None], axis=2)
        nearest = distances.argmin(axis=1)
        away, directions = centres - self.points[nearest], self._tangents[nearest]
        beyond = np.einsum("md,md->m", away, directions)
        return self._along[nearest] + beyond, directions, np.linalg.norm(away - beyond[:, None] * directions, axis=1)


def _smooth(rows: np.ndarray, step: float) -> np.ndarray:
    return ndimage.gaussian_filter1d(rows, CURVE_SIGMA_MM / step, mode="constant", truncate=20.0)


def cranial_axis(axcodes: str) -> int:
    for axis, code in enumerate(axcodes):
        if code in "SI":
            return axis
    raise DataError(f"no axis of {axcodes!r} runs between feet (I) and head (S): levels of a spine cannot be ordered")
