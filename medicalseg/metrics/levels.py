"""Numbered structures in a row, such as vertebrae: how much of them carries a neighbour's number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medicalseg.errors import DataError, UserError


@dataclass(frozen=True)
class LevelConfusion:
    """One case's levels.

    Attributes:
        order: ids of the levels in anatomical order.
        matrix: (L + 1, L) voxels: row = what was predicted (the last row: no level of the order), column = level in
            the reference.
    """

    order: tuple[int, ...]
    matrix: np.ndarray

    @property
    def voxels(self) -> int:
        """Voxels that have a level in the reference."""
        return int(self.matrix.sum())

    @property
    def neighbour_voxels(self) -> int:
        """Those predicted as the next level up or down."""
        return int(self._at(1) + self._at(-1))

    @property
    def farther_voxels(self) -> int:
        """Those predicted as a level farther off."""
        levels = self.matrix[:-1]
        return int(levels.sum() - self._at(0) - self.neighbour_voxels)

    @property
    def neighbour_share(self) -> float:
        """Share of the levels' voxels predicted as a neighbouring level; NaN without levels."""
        return self.neighbour_voxels / self.voxels if self.voxels else float("nan")

    @property
    def farther_share(self) -> float:
        """Share of the levels' voxels predicted as a level farther off; NaN without levels."""
        return self.farther_voxels / self.voxels if self.voxels else float("nan")

    def shifts(self) -> list[int | None]:
        """For every level in the reference, how many places off its most frequent predicted level is.

        Voxels predicted as no level do not vote; None if nothing else is there. Of equally frequent ones the nearest.
        """
        found: list[int | None] = []
        for column in np.flatnonzero(self.matrix.sum(axis=0)):
            votes = self.matrix[:-1, column]
            if not votes.any():
                found.append(None)
                continue
            best = np.flatnonzero(votes == votes.max())
            found.append(int(min(best - column, key=abs)))
        return found

    def _at(self, offset: int) -> int:
        return int(np.trace(self.matrix[:-1], offset=-offset))


def neighbour_confusion(prediction: np.ndarray, reference: np.ndarray, order: Sequence[int]) -> LevelConfusion:
    """Compare the levels of a case.

    Args:
        prediction: integer ids, any shape.
        reference: integer ids, same shape.
        order: ids of the levels from one end to the other, at least two.

    Raises:
        DataError: if shapes differ.
        UserError: if the order names an id twice or fewer than two.

    Example:
        >>> neighbour_confusion(np.array([3, 3, 4, 0]), np.array([2, 3, 4, 4]), [2, 3, 4]).neighbour_share
        0.25
    """
    check_order(order)
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    if prediction.shape != reference.shape:
        raise DataError(f"prediction has shape {prediction.shape}, reference {reference.shape}; they must be equal")
    inside = np.isin(reference, order)
    true, predicted = (_positions(array[inside], order) for array in (reference, prediction))
    count = len(order)
    pairs = np.bincount(predicted * count + true, minlength=(count + 1) * count)
    return LevelConfusion(tuple(order), pairs.reshape(count + 1, count))


def check_order(order: Sequence[int]) -> None:
    """Raise UserError unless the order names at least two ids, each once."""
    if len(order) < 2 or len(set(order)) < len(order):
        raise UserError(f"level order: expected at least two ids, each once, got {list(order)}")


@dataclass(frozen=True)
class LevelSummary:
    """Levels of all cases.

    Attributes:
        order: ids of the levels.
        names: of the levels.
        neighbour_share: share of the voxels predicted as a neighbouring level, mean over cases.
        farther_share: share predicted as a level farther off, mean over cases.
        structures: levels in the references.
        right: those whose most frequent predicted level is right.
        missed: those without any voxel predicted as a level.
        shifts: the others by how many places they are off.
    """

    order: tuple[int, ...]
    names: tuple[str, ...]
    neighbour_share: float
    farther_share: float
    structures: int
    right: int
    missed: int
    shifts: dict[int, int]

    @classmethod
    def of(cls, cases: Sequence[LevelConfusion], names: Sequence[str]) -> LevelSummary:
        """From the cases' confusions, all of one order.

        Args:
            cases: one per case.
            names: by class id.
        """
        shifts = Counter(shift for case in cases for shift in case.shifts())
        present = [case for case in cases if case.voxels]
        order = cases[0].order
        return cls(
            order=order,
            names=tuple(names[level] for level in order),
            neighbour_share=_mean([case.neighbour_share for case in present]),
            farther_share=_mean([case.farther_share for case in present]),
            structures=sum(shifts.values()),
            right=shifts[0],
            missed=shifts[None],
            shifts={shift: shifts[shift] for shift in sorted(key for key in shifts if key)},
        )

    @property
    def accuracy(self) -> float:
        """Share of the structures whose most frequent predicted level is right; NaN without structures."""
        return self.right / self.structures if self.structures else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; NaN where not applicable."""
        return {
            "order": list(self.order),
            "names": list(self.names),
            "rule": "shares of the levels' reference voxels, mean over cases; a structure's level is the most frequent "
            "one predicted in it",
            "neighbour_share": self.neighbour_share,
            "farther_share": self.farther_share,
            "accuracy": self.accuracy,
            "structures": self.structures,
            "right": self.right,
            "missed": self.missed,
            "shifts": {f"{shift:+d}": count for shift, count in self.shifts.items()},
        }


def _positions(ids: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Places in the order; its length for ids that are not in it."""
    rank = np.argsort(order)
    ordered = np.asarray(order)[rank]
    places = np.minimum(np.searchsorted(ordered, ids), len(order) - 1)
    return np.where(ordered[places] == ids, rank[places], len(order)).astype(np.int64)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
