"""Distances between the surfaces of two masks, and what is made of them; exact for voxels of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from medicalseg.errors import DataError
from medicalseg.metrics.surface_elements import surface_elements

ROUNDING = 1e-9
UNREACHABLE = float("inf")


@dataclass(frozen=True)
class SurfaceDistances:
    """Distance from every surface element of each mask to the nearest one of the other, nearest first.

    Attributes:
        prediction: (N,) mm, infinite where the reference has no surface.
        prediction_areas: (N,) mm² (of pictures mm), in the same order.
        reference: (M,) mm, infinite where the prediction has no surface.
        reference_areas: (M,) likewise.
    """

    prediction: np.ndarray
    prediction_areas: np.ndarray
    reference: np.ndarray
    reference_areas: np.ndarray

    @property
    def both(self) -> bool:
        """Whether both masks have a surface."""
        return bool(self.prediction.size and self.reference.size)


def surface_distances(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> SurfaceDistances:
    """Measure the distances between two surfaces.

    Args:
        prediction: booleans (X, Y, Z), or (X, Y). A volume of one slice counts as a picture: its flat sides are no
            surface.
        reference: booleans, same shape.
        spacing: mm, one per axis, in the same order.

    Raises:
        DataError: if shapes differ, or the spacing is not one positive number per axis.
    """
    prediction, reference = np.asarray(prediction, bool), np.asarray(reference, bool)
    _check(prediction, reference, spacing)
    kept = [axis for axis, size in enumerate(prediction.shape) if prediction.ndim == 2 or size > 1]
    if len(kept) == 2 < prediction.ndim:
        flat = tuple(axis for axis in range(prediction.ndim) if axis not in kept)
        prediction, reference = prediction.squeeze(flat), reference.squeeze(flat)
        spacing = [spacing[axis] for axis in kept]
    points, areas = surface_elements(prediction, spacing)
    other_points, other_areas = surface_elements(reference, spacing)
    sides = np.asarray(spacing, float)
    return SurfaceDistances(
        *_sorted(_nearest(points * sides, other_points * sides), areas),
        *_sorted(_nearest(other_points * sides, points * sides), other_areas),
    )


def normalized_surface_dice(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Share of both surfaces' area within `tolerance_mm` of the other (Nikolov et al. 2021).

    0 if only one mask has a surface, NaN if none has.
    """
    total = float(distances.prediction_areas.sum() + distances.reference_areas.sum())
    if total == 0:
        return float("nan")
    least = tolerance_mm * (1 + ROUNDING) + ROUNDING
    close = distances.prediction_areas[distances.prediction <= least].sum()
    return float(close + distances.reference_areas[distances.reference <= least].sum()) / total


def hausdorff_distance(distances: SurfaceDistances, percentile: float = 100.0) -> float:
    """The larger of both directions' distance within which `percentile` % of the area lies, mm.

    NaN unless both masks have a surface.
    """
    if not distances.both:
        return float("nan")
    directions = (
        (distances.prediction, distances.prediction_areas),
        (distances.reference, distances.reference_areas),
    )
    return max(_percentile(values, areas, percentile) for values, areas in directions)


def average_surface_distance(distances: SurfaceDistances) -> float:
    """Mean distance over the area of both surfaces together (ASSD), mm; NaN unless both masks have a surface."""
    if not distances.both:
        return float("nan")
    total = float(distances.prediction @ distances.prediction_areas + distances.reference @ distances.reference_areas)
    return total / float(distances.prediction_areas.sum() + distances.reference_areas.sum())


def _check(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> None:
    if prediction.shape != reference.shape:
        raise DataError(f"prediction has shape {prediction.shape}, reference {reference.shape}; they must be equal")
    if prediction.ndim not in (2, 3):
        raise DataError(f"surfaces need masks of two or three axes, not of shape {prediction.shape}")
    sides = np.asarray(spacing, float)
    if sides.shape != (prediction.ndim,) or not (np.isfinite(sides) & (sides > 0)).all():
        raise DataError(f"spacing: expected {prediction.ndim} positive sizes in mm, got {list(spacing)}")


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    if not len(points) or not len(others):
        return np.full(len(points), UNREACHABLE)
    tree = cKDTree(others, balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.query(points)[0])


def _sorted(values: np.ndarray, areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(values, kind="stable")
    return values[order], areas[order]


def _percentile(values: np.ndarray, areas: np.ndarray, percentile: float) -> float:
    """The first distance at which the area so far reaches the share."""
    reached = np.cumsum(areas)
    position = np.searchsorted(reached, reached[-1] * percentile / 100.0 * (1 - ROUNDING))
    return float(values[min(int(position), len(values) - 1)])
