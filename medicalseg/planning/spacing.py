"""The voxel size that cases are resampled to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ANISOTROPY = 3.0
THICK_PERCENTILE = 10
LOWRES_STEP = 1.03
LOWRES_SHARE = 0.25
LOWRES_LEAST_FACTOR = 2.0


@dataclass(frozen=True)
class Target:
    """A target spacing.

    Attributes:
        spacing: mm per axis.
        thick_axis: axis that took the percentile 10 instead of the median; None if none did.
    """

    spacing: tuple[float, ...]
    thick_axis: int | None = None


def target_spacing(spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]) -> Target:
    """nnU-Net's rule: the median, but of a thick axis with few voxels the percentile 10.

    An axis is thick if its median spacing is more than 3 times the largest other and its median number of voxels less
    than a third of the smallest other. It never becomes finer than the coarsest other axis.

    Args:
        spacings: per case, mm per axis.
        shapes: per case after cropping, voxels per axis.
    """
    values = np.asarray(spacings, dtype=np.float64)
    target, sizes = np.median(values, axis=0), np.median(np.asarray(shapes), axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(len(target)) if axis != worst]
    thick = target[worst] > ANISOTROPY * target[others].max() and sizes[worst] * ANISOTROPY < sizes[others].min()
    if thick:
        target[worst] = max(np.percentile(values[:, worst], THICK_PERCENTILE), target[others].max())
    return Target(rounded(target), worst if thick else None)


def resampled_shapes(
    shapes: Sequence[Sequence[int]], spacings: Sequence[Sequence[float]], target: Sequence[float]
) -> np.ndarray:
    """Voxels per case and axis at a spacing."""
    ratio = np.asarray(spacings, dtype=np.float64) / np.asarray(target)
    return np.maximum(1, np.round(np.asarray(shapes) * ratio)).astype(int)


def coarser(spacing: Sequence[float], factor: float = LOWRES_STEP) -> tuple[float, ...]:
    """One step towards a lower resolution: the fine axes first, until all lie within a factor of 2."""
    values = np.asarray(spacing, dtype=np.float64)
    fine = values.max() / values > 2
    return tuple(float(value) for value in np.where(fine | ~fine.any(), values * factor, values))


def rounded(values: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """Six significant digits, so that float32 headers give 0.9 and not 0.89999998."""
    return tuple(float(f"{value:.6g}") for value in values)


def is_anisotropic(spacing: Sequence[float]) -> bool:
    """Whether the thickest axis is more than 3 times the thinnest."""
    return max(spacing) / min(spacing) > ANISOTROPY
