"""Where an image has content: the voxels that are not zero, or the body."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

Bounds = list[tuple[int, int]]

LOWEST = -1024.0
ROBUST = (2.0, 98.0)
SHARE = 0.1
MARGIN = 5.0
SAMPLES = 1 << 21


@dataclass(frozen=True)
class Body:
    """The body in an image, found on every n-th voxel.

    The threshold lies a tenth of the way from the 2nd to the 98th percentile (Smith, "Fast robust automated brain
    extraction", 2002), numbers below -1024 (what CT writes outside its field) taken as -1024; of the voxels above it
    the largest part, connected by faces, is the body. An image without contrast is body throughout.

    Attributes:
        values: of the voxels looked at, in the body, in the image's number type.
        bounds: first and one past the last voxel of the body along each axis, of the whole image.
    """

    values: np.ndarray
    bounds: Bounds


def find_body(array: np.ndarray) -> Body:
    """The body in (X, Y, Z) real numbers; NaN and Inf belong to none."""
    steps = _steps(array.shape)
    sample = array[tuple(slice(None, None, step) for step in steps)]
    mask = _largest(_bright(sample))
    if not mask.any():
        return Body(sample.ravel(), [(0, size) for size in array.shape])
    edges = zip(bounds_of(mask), steps, array.shape, strict=True)
    bounds = [(max(0, (first - 1) * step + 1), min(size, last * step)) for (first, last), step, size in edges]
    return Body(sample[mask], bounds)


def body_bounds(array: np.ndarray, spacing: Sequence[float]) -> Bounds:
    """Box of the body and `MARGIN` mm around it; `spacing` in mm."""
    widths = [math.ceil(MARGIN / step) for step in spacing]
    bounds = find_body(array).bounds
    return [
        (max(0, first - width), min(size, last + width))
        for (first, last), width, size in zip(bounds, widths, array.shape, strict=True)
    ]


def bounds_of(array: np.ndarray) -> Bounds:
    """First and one past the last nonzero voxel along each axis; (0, size) where there is none. Any memory order."""
    axes = sorted(range(3), key=lambda axis: -abs(array.strides[axis]))
    planes = array.transpose(axes)
    rows, projection = np.zeros(len(planes), bool), np.zeros(planes.shape[1:], bool)
    for index, plane in enumerate(planes):
        present = plane != 0
        rows[index] = present.any()
        if rows[index]:
            projection |= present
    found: list[np.ndarray] = [rows, np.any(projection, 1), np.any(projection, 0)]
    return [_ends(found[axes.index(axis)]) for axis in range(3)]


def union(boxes: Sequence[Bounds]) -> Bounds:
    """The box around boxes."""
    return [(min(first for first, _ in axis), max(last for _, last in axis)) for axis in zip(*boxes, strict=True)]


def _ends(used: np.ndarray) -> tuple[int, int]:
    places = np.flatnonzero(used)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, len(used))


def _steps(shape: Sequence[int]) -> list[int]:
    steps = [1] * len(shape)
    while math.prod(math.ceil(size / step) for size, step in zip(shape, steps, strict=True)) > SAMPLES:
        steps[int(np.argmax([size / step for size, step in zip(shape, steps, strict=True)]))] += 1
    return steps


def _bright(sample: np.ndarray) -> np.ndarray:
    finite = sample if sample.dtype.kind in "iu" else sample[np.isfinite(sample)]
    if not finite.size:
        return np.zeros(sample.shape, bool)
    low, high = np.percentile(np.maximum(finite, LOWEST, dtype=np.float32), ROBUST)
    above = sample > low + SHARE * (high - low)
    return above if sample.dtype.kind in "iu" else above & np.isfinite(sample)


def _largest(mask: np.ndarray) -> np.ndarray:
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())
