"""Parts of a column that are several bodies are split, pieces of one body become one part."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from medicalseg.postprocessing.spine_column import Column, Curve, Parts

SPLIT_SHARE = 0.2
LONG = 1.7
BODY_AND_DISC = 1.25
NEAR = 0.5
EDGE = 2.0
ASIDE = 0.6


def split_parts(column: Column, curve: Curve, longest_free: int | None = None) -> None:
    """Give every body and every disc a part of its own, in place.

    A vertebra's part that lies on both sides of a disc is cut there, and a disc's on both sides of a vertebra's
    middle; a vertebra's part that is far longer than usual is cut where it is thinnest.

    Args:
        column: the voxels.
        curve: of the column.
        longest_free: rank whose vertebra may have any length (a sacrum).
    """
    _cut_between(column, curve, discs=False)
    _cut_long(column, curve, longest_free)
    _cut_between(column, curve, discs=True)


def merge_pieces(column: Column, curve: Curve) -> None:
    """Pieces of a kind with nothing of the other kind between them, closer than half a level, become one; in place."""
    parts = column.parts()
    order, along, level = main_order(parts, curve)
    alias = np.arange(len(parts.size))
    for disc in (False, True):
        last: int | None = None
        for place, number in enumerate(order):
            if parts.disc[number] != disc:
                last = None if parts.size[number] > SPLIT_SHARE * parts.usual_size(not disc) else last
            elif last is not None and along[place] - along[last] < NEAR * level:
                alias[number] = alias[order[last]]
            else:
                last = place
    column.part = alias[column.part]


def main_order(parts: Parts, curve: Curve) -> tuple[np.ndarray, np.ndarray, float]:
    """The parts that make up the column, from below upwards: no crumbs, and none that lies aside of the curve.

    Returns:
        Numbers of the parts (n,), their places along the curve in mm (n,), and the usual distance in mm from one
        vertebra to the next: the median, where of neighbours of different kinds twice their distance counts; 1 if
        there is one part.
    """
    numbers = parts.large()
    along, _, aside = curve.place(parts.centre[numbers])
    order = np.argsort(along, kind="stable")
    level = _level_distance(along[order], parts.disc[numbers[order]])
    near = order[aside[order] <= ASIDE * level]
    order = near if len(near) else order
    return numbers[order], along[order], _level_distance(along[order], parts.disc[numbers[order]])


def _level_distance(along: np.ndarray, disc: np.ndarray) -> float:
    if len(along) < 2:
        return 1.0
    apart = np.diff(along)
    return max(float(np.median(np.where(disc[1:] == disc[:-1], apart, 2 * apart))), 1e-3)


def _cut_between(column: Column, curve: Curve, discs: bool) -> None:
    """Cut parts of one kind at the planes through the middles of the other kind, across the curve."""
    parts = column.parts()
    planes = parts.main(disc=not discs)
    enough = SPLIT_SHARE * parts.usual_size(discs)
    if not len(planes):
        return
    _, normals, _ = curve.place(parts.centre[planes])
    following = len(parts.size)
    for number in parts.main(disc=discs):
        voxels = np.flatnonzero(column.part == number)
        points = column.points[voxels]
        low, high = points[:, 2].min() - EDGE, points[:, 2].max() + EDGE
        crossing = (parts.centre[planes, 2] > low) & (parts.centre[planes, 2] < high)
        if not crossing.any():
            continue
        beyond = sum(
            ((points - parts.centre[plane]) @ normal > 0).astype(np.int64)
            for plane, normal in zip(planes[crossing], normals[crossing], strict=True)
        )
        piece = _large_pieces(np.asarray(beyond), enough)
        column.part[voxels[piece > 0]] = following + piece[piece > 0] - 1
        following += int(piece.max())


def _large_pieces(beyond: np.ndarray, enough: float) -> np.ndarray:
    """Pieces 0, 1, … by how many planes lie below; a piece too small goes to the nearest of the others."""
    sizes = np.bincount(beyond)
    large = np.flatnonzero(sizes >= enough)
    if len(large) < 2:
        return np.zeros(len(beyond), np.int64)
    nearest = np.abs(np.arange(len(sizes))[:, None] - large[None]).argmin(axis=1)
    return nearest[beyond]


def _cut_long(column: Column, curve: Curve, longest_free: int | None) -> None:
    parts = column.parts()
    numbers = parts.main(disc=False)
    if len(numbers) < 3:
        return
    directions = curve.place(parts.centre[numbers])[1]
    heights = [_heights(column, number, way) for number, way in zip(numbers, directions, strict=True)]
    lengths = [float(np.ptp(np.percentile(height, [2, 98]))) for _, height in heights]
    usual = float(np.median(lengths))
    following = len(parts.size)
    for (voxels, height), length in zip(heights, lengths, strict=True):
        free = longest_free is not None and np.bincount(column.rank[voxels]).argmax() == longest_free
        if length > LONG * usual and not free:
            pieces = max(2, round(length / (BODY_AND_DISC * usual)))
            piece = np.searchsorted(_thin_places(height, pieces), height)
            column.part[voxels[piece > 0]] = following + piece[piece > 0] - 1
            following += pieces - 1


def _heights(column: Column, number: int, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    voxels = np.flatnonzero(column.part == number)
    return voxels, column.points[voxels] @ direction


def _thin_places(height: np.ndarray, pieces: int) -> np.ndarray:
    """Heights of the smallest cross-sections near where equal pieces would end."""
    low, high = np.percentile(height, [0, 100])
    count = max(pieces * 4, round(float(high - low)))
    profile, edges = np.histogram(height, bins=count)
    smooth = ndimage.gaussian_filter1d(profile.astype(np.float64), 1.0)
    around = max(1, round(0.25 * count / pieces))
    cuts = []
    for piece in range(1, pieces):
        middle = round(piece * count / pieces)
        nearby = np.arange(middle - around, min(middle + around + 1, count))
        best = nearby[np.lexsort((np.abs(nearby - middle), np.round(smooth[nearby], 6)))[0]]
        cuts.append(float(edges[best] + edges[best + 1]) / 2)
    return np.array(cuts)
