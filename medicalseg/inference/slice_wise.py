"""A network for images on volumes: slice after slice, or stacks of neighbours, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.inference.cascade import EarlierIds
from medicalseg.inference.mirroring import check_axes, mirrored
from medicalseg.inference.network import Network, WithDecision
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.sliding_window import Inferer, Part, SlidingWindow, WholeVolume
from medicalseg.inference.task import TaskSpec
from medicalseg.inference.windows import Region, Triple

SMALLEST_PLANE = 32
BATCH_PIXELS = 1 << 20
LARGEST_BATCH = 32
SLIDING_KEYS = ("window", "overlap", "weights", "batch", "mirror_axes", "skip_empty")


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
        mirror_axes: of the plane, 0 its columns, 1 its rows, along which every slice or window is mirrored too, the
            mean being taken (`Mirrored`).
        skip_empty: of the windows, see `SlidingWindow`.

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
        mirror_axes: Sequence[int] | None = None,
        skip_empty: bool = True,
    ) -> None:
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            raise ConfigError(f"SliceWise.batch: expected a positive integer, got {batch!r}")
        self.slices = slices if isinstance(slices, SliceSpec) else SliceSpec.from_dict(slices) or SliceSpec()
        self.batch = batch
        self.window = None if window is None else _pair(window)
        self.mirror_axes = check_axes(mirror_axes, 2, "SliceWise.mirror_axes")
        self._sliding: SlidingWindow | None = None
        if self.window is not None:
            window = (*self.window, 1)
            self._sliding = SlidingWindow(window, overlap, weights, batch or 1, self.mirror_axes, skip_empty)

    def axes(self, shape: Sequence[int]) -> Triple:
        """Slices after one another, each whole."""
        return (self.slices.axis, *self.slices.plane)

    def smaller(self, shape: Sequence[int]) -> tuple[Inferer, str] | None:
        """Half the slices, or windows, at a time."""
        together = min(self.count([shape[axis] for axis in self.slices.plane]), shape[self.slices.axis])
        batch = (self.batch or 1) if self.window is not None else together
        if batch < 2:
            return None
        window, overlap, weights, skip = self.window, 0.5, "gaussian", True
        if self._sliding is not None:
            overlap, weights, skip = self._sliding.overlap, self._sliding.weights, self._sliding.skip_empty
        smaller = SliceWise(self.slices, batch // 2, window, overlap, weights, self.mirror_axes, skip)
        return smaller.of_cascade(self.earlier), f"{batch // 2} {'slices' if window is None else 'windows'} at a time"

    def parts(self, network: Network, image: np.ndarray) -> Iterator[Part]:
        """Parts of a batch of slices; of windows, single slices."""
        if self._sliding is not None:
            yield from self._windows(self._sliding, network, image)
            return
        network = self._mirrored(network)
        for place, planes in self._batches(image):
            logits = network.logits(_padded(planes))[..., : planes.shape[-2], : planes.shape[-1]]
            yield Part(self._region(image, place), self.slices.as_volume(logits))

    def labels(self, network: Network, image: np.ndarray, kind: type[np.integer] = np.int32) -> np.ndarray:
        """(X, Y, Z) for an image (C, X, Y, Z), decided by the network itself where there are no windows."""
        if self._sliding is not None:
            return super().labels(network, image, kind)
        network = self._mirrored(network)
        labels = np.empty(image.shape[-3:], kind)
        for place, planes in self._batches(image):
            labels[self._region(image, place)] = self._labels(network, planes)
        return labels

    def labels_of_all(
        self, network: Network, images: Sequence[np.ndarray], kind: type[np.integer] = np.int32
    ) -> list[np.ndarray]:
        """As `labels` for every image; single slices of one shape go through the network together."""
        single = all(image.shape[1 + self.slices.axis] == 1 for image in images)
        if self._sliding is not None or not single or len({image.shape for image in images}) != 1:
            return super().labels_of_all(network, images, kind)
        planes = np.concatenate([self.slices.as_images(self.slices.stack(image)) for image in images])
        labels = self._labels(self._mirrored(network), planes).astype(kind, copy=False)
        return np.split(labels, len(images), axis=self.slices.axis)

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

    def _mirrored(self, network: Network) -> Network:
        """Mirrored as its images (H, W) are: columns are their last axis."""
        return mirrored(self.seen_by(network), [1 - axis for axis in self.mirror_axes])

    def _windows(self, sliding: SlidingWindow, network: Network, image: np.ndarray) -> Iterator[Part]:
        spec, planes = self.slices, _PlaneNetwork(self.seen_by(network))
        for index in range(image.shape[1 + spec.axis]):
            stack = spec.stack(image, index, index + 1)[0][..., None]
            whole: tuple[np.ndarray, np.ndarray] | None = None
            for (first, second, _), scores, weights in sliding.parts(planes, stack):
                if whole is None:
                    whole = np.empty((len(scores), *stack.shape[1:]), np.float32), np.ones(stack.shape[1:], np.float32)
                whole[0][:, first, second] = scores
                if weights is not None:
                    whole[1][first, second] = weights
            if whole is not None:
                scores, weights = np.moveaxis(whole[0], -1, 1 + spec.axis), np.moveaxis(whole[1], -1, spec.axis)
                yield Part(self._region(image, slice(index, index + 1)), scores, weights)

    def _region(self, image: np.ndarray, place: slice) -> Region:
        region = [place if axis == self.slices.axis else slice(0, image.shape[1 + axis]) for axis in range(3)]
        return (region[0], region[1], region[2])


class _PlaneNetwork(WithDecision):
    """A network for images that takes and gives planes (N, C, A, B, 1), the plane's axes in the volume's order."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.decision, self.gives_probabilities = network.decision, network.gives_probabilities

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(N, K, A, B, 1) for (N, C, A, B, 1)."""
        planes = np.swapaxes(x[..., 0], -1, -2)
        logits = self._network.logits(_padded(planes))[..., : planes.shape[-2], : planes.shape[-1]]
        return np.swapaxes(logits, -1, -2)[..., None]


def middle_planes(image: np.ndarray, spec: SliceSpec) -> np.ndarray:
    """The network's input (1, C', H, W) for the slice in the middle of an image (C, X, Y, Z)."""
    middle = image.shape[1 + spec.axis] // 2
    return _padded(spec.as_images(spec.stack(image, middle, middle + 1)))


def middle_input(image: np.ndarray, task: TaskSpec, size: Sequence[int | None] = ()) -> np.ndarray:
    """What a task's network sees of the middle of an image: a window, a slice or the volume.

    Args:
        image: (C, X, Y, Z) float32, preprocessed.
        task: of the network.
        size: spatial sizes of the input that are fixed, None for others; empty = none is.

    Returns:
        (1, C', x, y, z), or (1, C', H, W) of a network for images; what is smaller is padded with 0 at its end.
    """
    window = getattr(inferer_for(task), "window", None)
    if task.slices is None:
        planes, wanted = image[None], window or image.shape[1:]
    else:
        planes = middle_planes(image, task.slices)
        wanted = planes.shape[2:] if window is None else [max(n, SMALLEST_PLANE) for n in reversed(window)]
    sizes = [fixed or usual for fixed, usual in zip(size or [None] * len(wanted), wanted, strict=True)]
    for axis, (has, wants) in enumerate(zip(planes.shape[2:], sizes, strict=True), start=2):
        planes = planes.take(np.arange(min(has, wants)) + max(0, has - wants) // 2, axis)
    return np.pad(planes, [(0, 0), (0, 0), *((0, n - has) for n, has in zip(sizes, planes.shape[2:], strict=True))])


def inferer_for(task: TaskSpec, inferer: Inferer | None = None) -> Inferer:
    """How volumes go through the network of a task.

    Args:
        task: of the network.
        inferer: what is asked for; None takes the task's `sliding`, and without one what its kind of network needs.

    Raises:
        ConfigError: if `inferer` is for the other kind of network, or the task's `sliding` is wrong.
    """
    if inferer is None:
        return build_inferer(task, task.sliding or {}, "task.sliding")
    if task.slices is None and isinstance(inferer, SliceWise):
        raise ConfigError("the network takes volumes, but slices are asked for; use SlidingWindow, or none")
    if task.slices is not None and isinstance(inferer, SlidingWindow):
        raise ConfigError("the network takes slices: give the window to SliceWise, (columns, rows)")
    return inferer.of_cascade(EarlierIds.of(task))


def build_inferer(task: TaskSpec, block: Mapping[str, Any], where: str) -> Inferer:
    """What a block of arguments describes: `SliceWise` for a network for images, else `SlidingWindow`; without a window
    and with `mirror_axes` alone, `WholeVolume`.

    Raises:
        ConfigError: if an argument does not exist or is wrong; names `where`.
    """
    arguments = {key: value for key, value in block.items() if key != "type"}
    inferer: Inferer
    try:
        if task.slices is not None:
            inferer = SliceWise(task.slices, **arguments)
        else:
            inferer = SlidingWindow(**arguments) if "window" in arguments else WholeVolume(**arguments)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}; allowed: {', '.join(SLIDING_KEYS)}") from error
    return inferer.of_cascade(EarlierIds.of(task))


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
