"""Resampling in three dimensions at once: image linear, label nearest, for any box of the output grid.

It computes the places of a few thousand output voxels at a time, so that everything but the image stays in the
processor's cache, and reads each of the eight neighbours with one gather. On one core it takes about half the
time of SimpleITK's filter for an image with its label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Block = tuple[slice, tuple[np.ndarray, ...]]

_BLOCK = 1 << 14
_AT_BORDER = 1e-4


def warp_volume(
    image: np.ndarray, label: np.ndarray | None, matrix: np.ndarray, offset: np.ndarray, shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Output voxel o takes the value at `matrix @ o + offset`; 0 outside the outermost voxel centres.

    Args:
        image: (C, X, Y, Z) float32.
        label: (X, Y, Z) or None.
        matrix: 3 x 3, voxel axes.
        offset: 3, voxels.
        shape: spatial shape of the result.
    """
    return _sample(image, label, _affine_blocks(matrix, offset, shape), shape)


def sample_volume(
    image: np.ndarray, label: np.ndarray | None, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Output voxel o takes the value at `places[:, o]`; 0 outside the outermost voxel centres.

    Args:
        image: (C, X, Y, Z) float32, interpolated linearly.
        label: (X, Y, Z) integers or None, nearest neighbour.
        places: (3, x, y, z) float32, voxels; gives the result its shape.
    """
    flat = places.reshape(3, -1)
    parts = (slice(first, first + _BLOCK) for first in range(0, flat.shape[1], _BLOCK))
    return _sample(image, label, ((part, tuple(flat[:, part].copy())) for part in parts), places.shape[1:])


def _sample(
    image: np.ndarray, label: np.ndarray | None, blocks: Iterator[Block], shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray | None]:
    channels = [np.ascontiguousarray(channel, np.float32) for channel in image]
    ids = None if label is None else np.ascontiguousarray(label)
    moved = np.empty((len(channels), *shape), np.float32)
    moved_ids = None if ids is None else np.empty(tuple(shape), ids.dtype)
    for block, places in blocks:
        found = _Neighbours.of(places, channels[0].shape)
        for channel, target in zip(channels, moved.reshape(len(channels), -1), strict=True):
            found.linear(channel.reshape(-1), target[block])
        if ids is not None and moved_ids is not None:
            found.nearest(ids.reshape(-1), moved_ids.reshape(-1)[block])
    return moved, moved_ids


def _affine_blocks(matrix: np.ndarray, offset: np.ndarray, shape: Sequence[int]) -> Iterator[Block]:
    """Flat ranges of output voxels with their three input coordinates: some planes, or some rows of one plane."""
    planes, sides, depth = shape
    rows = max(1, min(sides, _BLOCK // depth))
    together = max(1, _BLOCK // (sides * depth)) if rows == sides else 1
    along = np.arange(depth)
    for first in range(0, sides, rows):
        across = np.arange(first, min(first + rows, sides))[:, None]
        base = [(offset[a] + matrix[a, 1] * across + matrix[a, 2] * along).ravel() for a in range(3)]
        for plane in range(0, planes, together):
            down = np.arange(plane, min(plane + together, planes))[:, None]
            places = tuple((base[a] + matrix[a, 0] * down).astype(np.float32).ravel() for a in range(3))
            start = (plane * sides + first) * depth
            yield slice(start, start + places[0].size), places


@dataclass
class _Neighbours:
    """Where some places lie among the voxels of a grid.

    Attributes:
        first: flat index of the lower of the two neighbours along every axis.
        parts: distance from it along each axis, 0 to 1.
        steps: flat distance to the upper neighbour along each axis; 0 along an axis of one voxel.
        inside: which places lie on the grid; None if all do.
    """

    first: np.ndarray
    parts: list[np.ndarray]
    steps: list[int]
    inside: np.ndarray | None

    @classmethod
    def of(cls, places: Sequence[np.ndarray], sides: Sequence[int]) -> _Neighbours:
        """Find `places` (one array per axis, overwritten) on a grid of `sides`."""
        steps = [sides[1] * sides[2], sides[2], 1]
        inside: np.ndarray | None = None
        first = np.zeros(places[0].shape, np.intp)
        for place, side, step in zip(places, sides, steps, strict=True):
            if place.min() < 0 or place.max() > side - 1:
                there = (place >= -_AT_BORDER) & (place <= side - 1 + _AT_BORDER)
                inside = there if inside is None else np.logical_and(inside, there, out=inside)
                np.clip(place, 0, side - 1, out=place)
            whole = place.astype(np.int32)
            np.minimum(whole, max(side - 2, 0), out=whole)
            place -= whole
            first += np.multiply(whole, step, dtype=np.intp)
        steps = [step if side > 1 else 0 for step, side in zip(steps, sides, strict=True)]
        return cls(first, list(places), steps, inside)

    def linear(self, values: np.ndarray, target: np.ndarray) -> None:
        """Write the linear interpolation of the flat `values` to `target`."""
        x, y, z = self.steps
        lines = []
        for corner in (0, y, x, x + y):
            near = values[corner:].take(self.first)
            far = values[corner + z :].take(self.first)
            lines.append(_between(near, far, self.parts[2]))
        lower = _between(lines[0], lines[1], self.parts[1])
        upper = _between(lines[2], lines[3], self.parts[1])
        target[:] = _between(lower, upper, self.parts[0])
        if self.inside is not None:
            target *= self.inside

    def nearest(self, ids: np.ndarray, target: np.ndarray) -> None:
        """Write the value of the nearest voxel to `target`."""
        index = self.first.copy()
        for part, step in zip(self.parts, self.steps, strict=True):
            if step:
                index += np.multiply(part >= 0.5, step, dtype=np.intp)
        ids.take(index, out=target)
        if self.inside is not None:
            target[~self.inside] = 0


def _between(low: np.ndarray, high: np.ndarray, part: np.ndarray) -> np.ndarray:
    """`low + part * (high - low)`; overwrites `high`."""
    high -= low
    high *= part
    high += low
    return high
