"""Boxes of voxels, also beyond the border of a volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_ROUNDING = 1e-4


def crop(
    image: np.ndarray,
    label: np.ndarray | None,
    starts: Sequence[int],
    sides: Sequence[int],
    image_padding: float = 0,
    label_padding: int = 0,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Cut the box [start, start + side) of each axis; what lies outside the grid takes the padding values.

    Args:
        image: (C, X, Y, Z).
        label: (X, Y, Z) or None.
        starts: first voxel of the box for each spatial axis; may be negative.
        sides: voxels of the box for each spatial axis.
    """
    cut = _cut(image, [0, *starts], [image.shape[0], *sides], image_padding)
    return cut, None if label is None else _cut(label, starts, sides, label_padding)


def _cut(array: np.ndarray, starts: Sequence[int], sides: Sequence[int], padding: float) -> np.ndarray:
    boxes = list(zip(starts, sides, array.shape, strict=True))
    inner = array[tuple(slice(max(0, start), max(0, start + side)) for start, side, _ in boxes)]
    if inner.shape == tuple(sides):
        return inner
    kind = array.dtype if array.dtype.kind == "f" else np.promote_types(array.dtype, np.min_scalar_type(int(padding)))
    filled = np.full(tuple(sides), padding, dtype=kind)
    places = [(max(0, -start), length) for (start, _, _), length in zip(boxes, inner.shape, strict=True)]
    filled[tuple(slice(first, first + length) for first, length in places)] = inner
    return filled


def needed_box(
    sides: Sequence[int], matrix: np.ndarray, offset: np.ndarray, shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The voxels that an affine map of the grid reads, with their neighbours.

    Args:
        sides: spatial shape of the input.
        matrix: 3 x 3, from output to input voxels.
        offset: 3, voxels.
        shape: spatial shape of the output.

    Returns:
        First voxel along each axis, and the one after the last; equal where the output lies beside the input.
    """
    reach = matrix * (np.asarray(shape, dtype=float) - 1)
    low = np.floor(offset + np.minimum(reach, 0).sum(1) - _ROUNDING).astype(int)
    high = np.floor(offset + np.maximum(reach, 0).sum(1) + _ROUNDING).astype(int) + 2
    low = np.clip(low, 0, sides)
    return low, np.clip(high, low, sides)
