"""A network for images on volumes: slice after slice, or stacks of neighbours, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.inference.network import Network
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.sliding_window import Inferer, Region, SlidingWindow, WholeVolume
from medicalseg.inference.task import TaskSpec

SMALLEST_PLANE = 32
BATCH_PIXELS = 1 << 20
LARGEST_BATCH = 32


@manager.INFERERS.add_component
class SliceWise(Inferer):
    """Slices of a volume go through a network for images, several together.

    At no time there are logits of more than one batch. A plane with fewer than 32 rows or columns is padded with 0 at
    its end and the logits are cropped, since an exported network cannot pad for itself.

    Args:
        slices: how the network sees the volume: `SliceSpec` or its fields.
        batch: slices that go through the network together, with a window: windows; default: as many as have a million
            pixels, at most 32.
        window: (columns, rows), the plane's two axes in the volume's order, or one number for both: each slice is seen
            in overlapping windows whose logits are averaged; None = in one piece.
        overlap: of the windows, see `SlidingWindow`.
        weights: of the windows, see `SlidingWindow`.

    Raises:
        ConfigError: if a value is wrong; names the argument.
    """

    def __init__(
        self,
        slices: SliceSpec | Mapping[str, Any] | None = None,
        batch: int | None = None,
        window: int | Sequence[int] | None = None,
        overlap: float = 0.5,
        weights: str = "gaussian",
    ) -> None:
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise ConfigError(f"SliceWise.batch: expected a positive integer, got {batch!r}")
        self.slices = slices if isinstance(slices, SliceSpec) else SliceSpec.from_dict(slices) or SliceSpec()
        self.batch = batch
        self.window = None if window is None else _pair(window)
        self._sliding = None if self.window is None else SlidingWindow((*self.window, 1), overlap, weights, batch or 1)

    def slabs(self, network: Network, image: np.ndarray) -> Iterator[tuple[Region, np.ndarray]]:
        """Parts of a batch of slices; of windows, parts of one slice."""
        if self._sliding is not None:
            yield from self._windows(self._sliding, network, image)
            return
        for place, planes in self._batches(image):
            logits = network.logits(_padded(planes))[..., : planes.shape[-2], : planes.shape[-1]]
            yield self._region(image, place), self.slices.as_volume(logits)

    def labels(self, network: Network, image: np.ndarray) -> np.ndarray:
        """(X, Y, Z) int32 for an image (C, X, Y, Z), decided by the network itself where there are no windows."""
        if self._sliding is not None:
            return super().labels(network, image)
        labels = np.empty(image.shape[-3:], np.int32)
        for place, planes in self._batches(image):
            labels[self._region(image, place)] = self._labels(network, planes)
        return labels

    def labels_of_all(self, network: Network, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As `labels` for every image; single slices of one shape go through the network together."""
        single = all(image.shape[1 + self.slices.axis] == 1 for image in images)
        if self._sliding is not None or not single or len({image.shape for image in images}) != 1:
            return super().labels_of_all(network, images)
        planes = np.concatenate([self.slices.as_images(self.slices.stack(image)) for image in images])
        return np.split(self._labels(network, planes), len(images), axis=self.slices.axis)

    def count(self, plane: Sequence[int]) -> int:
        """Slices of the size `plane` that go through the network together."""
        return self.batch or max(1, min(LARGEST_BATCH, BATCH_PIXELS // (int(plane[0]) * int(plane[1]))))

    def _batches(self, image: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        spec = self.slices
        total = image.shape[1 + spec.axis]
        step = self.count([image.shape[1 + axis] for axis in spec.plane])
        for start in range(0, total, step):
            stop = min(start + step, total)
            yield slice(start, stop), spec.as_images(spec.stack(image, start, stop))

    def _labels(self, network: Network, planes: np.ndarray) -> np.ndarray:
        labels = network.labels(_padded(planes))[..., : planes.shape[-2], : planes.shape[-1]]
        return self.slices.as_volume(labels[:, None])[0]

    def _windows(
        self, sliding: SlidingWindow, network: Network, image: np.ndarray
    ) -> Iterator[tuple[Region, np.ndarray]]:
        spec = self.slices
        for index in range(image.shape[1 + spec.axis]):
            stack = spec.stack(image, index, index + 1)[0][..., None]
            for (first, second, _), logits in sliding.slabs(_PlaneNetwork(network), stack):
                region = [first, second]
                region.insert(spec.axis, slice(index, index + 1))
                yield (region[0], region[1], region[2]), np.moveaxis(logits, -1, 1 + spec.axis)

    def _region(self, image: np.ndarray, place: slice) -> Region:
        region = [place if axis == self.slices.axis else slice(0, image.shape[1 + axis]) for axis in range(3)]
        return (region[0], region[1], region[2])


class _PlaneNetwork:
    """A network for images that takes and gives planes (N, C, A, B, 1), the plane's axes in the volume's order."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(N, K, A, B, 1) for (N, C, A, B, 1)."""
        planes = np.swapaxes(x[..., 0], -1, -2)
        logits = self._network.logits(_padded(planes))[..., : planes.shape[-2], : planes.shape[-1]]
        return np.swapaxes(logits, -1, -2)[..., None]

    def labels(self, x: np.ndarray) -> np.ndarray:
        """(N, A, B, 1) for (N, C, A, B, 1)."""
        return np.stack([self.decide(logits) for logits in self.logits(x)])

    def decide(self, logits: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """As the network decides."""
        return self._network.decide(logits, weights)


def middle_planes(image: np.ndarray, spec: SliceSpec) -> np.ndarray:
    """The network's input (1, C', H, W) for the slice in the middle of an image (C, X, Y, Z)."""
    middle = image.shape[1 + spec.axis] // 2
    return _padded(spec.as_images(spec.stack(image, middle, middle + 1)))


def inferer_for(task: TaskSpec, inferer: Inferer | None = None) -> Inferer:
    """How volumes go through the network of a task: `inferer`, or where that is None what its kind of network needs.

    Raises:
        ConfigError: if `inferer` is for the other kind of network.
    """
    if task.slices is None:
        if isinstance(inferer, SliceWise):
            raise ConfigError("the network takes volumes, but slices are asked for; use SlidingWindow, or none")
        return inferer or WholeVolume()
    if isinstance(inferer, SlidingWindow):
        raise ConfigError("the network takes slices: give the window to SliceWise, (columns, rows)")
    return inferer or SliceWise(task.slices)


def _padded(planes: np.ndarray) -> np.ndarray:
    after = [max(0, SMALLEST_PLANE - size) for size in planes.shape[-2:]]
    if not any(after):
        return planes
    return np.pad(planes, [(0, 0)] * (planes.ndim - 2) + [(0, size) for size in after])


def _pair(window: int | Sequence[int]) -> tuple[int, int]:
    sizes = [window] * 2 if isinstance(window, int) else list(window)
    if len(sizes) != 2 or any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in sizes):
        raise ConfigError(f"SliceWise.window: expected one or two positive integers (columns, rows), got {window!r}")
    return int(sizes[0]), int(sizes[1])
