"""How a volume goes through a network: as a whole, or in overlapping windows whose logits are averaged."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.inference.network import Network, argmax_classes

Region = tuple[slice, slice, slice]
Triple = tuple[int, int, int]
SMALLEST_WEIGHT = 1e-3
SIGMA = 1 / 8


class Inferer(ABC):
    """A way to bring a volume through a network."""

    @abstractmethod
    def slabs(self, network: Network, image: np.ndarray) -> Iterator[tuple[Region, np.ndarray]]:
        """Finished parts of the volume, each voxel once: their place, and their logits (K, x, y, z).

        Args:
            network: computes logits.
            image: (C, X, Y, Z) float32.
        """

    def labels(self, network: Network, image: np.ndarray) -> np.ndarray:
        """(X, Y, Z) int32 for an image (C, X, Y, Z); logits of the whole volume are never stored."""
        labels = np.empty(image.shape[-3:], np.int32)
        for region, logits in self.slabs(network, image):
            labels[region] = argmax_classes(logits)
        return labels

    def logits(self, network: Network, image: np.ndarray) -> np.ndarray:
        """(K, X, Y, Z) float32 for an image (C, X, Y, Z)."""
        whole: np.ndarray | None = None
        for region, logits in self.slabs(network, image):
            if whole is None:
                whole = np.empty((len(logits), *image.shape[-3:]), np.float32)
            whole[_with_classes(region)] = logits
        if whole is None:
            raise ConfigError(f"an image of shape {image.shape} has no voxels")
        return whole


@manager.INFERERS.add_component
class WholeVolume(Inferer):
    """The volume goes through the network in one piece."""

    def slabs(self, network: Network, image: np.ndarray) -> Iterator[tuple[Region, np.ndarray]]:
        """One part: everything."""
        x, y, z = image.shape[-3:]
        yield (slice(0, x), slice(0, y), slice(0, z)), network.logits(image[None])[0]

    def labels(self, network: Network, image: np.ndarray) -> np.ndarray:
        """(X, Y, Z) int32, as the network itself gives them."""
        return network.labels(image[None])[0]


@manager.INFERERS.add_component
class SlidingWindow(Inferer):
    """Overlapping windows, logits averaged with weights.

    Windows are visited along the axis that needs most of them, and a part of the volume is finished as soon as no
    window can touch it any more, so logits are held for one window's extent along that axis only. A volume smaller
    than the window is padded with 0 at the end of its axes, and the padding cut off afterwards.

    Args:
        window: (x, y, z) voxels, or one number for all axes.
        overlap: part of a window that the next one covers again, at least: 0 <= overlap < 1.
        weights: "gaussian" (sigma 1/8 of the window) trusts the centre of a window; "constant".
        batch: windows that go through the network together.

    Raises:
        ConfigError: if a value is wrong; names the argument.
    """

    def __init__(
        self, window: int | Sequence[int], overlap: float = 0.5, weights: str = "gaussian", batch: int = 1
    ) -> None:
        self.window = _triple(window)
        if not 0 <= overlap < 1:
            raise ConfigError(f"SlidingWindow.overlap: expected 0 <= overlap < 1, got {overlap!r}")
        if weights not in ("gaussian", "constant"):
            raise ConfigError(f"SlidingWindow.weights: expected 'gaussian' or 'constant', got {weights!r}")
        if not isinstance(batch, int) or batch < 1:
            raise ConfigError(f"SlidingWindow.batch: expected a positive integer, got {batch!r}")
        self.overlap, self.batch = float(overlap), batch
        self._weights = _gaussian(self.window) if weights == "gaussian" else np.ones(self.window, np.float32)

    def slabs(self, network: Network, image: np.ndarray) -> Iterator[tuple[Region, np.ndarray]]:
        """Parts along the axis with most windows."""
        shape = _as_triple(image.shape[-3:])
        padding = [(0, max(0, w - n)) for w, n in zip(self.window, shape, strict=True)]
        padded = np.pad(image, [(0, 0), *padding]) if any(after for _, after in padding) else image
        starts = [self.starts(n, w) for n, w in zip(padded.shape[-3:], self.window, strict=True)]
        axis = max(range(3), key=lambda a: len(starts[a]))
        buffer = _Buffer(_as_triple(padded.shape[-3:]), axis, self.window[axis])
        borders = [*starts[axis][1:], padded.shape[1 + axis]]
        for start, border in zip(starts[axis], borders, strict=True):
            lines = [[start] if a == axis else starts[a] for a in range(3)]
            for corners in _batches(itertools.product(*lines), self.batch):
                windows = np.stack([padded[_with_classes(self._region(corner))] for corner in corners])
                for corner, logits in zip(corners, network.logits(windows), strict=True):
                    buffer.add(corner, logits, self._weights)
            region, logits = buffer.release(border)
            kept = tuple(slice(part.start, min(part.stop, n)) for part, n in zip(region, shape, strict=True))
            if kept[axis].start < kept[axis].stop:
                inside = tuple(slice(0, part.stop - part.start) for part in kept)
                yield (kept[0], kept[1], kept[2]), logits[_with_classes(inside)]

    def starts(self, size: int, window: int) -> list[int]:
        """First voxels of the windows along an axis: evenly spread, first and last flush with the volume."""
        if size <= window:
            return [0]
        step = max(1, int(window * (1 - self.overlap)))
        count = math.ceil((size - window) / step) + 1
        return [round(index * (size - window) / (count - 1)) for index in range(count)]

    def _region(self, corner: Sequence[int]) -> tuple[slice, ...]:
        return tuple(slice(start, start + size) for start, size in zip(corner, self.window, strict=True))


class _Buffer:
    """Weighted sums of logits for the extent of one window along `axis`, moved on as parts are finished."""

    def __init__(self, shape: Triple, axis: int, depth: int) -> None:
        self._shape = shape
        self._axis = axis
        self._start = 0
        self._weight = np.zeros([depth if a == axis else shape[a] for a in range(3)], np.float32)
        self._sum: np.ndarray | None = None

    def add(self, corner: Sequence[int], logits: np.ndarray, weights: np.ndarray) -> None:
        if self._sum is None:
            self._sum = np.zeros((len(logits), *self._weight.shape), np.float32)
        first = [0 if a == self._axis else corner[a] for a in range(3)]
        region = tuple(slice(start, start + size) for start, size in zip(first, weights.shape, strict=True))
        self._weight[region] += weights
        for total, plane in zip(self._sum, logits, strict=True):
            total[region] += plane * weights

    def release(self, border: int) -> tuple[Region, np.ndarray]:
        """What lies before `border` along the axis, averaged; the buffer moves there."""
        count = border - self._start
        done, rest = self._along(slice(0, count)), self._along(slice(count, None))
        if self._sum is None:
            raise ConfigError("no window was added")
        logits = self._sum[_with_classes(done)] / self._weight[done]
        region = [slice(self._start, border) if a == self._axis else slice(0, self._shape[a]) for a in range(3)]
        self._sum, self._weight = self._moved(self._sum, _with_classes(rest)), self._moved(self._weight, rest)
        self._start = border
        return (region[0], region[1], region[2]), logits

    def _along(self, part: slice) -> Region:
        region = [part if a == self._axis else slice(None) for a in range(3)]
        return (region[0], region[1], region[2])

    def _moved(self, array: np.ndarray, rest: tuple[slice, ...]) -> np.ndarray:
        kept = array[rest].copy()
        array[...] = 0
        array[tuple(slice(0, size) for size in kept.shape)] = kept
        return array


def _with_classes(region: Sequence[slice]) -> tuple[slice, ...]:
    return (slice(None), *region)


def _batches(corners: Iterator[tuple[int, ...]], size: int) -> Iterator[list[tuple[int, ...]]]:
    while batch := list(itertools.islice(corners, size)):
        yield batch


def _gaussian(window: Triple) -> np.ndarray:
    lines = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n * SIGMA)) ** 2) for n in window]
    weights = lines[0][:, None, None] * lines[1][:, None] * lines[2]
    return np.maximum(weights / weights.max(), SMALLEST_WEIGHT).astype(np.float32)


def _triple(window: int | Sequence[int]) -> Triple:
    sizes = [window] * 3 if isinstance(window, int) else list(window)
    if len(sizes) != 3 or any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in sizes):
        raise ConfigError(f"SlidingWindow.window: expected one or three positive integers, got {window!r}")
    return _as_triple(sizes)


def _as_triple(values: Sequence[int]) -> Triple:
    return (int(values[0]), int(values[1]), int(values[2]))
