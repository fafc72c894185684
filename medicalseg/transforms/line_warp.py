"""Scaling and shifting along one axis: image linear, label nearest.

Linear interpolation in three dimensions is the product of those along each axis, so an axis that no rotation mixes
with another can be done on its own, which needs two neighbours instead of eight.
"""

from __future__ import annotations

import numpy as np

_AT_BORDER = 1e-6


def warp_axis(
    image: np.ndarray, label: np.ndarray | None, axis: int, scale: float, offset: float, length: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Output voxel o along the axis takes the value at `scale * o + offset`; 0 outside the outermost voxel centres.

    Args:
        image: (C, X, Y, Z) float32.
        label: (X, Y, Z) or None.
        axis: the spatial axis.
        scale: step through the input, voxels.
        offset: place of the first output voxel, voxels.
        length: number of output voxels.
    """
    side = image.shape[axis + 1]
    places = scale * np.arange(length) + offset
    outside = (places < -_AT_BORDER) | (places > side - 1 + _AT_BORDER)
    places = np.clip(places, 0, side - 1)
    low = np.minimum(places.astype(np.intp), max(side - 2, 0))
    part = (places - low).astype(np.float32).reshape([-1 if index == axis else 1 for index in range(3)])
    moved = image.take(low, axis=axis + 1)
    above = image.take(np.minimum(low + 1, side - 1), axis=axis + 1)
    above -= moved
    above *= part
    moved += above
    moved[(slice(None),) + _along(axis, outside)] = 0
    if label is None:
        return moved, None
    moved_label = label.take(np.floor(places + 0.5).astype(np.intp), axis=axis)
    moved_label[_along(axis, outside)] = 0
    return moved, moved_label


def _along(axis: int, chosen: np.ndarray) -> tuple[slice | np.ndarray, ...]:
    return tuple(chosen if index == axis else slice(None) for index in range(3))
