"""Interpolation of a volume along its axes, block by block in the order of its memory.

A block is some planes across the axis that lies furthest apart in memory; it is converted, interpolated and written
while it is in the cache, so a volume is read once and no second one of its size is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medicalseg.inference.grid import AxisMap
from medicalseg.inference.threads import for_each

Convert = Callable[[np.ndarray], np.ndarray]
BLOCK_VOXELS = 1 << 16
PLANES_TOGETHER = 16


@dataclass(frozen=True)
class Line:
    """Where the output indices of one axis lie between input indices.

    Attributes:
        low: lower neighbour of every output index.
        high: upper neighbour, equal to `low` at the end of the axis.
        weight: of the upper neighbour, float32.
        size: of the input axis.
    """

    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray
    size: int

    @classmethod
    def at(cls, coordinates: np.ndarray, size: int, nearest: bool = False) -> Line:
        """From input coordinates within 0 and `size` - 1; `nearest` rounds them (halves up)."""
        coordinates = np.floor(coordinates + 0.5) if nearest else coordinates
        low = np.floor(coordinates).astype(np.intp)
        return cls(low, np.minimum(low + 1, size - 1), (coordinates - low).astype(np.float32), size)

    def __len__(self) -> int:
        return len(self.low)

    @property
    def is_identity(self) -> bool:
        """Whether every output index is the same input index."""
        return len(self) == self.size and not self.weight.any() and np.array_equal(self.low, np.arange(self.size))

    def part(self, first: int, last: int) -> tuple[np.ndarray, Line]:
        """The input indices that outputs `first` to `last` need, ascending, and the line over just these."""
        low, high, weight = self.low[first:last], self.high[first:last], self.weight[first:last]
        high = np.where(weight > 0, high, low)
        needed = np.unique(np.concatenate([low, high]))
        return needed, Line(np.searchsorted(needed, low), np.searchsorted(needed, high), weight, len(needed))


def resize(array: np.ndarray, maps: Sequence[AxisMap], order: int, convert: Convert | None = None) -> np.ndarray:
    """Interpolate the three axes of `array`, edge voxels repeated outside (SciPy's mode "nearest").

    Args:
        array: (X, Y, Z), any memory order.
        maps: one per axis.
        order: spline order; 0 takes the nearest voxel and keeps the number type, the others give float32.
        convert: voxel-wise function applied to every part before it is interpolated, gives float32.

    Returns:
        (X, Y, Z), C-contiguous where anything changes, else `array`.
    """
    same = all(axis.is_identity for axis in maps)
    if same and convert is None:
        return array if order == 0 else array.astype(np.float32, copy=False)
    if order > 1 and not same:
        return _spline(_converted(array, convert), maps, order)
    lines = [Line.at(axis.coordinates(), axis.size_in, nearest=order == 0) for axis in maps]
    return _by_blocks(array, lines, order, convert)


def interpolate(array: np.ndarray, lines: Sequence[Line]) -> np.ndarray:
    """Linear interpolation of a float32 array along each of its axes; those that shrink most come first."""
    for axis in sorted(range(array.ndim), key=lambda index: len(lines[index]) / array.shape[index]):
        if not lines[axis].is_identity:
            array = _linear(array, lines[axis], axis)
    return array


def _linear(array: np.ndarray, line: Line, axis: int) -> np.ndarray:
    weight = line.weight.reshape([-1 if dimension == axis else 1 for dimension in range(array.ndim)])
    result = np.take(array, line.low, axis=axis)
    difference = np.take(array, line.high, axis=axis)
    difference -= result
    difference *= weight
    result += difference
    return result


def _nearest(array: np.ndarray, lines: Sequence[Line]) -> np.ndarray:
    for axis in sorted(range(array.ndim), key=lambda index: len(lines[index]) / array.shape[index]):
        if not lines[axis].is_identity:
            array = np.take(array, lines[axis].low, axis=axis)
    return array


def memory_order(array: np.ndarray) -> list[int]:
    """The axes from the one that lies furthest apart in memory to the one that lies closest."""
    return sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))


def _by_blocks(array: np.ndarray, lines: Sequence[Line], order: int, convert: Convert | None) -> np.ndarray:
    axes = memory_order(array)
    source, lines = array.transpose(axes), [lines[axis] for axis in axes]
    sizes = [len(line) for line in lines]
    kind = array.dtype if order == 0 and convert is None else np.dtype(np.float32)
    result = np.empty([sizes[axes.index(axis)] for axis in range(3)], kind)
    target = result.transpose(axes)
    step = _planes_per_block(source.shape, sizes)
    function = _nearest if order == 0 else interpolate

    def together(first: int) -> None:
        last = min(first + PLANES_TOGETHER, sizes[0])
        planes = np.empty((last - first, *sizes[1:]), kind)
        for start in range(first, last, step):
            stop = min(start + step, last)
            needed, line = lines[0].part(start, stop)
            block = _converted(_rows(source, needed), convert, plain=order == 0)
            planes[start - first : stop - first] = function(block, [line, *lines[1:]])
        target[first:last] = planes

    for_each(together, range(0, sizes[0], PLANES_TOGETHER), max(array.size, result.size))
    return result


def _planes_per_block(shape: Sequence[int], sizes: Sequence[int]) -> int:
    widest = max(shape[1] * shape[2], sizes[1] * sizes[2]) * max(1.0, shape[0] / sizes[0])
    return max(1, int(BLOCK_VOXELS / widest))


def _rows(array: np.ndarray, needed: np.ndarray) -> np.ndarray:
    first, last = int(needed[0]), int(needed[-1]) + 1
    return array[first:last] if last - first == len(needed) else array[needed]


def _converted(part: np.ndarray, convert: Convert | None, plain: bool = False) -> np.ndarray:
    if convert is not None:
        return convert(part)
    return part if plain else part.astype(np.float32, copy=False)


def _spline(array: np.ndarray, maps: Sequence[AxisMap], order: int) -> np.ndarray:
    shape = tuple(axis.size_out for axis in maps)
    steps, origins = [axis.step or 1.0 for axis in maps], [axis.origin for axis in maps]
    return ndimage.affine_transform(array, steps, origins, shape, order=order, mode="nearest")
