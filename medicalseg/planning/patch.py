"""Patch and batch: the largest patch that fits, then as many of them as fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medicalseg.planning.topology import Topology, topology

LARGEST_3D = 256
LARGEST_2D = 2048
LEAST_BATCH = 2
COVERED_PER_STEP = 0.05

Cost = Callable[[Topology, int], float]
Shape = Callable[[Sequence[int], Sequence[float]], Topology]


@dataclass(frozen=True)
class Fit:
    """A patch that fits.

    Attributes:
        topology: patch and network.
        batch: patches per step.
        shrunk: whether the patch had to be made smaller than the volumes.
        capped: whether the batch was cut so that a step sees at most 5 % of the data.
        fits: whether it fits at all; False if no smaller patch is possible.
    """

    topology: Topology
    batch: int
    shrunk: bool = False
    capped: bool = False
    fits: bool = True


def initial_patch(spacing: Sequence[float], median: Sequence[int]) -> tuple[int, ...]:
    """A cubic field of view of as many voxels as 256^3 (2D: 2048^2), nowhere larger than the median volume."""
    side = LARGEST_3D if len(spacing) == 3 else LARGEST_2D
    mean = math.prod(spacing) ** (1 / len(spacing))
    return tuple(min(round(side * mean / value), int(size)) for value, size in zip(spacing, median, strict=True))


def fit_patch(
    spacing: Sequence[float],
    median: Sequence[int],
    cost: Cost,
    limit: float,
    *,
    voxels: float = math.inf,
    least_batch: int = LEAST_BATCH,
    most_batch: int | None = None,
    whole: Sequence[int] = (),
    start: Sequence[int] | None = None,
    shape: Shape = topology,
) -> Fit:
    """Shrink the patch until `least_batch` of them cost no more than `limit`, then fill the batch.

    The axis that is largest in proportion to the median volume is shrunk, by the least that changes it.

    Args:
        spacing: mm per axis.
        median: voxels of the median volume at that spacing.
        cost: of a topology and a batch.
        limit: what may be spent.
        voxels: of the whole dataset; a batch sees at most 5 % of them.
        least_batch: patches per step at least.
        most_batch: patches per step at most.
        whole: axes that are not shrunk.
        start: first patch to try; default: `initial_patch`.
        shape: the network for a patch and a spacing.
    """
    first = current = shape(start or initial_patch(spacing, median), spacing)
    while cost(current, least_batch) > limit:
        smaller = shrink(current, spacing, median, whole, shape)
        if smaller is None:
            return Fit(current, least_batch, current.patch != first.patch, fits=False)
        current = smaller
    batch = _largest_batch(current, cost, limit, least_batch)
    covering = round(voxels * COVERED_PER_STEP / math.prod(current.patch)) if math.isfinite(voxels) else batch
    possible = min(batch, most_batch or batch)
    best = max(least_batch, min(possible, covering))
    return Fit(current, best, current.patch != first.patch, capped=best < possible)


def shrink(
    current: Topology,
    spacing: Sequence[float],
    median: Sequence[int],
    whole: Sequence[int] = (),
    shape: Shape = topology,
) -> Topology | None:
    """The next smaller patch; None if there is none.

    Taking one multiple off an axis may change what its multiples are, so those of the smaller patch are taken off.
    """
    ratios = [size / int(full) for size, full in zip(current.patch, median, strict=True)]
    axes = [axis for axis in range(len(ratios)) if axis not in whole]
    for axis in sorted(axes, key=lambda item: (ratios[item], item), reverse=True):
        patch = list(current.patch)
        patch[axis] -= current.divisor[axis]
        if patch[axis] < 1:
            continue
        step = shape(patch, spacing).divisor[axis]
        patch[axis] = current.patch[axis] - step
        if patch[axis] < 1:
            continue
        smaller = shape(patch, spacing)
        if math.prod(smaller.patch) < math.prod(current.patch):
            return smaller
    return None


def _largest_batch(current: Topology, cost: Cost, limit: float, least: int) -> int:
    batch = least
    while batch < 4096 and cost(current, batch + 1) <= limit:
        batch += 1
    return batch
