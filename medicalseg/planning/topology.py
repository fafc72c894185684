"""Depth, strides and kernels of a U-Net from the shape and the spacing of its patch.

The rules are those of nnU-Net v2 (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, supplementary note 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_EDGE = 4
NEAR = 2.0
Axes = tuple[int, ...]


@dataclass(frozen=True)
class Topology:
    """A U-Net's shape without its width.

    Attributes:
        patch: input grid, every axis a multiple of `divisor`.
        strides: per stage and axis; the first stage has stride 1.
        kernels: per stage and axis.
    """

    patch: Axes
    strides: tuple[Axes, ...]
    kernels: tuple[Axes, ...]

    @property
    def stages(self) -> int:
        """Number of resolutions, the bottleneck counted."""
        return len(self.strides)

    @property
    def pools(self) -> Axes:
        """How often each axis is halved."""
        return tuple(sum(stride[axis] == 2 for stride in self.strides) for axis in range(len(self.patch)))

    @property
    def divisor(self) -> Axes:
        """What each axis of an input must be a multiple of."""
        return tuple(2**count for count in self.pools)


def topology(patch: Sequence[int], spacing: Sequence[float], least_edge: int = LEAST_EDGE) -> Topology:
    """The network for a patch, which is padded until each axis can be halved as often as planned.

    An axis is halved while it keeps at least `least_edge` voxels and is within a factor of 2 of the finest axis that
    can still be halved; the last axis that can be halved alone needs `3 * least_edge` voxels. A kernel is 1 along an
    axis until its spacing has come within a factor of 2 of the finest, then 3; the bottleneck's is 3.

    Args:
        patch: voxels per axis.
        spacing: mm per axis.
        least_edge: voxels that an axis keeps in the bottleneck.

    Returns:
        The topology; an axis of a single voxel keeps the kernel 1 (our difference).
    """
    sizes, current = [int(size) for size in patch], [float(value) for value in spacing]
    kernel = [1] * len(sizes)
    strides: list[Axes] = [(1,) * len(sizes)]
    kernels: list[Axes] = []
    while halved := _axes_to_halve(sizes, current, least_edge):
        finest = min(current)
        kernel = [3 if old == 3 or value / finest < NEAR else 1 for old, value in zip(kernel, current, strict=True)]
        for axis in halved:
            current[axis] *= 2
            sizes[axis] = math.ceil(sizes[axis] / 2)
        strides.append(tuple(2 if axis in halved else 1 for axis in range(len(sizes))))
        kernels.append(tuple(kernel))
    kernels.append((3,) * len(sizes))
    flat = [axis for axis, size in enumerate(patch) if size == 1]
    kernels = [tuple(1 if axis in flat else size for axis, size in enumerate(row)) for row in kernels]
    divisor = Topology(tuple(patch), tuple(strides), ()).divisor
    padded = tuple(math.ceil(size / multiple) * multiple for size, multiple in zip(patch, divisor, strict=True))
    return Topology(padded, tuple(strides), tuple(kernels))


def _axes_to_halve(sizes: Sequence[int], spacing: Sequence[float], least_edge: int) -> list[int]:
    wide = [axis for axis, size in enumerate(sizes) if size >= 2 * least_edge]
    if not wide:
        return []
    finest = min(spacing[axis] for axis in wide)
    near = [axis for axis in wide if spacing[axis] / finest < NEAR]
    return [] if len(near) == 1 and sizes[near[0]] < 3 * least_edge else near
