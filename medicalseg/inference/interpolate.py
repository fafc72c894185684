"""Interpolation of a volume along its axes, block by block in the order of its memory.

A block is some planes across the axis that lies furthest apart in memory; it is converted, interpolated and written
while it is in the cache, so a volume is read once and no second one of its size is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medicalseg.inference.grid import AxisMap
from medicalseg.inference.spline import Spline
from medicalseg.inference.threads import for_each

Convert = Callable[[np.ndarray], np.ndarray]
BLOCK_VOXELS = 1 << 16
PLANES_TOGETHER = 16
PLANES_OF_SPLINE = 32


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


Kernel = Line | Spline


def resize(
    array: np.ndarray, maps: Sequence[AxisMap], order: int | Sequence[int], convert: Convert | None = None
) -> np.ndarray:
    """Interpolate the three axes of `array`, edge voxels repeated outside (SciPy's mode "nearest").

    Args:
        array: (X, Y, Z), any memory order.
        maps: one per axis.
        order: spline order, or one per axis; 0 takes the nearest voxel, and for all axes keeps the number type, else
            the result is float32.
        convert: voxel-wise function applied to every part before it is interpolated, gives float32.

    Returns:
        (X, Y, Z), C-contiguous where anything changes, else `array`.
    """
    orders = [order] * 3 if isinstance(order, int) else list(order)
    keep = not any(orders) and convert is None
    if all(axis.is_identity for axis in maps) and convert is None:
        return array if keep else array.astype(np.float32, copy=False)
    kernels = [_kernel(axis, order) for axis, order in zip(maps, orders, strict=True)]
    return _by_blocks(array, kernels, array.dtype if keep else np.dtype(np.float32), convert)


def _kernel(axis: AxisMap, order: int) -> Kernel:
    if order > 1 and not axis.is_identity:
        return Spline.of(axis.size_in, axis.size_out, axis.step or 1.0, axis.origin, order)
    return Line.at(axis.coordinates(), axis.size_in, nearest=order == 0)


def interpolate(array: np.ndarray, kernels: Sequence[Kernel]) -> np.ndarray:
    """Interpolation along each axis, linear of `Line`s, in float32; the axes that shrink most come first.

    Lines that lie on the input's voxels keep the number type.
    """
    for axis in sorted(range(array.ndim), key=lambda index: len(kernels[index]) / array.shape[index]):
        kernel = kernels[axis]
        if isinstance(kernel, Spline):
            array = kernel.apply(array, axis)
        elif not kernel.is_identity:
            array = _linear(array, kernel, axis)
    return array


def _linear(array: np.ndarray, line: Line, axis: int) -> np.ndarray:
    result = np.take(array, line.low, axis=axis)
    if not line.weight.any():
        return result
    weight = line.weight.reshape([-1 if dimension == axis else 1 for dimension in range(array.ndim)])
    difference = np.take(array, line.high, axis=axis)
    difference -= result
    difference *= weight
    result += difference
    return result


def memory_order(array: np.ndarray) -> list[int]:
    """The axes from the one that lies furthest apart in memory to the one that lies closest."""
    return sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))


def _by_blocks(array: np.ndarray, kernels: Sequence[Kernel], kind: np.dtype, convert: Convert | None) -> np.ndarray:
    axes = memory_order(array)
    source, kernels = array.transpose(axes), [kernels[axis] for axis in axes]
    sizes = [len(kernel) for kernel in kernels]
    result = np.empty([sizes[axes.index(axis)] for axis in range(3)], kind)
    target = result.transpose(axes)
    step = _planes_per_block(source.shape, kernels)
    group = max(step, PLANES_TOGETHER)

    def together(first: int) -> None:
        last = min(first + group, sizes[0])
        planes = np.empty((last - first, *sizes[1:]), kind)
        for start in range(first, last, step):
            stop = min(start + step, last)
            needed, kernel = kernels[0].part(start, stop)
            block = _rows(source, needed)
            block = block.astype(kind, copy=False) if convert is None else convert(block)
            planes[start - first : stop - first] = interpolate(block, [kernel, *kernels[1:]])
        target[first:last] = planes

    for_each(together, range(0, sizes[0], group), max(array.size, result.size))
    return result


def _planes_per_block(shape: Sequence[int], kernels: Sequence[Kernel]) -> int:
    if isinstance(kernels[0], Spline):
        return PLANES_OF_SPLINE
    widest = max(shape[1] * shape[2], len(kernels[1]) * len(kernels[2])) * max(1.0, shape[0] / len(kernels[0]))
    return max(1, int(BLOCK_VOXELS / widest))


def _rows(array: np.ndarray, needed: np.ndarray) -> np.ndarray:
    first, last = int(needed[0]), int(needed[-1]) + 1
    return array[first:last] if last - first == len(needed) else array[needed]
