"""How a volume goes through a network: as a whole, or in overlapping windows whose logits are averaged."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.inference.cascade import EarlierIds, WithEarlierIds
from medicalseg.inference.mirroring import check_axes, mirrored
from medicalseg.inference.network import Network
from medicalseg.inference.probabilities import background
from medicalseg.inference.windows import Region, Sums, Triple, WindowGrid, as_triple, gaussian, window_starts
from medicalseg.inference.windows import with_classes as _with_classes
from medicalseg.utils.progress import ProgressLine
from medicalseg.utils.words import counted

LARGEST_SUMS = 1 << 30
MANY_WINDOWS = 8

__all__ = ["Inferer", "Part", "Region", "SlidingWindow", "WholeVolume"]


class Part(NamedTuple):
    """A finished part of a volume.

    Attributes:
        region: its place.
        scores: (K, x, y, z), what the network gives, or sums of it; the receiver may overwrite it.
        weights: (x, y, z), how often the sums count; None = once.
    """

    region: Region
    scores: np.ndarray
    weights: np.ndarray | None = None


class Inferer(ABC):
    """A way to bring a volume through a network.

    Attributes:
        earlier: of the second network of a cascade, how the last channel of an image, the ids of the first, becomes a
            channel per id; None of others.
    """

    earlier: EarlierIds | None = None

    def of_cascade(self, earlier: EarlierIds | None) -> Inferer:
        """The same for images with other, or no, ids of an earlier network behind them."""
        if earlier == self.earlier:
            return self
        other = copy.copy(self)
        other.earlier = earlier
        return other

    def seen_by(self, network: Network) -> Network:
        """The network as it takes parts of the image."""
        return network if self.earlier is None else WithEarlierIds(network, self.earlier)

    @abstractmethod
    def parts(self, network: Network, image: np.ndarray) -> Iterator[Part]:
        """Finished parts of the volume, each voxel once.

        They come in rising order along the first of `axes`, within that along the second, and are whole along the
        third.

        Args:
            network: computes logits.
            image: (C, X, Y, Z) float32; where there is `earlier`, its last channel holds ids.
        """

    def axes(self, shape: Sequence[int]) -> Triple:
        """In which order the axes of a volume (X, Y, Z) are gone through."""
        return (0, 1, 2)

    def smaller(self, shape: Sequence[int]) -> tuple[Inferer, str] | None:
        """The same with less memory at once for a volume (X, Y, Z), and what that is; None if there is no such way."""
        return None

    def slabs(self, network: Network, image: np.ndarray) -> Iterator[tuple[Region, np.ndarray]]:
        """As `parts`: their place, and their logits (K, x, y, z)."""
        for region, scores, weights in self.parts(network, image):
            yield region, scores if weights is None else scores / weights

    def labels(self, network: Network, image: np.ndarray, kind: type[np.integer] = np.int32) -> np.ndarray:
        """(X, Y, Z) of the type `kind` for an image (C, X, Y, Z); logits of the whole volume are never stored."""
        labels = np.empty(image.shape[-3:], kind)
        for region, scores, weights in self.parts(network, image):
            labels[region] = network.decide(scores, weights)
            del scores, weights
        return labels

    def labels_of_all(
        self, network: Network, images: Sequence[np.ndarray], kind: type[np.integer] = np.int32
    ) -> list[np.ndarray]:
        """As `labels`, for several images."""
        return [self.labels(network, image, kind) for image in images]

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
    """The volume goes through the network in one piece.

    Args:
        mirror_axes: axes along which the image is mirrored too, the mean being taken (`Mirrored`).

    Raises:
        ConfigError: if an axis does not exist.
    """

    def __init__(self, mirror_axes: Sequence[int] | None = None) -> None:
        self.mirror_axes = check_axes(mirror_axes, 3, "WholeVolume.mirror_axes")

    def parts(self, network: Network, image: np.ndarray) -> Iterator[Part]:
        """One part: everything."""
        x, y, z = image.shape[-3:]
        scores = mirrored(self.seen_by(network), self.mirror_axes).logits(image[None])[0]
        yield Part((slice(0, x), slice(0, y), slice(0, z)), scores)

    def labels(self, network: Network, image: np.ndarray, kind: type[np.integer] = np.int32) -> np.ndarray:
        """(X, Y, Z), as the network itself gives them."""
        return self.labels_of_all(network, [image], kind)[0]

    def labels_of_all(
        self, network: Network, images: Sequence[np.ndarray], kind: type[np.integer] = np.int32
    ) -> list[np.ndarray]:
        """As `labels` for every image; those of one shape go through the network together."""
        if len({image.shape for image in images}) != 1:
            return super().labels_of_all(network, images, kind)
        batch = images[0][None] if len(images) == 1 else np.stack(images)
        return list(mirrored(self.seen_by(network), self.mirror_axes).labels(batch).astype(kind, copy=False))


@manager.INFERERS.add_component
class SlidingWindow(Inferer):
    """Overlapping windows, logits averaged with weights.

    In a terminal a line shows how many of at least eight windows are done.

    Windows are visited in rows along the axis that needs most of them, and in strips along the axis that needs most
    of the others; a part of the volume is finished as soon as no window can touch it any more (`WindowGrid`). A volume
    smaller than the window is padded with 0.

    Args:
        window: (x, y, z) voxels, or one number for all axes.
        overlap: part of a window that the next one covers again, at least: 0 <= overlap < 1.
        weights: "gaussian" (sigma 1/8 of the window) trusts the centre of a window; "constant".
        batch: windows that go through the network together.
        mirror_axes: axes along which every window is mirrored too, the mean being taken (`Mirrored`).
        skip_empty: a window of one grey value, as in the air around a patient, does not go through the network;
            voxels that only such windows cover are background.
        on_disk: whether sums wait for the next row of windows in temporary files rather than in memory; None = where
            they would take more than 1 GiB.
        padding: where a volume smaller than the window gets its padding: "around" it, as in training on patches, or at
            the "end" of its axes, as PaddleSeg3D's crops.

    Raises:
        ConfigError: if a value is wrong; names the argument.
    """

    def __init__(
        self,
        window: int | Sequence[int],
        overlap: float = 0.5,
        weights: str = "gaussian",
        batch: int = 1,
        mirror_axes: Sequence[int] | None = None,
        skip_empty: bool = True,
        on_disk: bool | None = None,
        padding: str = "around",
    ) -> None:
        self.window = _triple(window)
        if isinstance(overlap, bool) or not isinstance(overlap, (int, float)) or not 0 <= overlap < 1:
            raise ConfigError(f"SlidingWindow.overlap: expected 0 <= overlap < 1, got {overlap!r}")
        if weights not in ("gaussian", "constant"):
            raise ConfigError(f"SlidingWindow.weights: expected 'gaussian' or 'constant', got {weights!r}")
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise ConfigError(f"SlidingWindow.batch: expected a positive integer, got {batch!r}")
        if not isinstance(skip_empty, bool):
            raise ConfigError(f"SlidingWindow.skip_empty: expected true or false, got {skip_empty!r}")
        self.mirror_axes = check_axes(mirror_axes, 3, "SlidingWindow.mirror_axes")
        if on_disk is not None and not isinstance(on_disk, bool):
            raise ConfigError(f"SlidingWindow.on_disk: expected true, false or null, got {on_disk!r}")
        if padding not in ("around", "end"):
            raise ConfigError(f"SlidingWindow.padding: expected 'around' or 'end', got {padding!r}")
        self.weights, self.on_disk, self.padding = weights, on_disk, padding
        self.overlap, self.batch, self.skip_empty = float(overlap), batch, skip_empty
        self._weights = gaussian(self.window) if weights == "gaussian" else np.ones(self.window, np.float32)

    def grid(self, shape: Sequence[int]) -> WindowGrid:
        """The windows over a volume (X, Y, Z)."""
        return WindowGrid.of(shape, self.window, self.overlap)

    def axes(self, shape: Sequence[int]) -> Triple:
        """The axis with most windows first."""
        return self.grid(shape).axes

    def parts(self, network: Network, image: np.ndarray) -> Iterator[Part]:
        """What is final after every strip of windows."""
        network = mirrored(self.seen_by(network), self.mirror_axes)
        shape = as_triple(image.shape[-3:])
        grid = self.grid(shape)
        margins = self._margins(shape, grid.shape)
        padded = _padded(image, grid.shape, margins)
        visited, strips = self._visited(grid, padded), deque(grid.strips())
        sums = Sums(grid)
        empty: np.ndarray | None = None
        shown = None if len(visited) >= MANY_WINDOWS else False
        with ProgressLine(len(visited), "windows", enabled=shown) as line:
            for first in range(0, max(1, len(visited)), self.batch):
                corners = visited[first : first + self.batch] or [(0, 0, 0)]
                scores = network.logits(np.stack([padded[_with_classes(grid.region(corner))] for corner in corners]))
                if first == 0:
                    sums.on_disk = self.rests(shape, scores.shape[1])
                    if len(visited) < grid.count:
                        empty = background(scores.shape[1], network.decision.head, network.gives_probabilities)
                if visited:
                    for corner, found in zip(corners, scores, strict=True):
                        sums.add(corner, found, self._weights)
                scores = found = np.empty(0, np.float32)
                line.update(min(first + self.batch, len(visited)))
                following = visited[first + self.batch] if first + self.batch < len(visited) else None
                while strips and (following is None or grid.strip_of(strips[0]) < grid.strip_of(following)):
                    region = grid.final(strips.popleft())
                    yield from _pieces(grid, region, sums, shape, margins, empty)
                    sums.rest(region[grid.axes[1]].stop)

    def rests(self, shape: Sequence[int], classes: int) -> bool:
        """Whether sums of a volume (X, Y, Z) wait for the next row of windows on disk rather than in memory."""
        if self.on_disk is not None:
            return self.on_disk
        return 4 * (classes + 1) * self.grid(shape).peak_voxels() > LARGEST_SUMS

    def smaller(self, shape: Sequence[int]) -> tuple[Inferer, str] | None:
        """Sums on disk first, which changes no label; then half the windows at a time."""
        arguments: dict[str, Any] = {"window": self.window, "overlap": self.overlap, "weights": self.weights}
        arguments |= {"mirror_axes": self.mirror_axes, "skip_empty": self.skip_empty, "padding": self.padding}
        arguments["on_disk"] = True
        if not self.on_disk:
            way = SlidingWindow(**arguments, batch=self.batch)
            return way.of_cascade(self.earlier), "sums of windows wait on disk"
        if self.batch > 1:
            half = self.batch // 2
            way = SlidingWindow(**arguments, batch=half)
            return way.of_cascade(self.earlier), f"{counted(half, 'window')} at a time"
        return None

    def _margins(self, shape: Sequence[int], padded: Triple) -> Triple:
        """Voxels of padding before the volume, per axis."""
        if self.padding == "end":
            return (0, 0, 0)
        return as_triple([-((size - wanted) // 2) for size, wanted in zip(shape, padded, strict=True)])

    def starts(self, size: int, window: int) -> list[int]:
        """First voxels of the windows along an axis: evenly spread, first and last flush with the volume."""
        return window_starts(size, window, self.overlap)

    def _visited(self, grid: WindowGrid, image: np.ndarray) -> list[Triple]:
        """Corners of the windows that go through the network, in order."""
        corners = grid.corners()
        if not self.skip_empty:
            return list(corners)
        return [corner for corner in corners if not _is_constant(image[_with_classes(grid.region(corner))])]


def _pieces(
    grid: WindowGrid, region: Region, sums: Sums, shape: Triple, margins: Triple, empty: np.ndarray | None
) -> Iterator[Part]:
    """A final region in small pieces, those that are all padding left out."""
    for piece in grid.pieces(region):
        x, y, z = (
            slice(max(0, part.start - margin), min(part.stop - margin, size))
            for part, size, margin in zip(piece, shape, margins, strict=True)
        )
        if x.start < x.stop and y.start < y.stop and z.start < z.stop:
            yield _part(sums, piece, (x, y, z), margins, empty)


def _part(sums: Sums, region: Region, place: Region, margins: Triple, empty: np.ndarray | None) -> Part:
    """What of a final region lies at `place` of the volume; where no window was, the scores of `empty`."""
    taken = sums.take(region)
    if taken is None:
        if empty is None:
            raise ConfigError("no window was added")
        size = [part.stop - part.start for part in place]
        return Part(place, np.broadcast_to(empty[:, None, None, None], (len(empty), *size)).copy())
    scores, weights = taken
    if empty is not None:
        untouched = weights == 0
        if untouched.any():
            weights[untouched] = 1
            for channel, value in zip(scores, empty, strict=True):
                channel[untouched] = value
    inside = tuple(
        slice(part.start + margin - whole.start, part.stop + margin - whole.start)
        for part, margin, whole in zip(place, margins, region, strict=True)
    )
    return Part(place, scores[_with_classes(inside)], weights[inside])


def _padded(image: np.ndarray, shape: Triple, margins: Triple) -> np.ndarray:
    sizes = image.shape[-3:]
    if tuple(sizes) == shape:
        return image
    padding = [(low, wanted - size - low) for size, wanted, low in zip(sizes, shape, margins, strict=True)]
    return np.pad(image, [(0, 0), *padding])


def _is_constant(window: np.ndarray) -> bool:
    """Whether every channel has one value; few voxels usually show that it has not."""
    first = window[:, :1, :1, :1]
    return bool((window[:, ::8, ::8, ::8] == first).all()) and bool((window == first).all())


def _triple(window: int | Sequence[int]) -> Triple:
    sizes = [window] * 3 if isinstance(window, int) else list(window)
    if len(sizes) != 3 or any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in sizes):
        raise ConfigError(f"SlidingWindow.window: expected one or three positive integers, got {window!r}")
    return as_triple(sizes)
