"""The levels of a spine in their anatomical order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.postprocessing.base import Postprocessing, checked_classes, checked_number
from medicalseg.postprocessing.spine_column import Column, Curve, cranial_axis
from medicalseg.postprocessing.spine_order import Chain, best_ranks
from medicalseg.postprocessing.spine_split import main_order, merge_pieces, split_parts

CRUMB_STRIDE = 4
CRUMB_REACH = 0.5
ROOM_BELOW = 0.5


@manager.POSTPROCESSING.add_component
class OrderAlongSpine(Postprocessing):
    """Vertebrae and discs get the one numbering along the spine that agrees best with the network's.

    What the network calls a vertebra, of whatever level, falls into connected parts, and so do the discs. Parts that
    span several bodies are cut at the discs between them (or where they are thinnest), pieces of one body are joined.
    Each part votes by its voxels. The numbering chosen is the one with the most votes in which levels rise along the
    column in steps that fit the distances, so a missing part leaves a gap; a part that fits nowhere
    takes its neighbour's number or keeps its own, one aside of the column moves as the column does. Voxels are
    relabelled, never added or removed, and a vertebra never becomes a disc or the reverse.

    Args:
        vertebrae: ids from the lowest level to the highest.
        discs: ids from the lowest to the highest. As many as vertebrae: each disc lies below its vertebra (L5/S below
            L5); one less: above it (a sacrum is the first vertebra, and may have any length); empty: none are labelled.
        gap_penalty: votes that each level costs by which a step differs from its distance in mm, beyond 0.4 levels.
        anchor: votes that it is worth if the lowest part found has the lowest level of its kind; 0 trusts the
            network's numbers alone, a large number an image that always starts there. Pieces of less than 0.3 of the
            usual size are not the lowest part. It counts only where the image goes on below for half a level at least,
            so that the part is not just the lowest one in view.

    Raises:
        ConfigError: if a value is wrong; names the argument.
    """

    def __init__(
        self,
        vertebrae: Sequence[int],
        discs: Sequence[int] = (),
        gap_penalty: float = 50.0,
        anchor: float = 0.0,
    ) -> None:
        bones, between = checked_classes(vertebrae, "vertebrae") or (), checked_classes(discs or None, "discs") or ()
        if not bones:
            raise ConfigError("vertebrae: expected ids from the lowest level to the highest")
        if between and len(bones) - len(between) not in (0, 1):
            raise ConfigError(
                f"discs: {len(between)} ids for {len(bones)} vertebrae; expected as many, one less, or none"
            )
        if set(bones) & set(between):
            raise ConfigError(f"discs: ids {sorted(set(bones) & set(between))} are vertebrae too")
        self.classes = (*bones, *between)
        self.gap_penalty = checked_number(gap_penalty, "gap_penalty")
        self.anchor = checked_number(anchor, "anchor")
        self._from_sacrum = len(between) == len(bones) - 1 and bool(between)
        self._ids, self._rank_is_disc = _ranks(bones, between, self._from_sacrum)

    def masks(self, masks: np.ndarray, spacing: Sequence[float], axcodes: str) -> np.ndarray:
        """Structures that may overlap have no order.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("OrderAlongSpine needs levels that exclude each other; the task's structures may overlap")

    def __call__(self, labels: np.ndarray, spacing: Sequence[float], axcodes: str) -> np.ndarray:
        """See `Postprocessing`.

        Raises:
            DataError: if no axis runs from feet to head.
        """
        result = labels.copy(order="K")
        ranks = self._ranks_of(labels)
        used = [np.flatnonzero((ranks >= 0).any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
        if not len(used[0]):
            return result
        box = tuple(slice(int(line[0]), int(line[-1]) + 1) for line in used)
        column = Column.of(np.ascontiguousarray(ranks[box]), self._rank_is_disc, spacing, axcodes)
        new = self._renumbered(column, float(min(spacing)), _room_below(box, labels.shape, spacing, axcodes))
        inside = result[box].ravel()
        inside[column.index] = self._ids[new]
        result[box] = inside.reshape(result[box].shape)
        return result

    def _ranks_of(self, labels: np.ndarray) -> np.ndarray:
        table = np.full(
            max(int(labels.max()), int(self._ids.max())) + 1, -1, np.int8 if len(self._ids) < 128 else np.int16
        )
        table[self._ids] = np.arange(len(self._ids))
        return table[labels]

    def _renumbered(self, column: Column, step: float, room: float) -> np.ndarray:
        """The rank of every voxel; `room` is what the image shows below the lowest voxel, in mm."""
        parts = column.parts()
        curve = Curve(column.points[np.isin(column.part, parts.large())], step)
        split_parts(column, curve, 0 if self._from_sacrum else None)
        merge_pieces(column, curve)
        parts = column.parts()
        order, along, level = main_order(parts, curve)
        chain = _chain(column, order, along / level, len(self._ids))
        room += float(column.points[np.isin(column.part, order), 2].min() - column.points[:, 2].min())
        anchor = self.anchor if room >= ROOM_BELOW * level else 0.0
        found = best_ranks(chain, self._rank_is_disc, self.gap_penalty, anchor, self._from_sacrum)
        rank_of_part = np.full(len(parts.size), -1)
        rank_of_part[order] = found
        new = rank_of_part[column.part]
        _number_aside(column, np.isin(column.part, np.setdiff1d(parts.large(), order)), new)
        _number_crumbs(column, np.isin(column.part, order), new, CRUMB_REACH * level)
        return np.where(new < 0, column.rank, new)


def _room_below(box: Sequence[slice], shape: Sequence[int], spacing: Sequence[float], axcodes: str) -> float:
    """mm from the lowest voxel of a box to the lower border of the image."""
    axis = cranial_axis(axcodes)
    voxels = box[axis].start if axcodes[axis] == "S" else shape[axis] - box[axis].stop
    return float(voxels * spacing[axis])


def _ranks(bones: Sequence[int], between: Sequence[int], bone_first: bool) -> tuple[np.ndarray, np.ndarray]:
    """Ids by rank, and whether a rank is a disc's."""
    if not between:
        return np.array(bones), np.zeros(len(bones), bool)
    first, second = (bones, between) if bone_first else (between, bones)
    ids = [ids[index] for index in range(len(first)) for ids in (first, second) if index < len(ids)]
    return np.array(ids), np.isin(ids, between)


def _chain(column: Column, order: np.ndarray, positions: np.ndarray, ranks: int) -> Chain:
    parts = column.parts()
    votes = np.bincount(column.part * ranks + column.rank.astype(np.int64), minlength=len(parts.size) * ranks).reshape(
        -1, ranks
    )
    usual = np.where(parts.disc, parts.usual_size(disc=True), parts.usual_size(disc=False))
    weight = np.minimum(1.0, parts.size / usual)
    return Chain(positions, parts.disc[order], weight[order], votes[order] / parts.size[order, None])


def _number_aside(column: Column, aside: np.ndarray, new: np.ndarray) -> None:
    """Parts aside of the column (a process that is no part of its body) move as what has their rank in the column."""
    known = new >= 0
    moved = np.zeros((int(column.rank.max()) + 1, int(new.max(initial=0)) + 1), np.int64)
    np.add.at(moved, (column.rank[known], new[known]), 1)
    ranks = column.rank[aside]
    new[aside] = np.where(moved.max(axis=1)[ranks] > 0, moved.argmax(axis=1)[ranks], -1)


def _number_crumbs(column: Column, main: np.ndarray, new: np.ndarray, reach: float) -> None:
    """Crumbs without a rank get that of the nearest numbered part of their kind within `reach` mm."""
    for disc in (False, True):
        crumbs = np.flatnonzero(~main & (column.disc == disc) & (new < 0))
        known = np.flatnonzero(main & (column.disc == disc) & (new >= 0))[::CRUMB_STRIDE]
        if len(crumbs) and len(known):
            distance, nearest = cKDTree(column.points[known]).query(column.points[crumbs], distance_upper_bound=reach)
            near = np.isfinite(distance)
            new[crumbs[near]] = new[known[nearest[near]]]
