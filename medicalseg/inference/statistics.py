"""Percentiles, mean and deviation of a volume, from counts where that is exact, never from a sorted or wider copy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce

import numpy as np

from medicalseg.inference.content import find_body

CHUNK = 1 << 18
WIDEST = 1 << 16
SMALL = 1 << 16


def chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """One-dimensional parts of an array, in the order of its memory where it is contiguous in some order."""
    flat = array.ravel(order="K")
    for start in range(0, flat.size, CHUNK):
        yield flat[start : start + CHUNK]


def moments(array: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, summed in float64."""
    mean = sum(float(part.sum(dtype=np.float64)) for part in chunks(array)) / array.size
    squares = 0.0
    for part in chunks(array):
        difference = part.astype(np.float64)
        difference -= mean
        difference *= difference
        squares += float(difference.sum())
    return mean, math.sqrt(squares / array.size)


class Values:
    """The distribution of a volume's voxels after some voxel-wise steps.

    Args:
        array: real numbers, any shape.
        whole: the image that `array` was cropped from, in which a body is looked for; default: `array`.
    """

    def __init__(self, array: np.ndarray, whole: np.ndarray | None = None) -> None:
        self._array = array
        self._whole = array if whole is None else whole
        self._steps: list[Callable[[np.ndarray], np.ndarray]] = []
        self._counted: tuple[np.ndarray, np.ndarray] | None = None

    def then(self, step: Callable[[np.ndarray], np.ndarray]) -> None:
        """Go on with the distribution after a further step."""
        self._steps.append(step)

    def moments(self, mask: str = "all") -> tuple[float, float] | None:
        """Mean and standard deviation of "all" voxels, the "nonzero" ones or the "body"; None if there are none."""
        if mask == "body":
            return moments(self._through(find_body(self._whole).values))
        nonzero = mask == "nonzero"
        if not self._countable:
            values = self._all()
            values = values[values != 0] if nonzero else values
            return moments(values) if values.size else None
        values, counts = self._present()
        counts = counts * (values != 0) if nonzero else counts
        if not counts.any():
            return None
        mean = float(np.average(values.astype(np.float64), weights=counts))
        return mean, math.sqrt(float(np.average((values - mean) ** 2, weights=counts)))

    def percentiles(self, percents: Sequence[float]) -> list[float]:
        """Percentiles with linear interpolation between voxels, as `numpy.percentile` has them."""
        if not self._countable:
            return percentiles(self._all(), percents)
        values, counts = self._present()
        order = np.argsort(values, kind="stable")
        ends = np.cumsum(counts[order])
        return _between(
            lambda rank: float(values[order][np.searchsorted(ends, rank, side="right")]), percents, ends[-1]
        )

    @property
    def _countable(self) -> bool:
        if self._counted is not None:
            return True
        if self._array.dtype.kind not in "iu":
            return False
        found = _integer_counts(self._array)
        if found is None:
            return False
        values, counts = found
        self._counted = values[counts > 0], counts[counts > 0]
        return True

    def _present(self) -> tuple[np.ndarray, np.ndarray]:
        values, counts = self._counted if self._counted is not None else (self._array, np.ones(1))
        return self._through(values), counts

    def _all(self) -> np.ndarray:
        return self._through(self._array)

    def _through(self, values: np.ndarray) -> np.ndarray:
        values = values.astype(np.float32, copy=False)
        for step in self._steps:
            values = step(values)
        return values


def _integer_counts(array: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Values in ascending order and how often each occurs; None where they spread too widely."""
    if array.dtype.itemsize > 2:
        low, high = int(array.min()), int(array.max())
        if high - low >= WIDEST:
            return None
        parts = (part.astype(np.intp) - low for part in chunks(array))
        return np.arange(low, high + 1), _sum(np.bincount(part, minlength=high - low + 1) for part in parts)
    size = 1 << 8 * array.dtype.itemsize
    count = _pairs if size == 256 else partial(np.bincount, minlength=size)
    counts = _sum(count(part.view(f"u{array.dtype.itemsize}")) for part in chunks(array))
    first = 0 if array.dtype.kind == "u" else -(size // 2)
    return np.arange(first, first + size), np.roll(counts, -first)


def _sum(counts: Iterable[np.ndarray]) -> np.ndarray:
    return np.asarray(reduce(np.add, counts))


def _pairs(part: np.ndarray) -> np.ndarray:
    """Counts of uint8 numbers, two counted at once."""
    even = part.size // 2 * 2
    pairs = np.bincount(part[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    return pairs.sum(0) + pairs.sum(1) + np.bincount(part[even:], minlength=256)


def percentiles(array: np.ndarray, percents: Sequence[float]) -> list[float]:
    """Percentiles of float32 numbers; large arrays by counting the upper, then the lower 16 bits of their numbers."""
    if array.size < SMALL or np.isnan(array.min()):
        return [float(value) for value in np.percentile(array, percents)]
    if set(percents) <= {0, 100}:
        return [float(array.min() if percent == 0 else array.max()) for percent in percents]
    upper = _counts(array, lambda keys: keys >> np.uint32(16))
    ends = np.cumsum(upper)

    def value(rank: int) -> float:
        bucket = int(np.searchsorted(ends, rank, side="right"))
        if bucket not in lower:
            lower[bucket] = np.cumsum(_counts(array, lambda keys: keys[keys >> np.uint32(16) == bucket] & 0xFFFF))
        before = int(ends[bucket - 1]) if bucket else 0
        return _number(bucket << 16 | int(np.searchsorted(lower[bucket], rank - before, side="right")))

    lower: dict[int, np.ndarray] = {}
    return _between(value, percents, array.size)


def _counts(array: np.ndarray, choose: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    counts = np.zeros(WIDEST, np.int64)
    for part in chunks(array):
        counts += np.bincount(choose(_ordered_bits(part)).astype(np.uint16), minlength=WIDEST)
    return counts


def _ordered_bits(values: np.ndarray) -> np.ndarray:
    """uint32 numbers in the order of float32 numbers: the sign bit set, or all bits of negative ones turned."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    turned = (bits.view(np.int32) >> 31).view(np.uint32)
    turned |= np.uint32(0x80000000)
    turned ^= bits
    return turned


def _number(bits: int) -> float:
    bits = bits ^ 0x80000000 if bits & 0x80000000 else bits ^ 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))


def _between(value: Callable[[int], float], percents: Sequence[float], count: int) -> list[float]:
    results = []
    for percent in percents:
        place = percent / 100 * (int(count) - 1)
        low, high = value(math.floor(place)), value(min(math.floor(place) + 1, int(count) - 1))
        results.append(low + (high - low) * (place - math.floor(place)))
    return results
