"""Spline interpolation of orders 2 to 5 along one axis: a banded matrix, applied to float32."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

SMALLEST_WEIGHT = 1e-7
ROWS_TOGETHER = 64


@dataclass(frozen=True, eq=False)
class Spline:
    """Interpolation of one axis by splines through the voxels, edge voxels repeated outside.

    Attributes:
        matrix: (outputs, inputs) float32: the weight of every input voxel in every output.
    """

    matrix: np.ndarray

    @classmethod
    def of(cls, size_in: int, size_out: int, step: float, origin: float, order: int) -> Spline:
        """Output j is read at the input coordinate `step * j + origin`, by splines of this order."""
        return _spline(size_in, size_out, step, origin, order)

    def __len__(self) -> int:
        return len(self.matrix)

    def part(self, first: int, last: int) -> tuple[np.ndarray, Spline]:
        """The input indices that outputs `first` to `last` need, ascending, and the spline over just these."""
        low, high = _support(self.matrix[first:last])
        return np.arange(low, high), Spline(self.matrix[first:last, low:high])

    def apply(self, array: np.ndarray, axis: int) -> np.ndarray:
        """Interpolate a float32 array of three axes along one of them."""
        shape = list(array.shape)
        shape[axis] = len(self)
        result = np.empty(shape, np.float32)
        for first in range(0, len(self), ROWS_TOGETHER):
            rows = self.matrix[first : first + ROWS_TOGETHER]
            low, high = _support(rows)
            part, used = [slice(None)] * 3, [slice(None)] * 3
            part[axis], used[axis] = slice(first, first + ROWS_TOGETHER), slice(low, high)
            with np.errstate(invalid="ignore", over="ignore"):
                result[tuple(part)] = _product(rows[:, low:high], array[tuple(used)], axis)
        return result


def _product(matrix: np.ndarray, array: np.ndarray, axis: int) -> np.ndarray:
    if axis == 2:
        return np.asarray(array @ matrix.T)
    if axis == 1:
        return np.asarray(matrix @ array)
    return (matrix @ array.reshape(len(array), -1)).reshape(len(matrix), *array.shape[1:])


def _support(matrix: np.ndarray) -> tuple[int, int]:
    used = np.flatnonzero(matrix.any(axis=0))
    return int(used[0]), int(used[-1]) + 1


@lru_cache(maxsize=64)
def _spline(size_in: int, size_out: int, step: float, origin: float, order: int) -> Spline:
    unit, shape = np.eye(size_in), (size_out, size_in)
    weights = ndimage.affine_transform(unit, [step, 1.0], [origin, 0.0], shape, order=order, mode="nearest")
    weights[np.abs(weights) < SMALLEST_WEIGHT] = 0
    return Spline(weights.astype(np.float32))
