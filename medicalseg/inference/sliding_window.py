"""How a volume goes through a network: as a whole, or in overlapping windows whose logits are averaged."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.inference.network import Network
from medicalseg.inference.threads import for_each

Region = tuple[slice, slice, slice]
Triple = tuple[int, int, int]
SMALLEST_WEIGHT = 1e-3
SIGMA = 1 / 8
PRODUCT_VOXELS = 1 << 15


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
            labels[region] = network.decide(logits)
        return labels

    def labels_of_all(self, network: Network, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As `labels`, for several images."""
        return [self.labels(network, image) for image in images]

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

    def labels_of_all(self, network: Network, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As `labels` for every image; those of one shape go through the network together."""
        if len({image.shape for image in images}) != 1:
            return super().labels_of_all(network, images)
        return list(network.labels(images[0][None] if len(images) == 1 else np.stack(images)))


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
        for region, sums, weights in self._sums(network, image):
            yield region, sums / weights

    def labels(self, network: Network, image: np.ndarray) -> np.ndarray:
        """(X, Y, Z) int32; sums are not divided by their weights where that would change no winner."""
        labels = np.empty(image.shape[-3:], np.int32)
        for region, sums, weights in self._sums(network, image):
            labels[region] = network.decide(sums, weights)
        return labels

    def _sums(self, network: Network, image: np.ndarray) -> Iterator[tuple[Region, np.ndarray, np.ndarray]]:
        """Finished parts: place, sums of weighted logits (K, x, y, z) and weights (x, y, z); valid until the next."""
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
            for region, sums, weights in buffer.release(border):
                kept = tuple(slice(part.start, min(part.stop, n)) for part, n in zip(region, shape, strict=True))
                if kept[axis].start < kept[axis].stop:
                    inside = tuple(slice(0, part.stop - part.start) for part in kept)
                    yield (kept[0], kept[1], kept[2]), sums[_with_classes(inside)], weights[inside]

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
    """Weighted sums of logits for the extent of one window along `axis`: a ring, so that nothing is ever moved."""

    def __init__(self, shape: Triple, axis: int, depth: int) -> None:
        self._shape, self._axis, self._depth = shape, axis, depth
        self._start = 0
        self._weight = np.zeros([depth if a == axis else shape[a] for a in range(3)], np.float32)
        self._sum: np.ndarray | None = None

    def add(self, corner: Sequence[int], logits: np.ndarray, weights: np.ndarray) -> None:
        if self._sum is None:
            self._sum = np.zeros((len(logits), *self._weight.shape), np.float32)
        for at, part in self._ring(corner[self._axis], corner[self._axis] + self._depth):
            place = [slice(start, start + size) for start, size in zip(corner, weights.shape, strict=True)]
            place[self._axis] = at
            window = self._along(slice(part.start - corner[self._axis], part.stop - corner[self._axis]))
            region = (place[0], place[1], place[2])
            self._weight[region] += weights[window]
            _add_weighted(self._sum[_with_classes(region)], logits[_with_classes(window)], weights[window])

    def release(self, border: int) -> Iterator[tuple[Region, np.ndarray, np.ndarray]]:
        """What lies before `border` along the axis; afterwards its room is free for what follows."""
        if self._sum is None:
            raise ConfigError("no window was added")
        for at, part in self._ring(self._start, border):
            region = [part if a == self._axis else slice(0, self._shape[a]) for a in range(3)]
            room = self._along(at)
            yield (region[0], region[1], region[2]), self._sum[_with_classes(room)], self._weight[room]
            self._sum[_with_classes(room)] = 0
            self._weight[room] = 0
        self._start = border

    def _ring(self, start: int, stop: int) -> Iterator[tuple[slice, slice]]:
        """Pieces of `start` to `stop` that lie together in the ring: where they are there, and in the volume."""
        while start < stop:
            at = start % self._depth
            count = min(stop - start, self._depth - at)
            yield slice(at, at + count), slice(start, start + count)
            start += count

    def _along(self, part: slice) -> Region:
        region = [part if a == self._axis else slice(None) for a in range(3)]
        return (region[0], region[1], region[2])


def _add_weighted(total: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> None:
    """total += logits * weights for (K, x, y, z) and (x, y, z), a few planes at a time while they are in the cache."""
    step = max(1, PRODUCT_VOXELS * len(weights) // weights.size)

    def one(index: int) -> None:
        product = np.empty((step, *weights.shape[1:]), np.float32)
        for start in range(0, len(weights), step):
            part = slice(start, min(start + step, len(weights)))
            scratch = product[: part.stop - start]
            np.multiply(logits[index, part], weights[part], out=scratch)
            total[index, part] += scratch

    for_each(one, range(len(logits)), logits.size)


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
