"""Where overlapping windows lie in a volume, and the sums of what a network gives for them.

Windows are visited in rows along one axis, in strips along a second one within a row. What no later window can touch
is final after each strip, so sums are held for the overlap of two rows and for one strip, never for the volume.
"""

from __future__ import annotations

import itertools
import math
import mmap
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import numpy as np

from medicalseg.inference.threads import for_each
from medicalseg.utils.logger import logger

Region = tuple[slice, slice, slice]
Triple = tuple[int, int, int]
Cell = tuple[int, int, int]
SMALLEST_WEIGHT = 1e-3
SIGMA = 1 / 8
PRODUCT_VOXELS = 1 << 15
PIECE_VOXELS = 1 << 20
OWN_PAGES = 1 << 22


@dataclass(frozen=True)
class WindowGrid:
    """Windows over a volume.

    Attributes:
        shape: of the volume, at least the window's.
        window: its size.
        starts: first voxels of the windows, per axis.
    """

    shape: Triple
    window: Triple
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @classmethod
    def of(cls, shape: Sequence[int], window: Triple, overlap: float) -> WindowGrid:
        """The grid over a volume, which is taken as padded to the window where it is smaller."""
        sizes = [max(size, extent) for size, extent in zip(shape, window, strict=True)]
        starts = [tuple(window_starts(*axis, overlap)) for axis in zip(sizes, window, strict=True)]
        return cls(as_triple(sizes), window, (starts[0], starts[1], starts[2]))

    @property
    def axes(self) -> Triple:
        """Axis of the rows, of the strips within a row, and the one that strips lie along: most windows first."""
        return as_triple(sorted(range(3), key=lambda axis: -len(self.starts[axis])))

    @property
    def count(self) -> int:
        """Windows."""
        return math.prod(len(starts) for starts in self.starts)

    def corners(self) -> Iterator[Triple]:
        """First voxels of all windows in the order they are visited."""
        order = self.axes
        for place in itertools.product(*(self.starts[axis] for axis in order)):
            corner = [0, 0, 0]
            for axis, start in zip(order, place, strict=True):
                corner[axis] = start
            yield as_triple(corner)

    def region(self, corner: Sequence[int]) -> Region:
        """The window at a corner."""
        x, y, z = (slice(start, start + size) for start, size in zip(corner, self.window, strict=True))
        return x, y, z

    def final(self, corner: Sequence[int]) -> Region:
        """What is final when the strip of the window at `corner` was visited, and not before."""
        rows, strips, along = self.axes
        parts = [slice(0, size) for size in self.shape]
        for axis in (rows, strips):
            starts = self.starts[axis]
            following = bisect_right(starts, corner[axis])
            stop = starts[following] if following < len(starts) else self.shape[axis]
            parts[axis] = slice(corner[axis], stop)
        parts[along] = slice(0, self.shape[along])
        return parts[0], parts[1], parts[2]

    def strip_of(self, corner: Sequence[int]) -> tuple[int, int]:
        """Where the strip of a window begins along the first two axes: strips are visited in this order."""
        rows, across, _ = self.axes
        return corner[rows], corner[across]

    def strips(self) -> Iterator[Triple]:
        """The first corner of every strip, in order."""
        along = self.axes[2]
        return (corner for corner in self.corners() if corner[along] == self.starts[along][0])

    @cached_property
    def edges(self) -> tuple[list[int], list[int], list[int]]:
        """Per axis where windows start or end; along a strip only its own ends."""
        along = self.axes[2]
        edges = []
        for axis, size in enumerate(self.shape):
            inner = [] if axis == along else self.starts[axis]
            edges.append(sorted({0, size, *inner, *(start + self.window[axis] for start in inner)}))
        return edges[0], edges[1], edges[2]

    def peak_voxels(self, resting: bool = False) -> int:
        """Most voxels whose sums are held at once; without those that wait for the next row if they are `resting`."""
        touched: set[Cell] = set()
        held = peak = 0
        for corner in self.strips():
            strip = list(self._cells(self._strip(corner)))
            held += sum(self.voxels(cell) for cell in strip if cell not in touched)
            touched.update(strip)
            peak = max(peak, sum(self.voxels(cell) for cell in strip) if resting else held)
            held -= sum(self.voxels(cell) for cell in self._cells(self.final(corner)))
        return peak

    def pieces(self, region: Region) -> Iterator[Region]:
        """A final region in pieces of at most `PIECE_VOXELS` along the axis of the strips."""
        across = self.axes[1]
        plane = math.prod(part.stop - part.start for axis, part in enumerate(region) if axis != across)
        step = max(1, PIECE_VOXELS // plane)
        for start in range(region[across].start, region[across].stop, step):
            parts = list(region)
            parts[across] = slice(start, min(start + step, region[across].stop))
            yield parts[0], parts[1], parts[2]

    def largest_part(self) -> int:
        """Most voxels of a piece that is final."""
        pieces = (piece for corner in self.strips() for piece in self.pieces(self.final(corner)))
        return max(math.prod(part.stop - part.start for part in piece) for piece in pieces)

    def cells(self, region: Sequence[slice]) -> list[Cell]:
        """Cells between edges that a region touches."""
        return list(self._cells(region))

    def cell_region(self, cell: Cell) -> Region:
        """Where a cell lies."""
        x, y, z = (slice(edges[index], edges[index + 1]) for edges, index in zip(self.edges, cell, strict=True))
        return x, y, z

    def voxels(self, cell: Cell) -> int:
        """Size of a cell."""
        return math.prod(part.stop - part.start for part in self.cell_region(cell))

    def _strip(self, corner: Sequence[int]) -> Region:
        parts, along = list(self.region(corner)), self.axes[2]
        parts[along] = slice(0, self.shape[along])
        return parts[0], parts[1], parts[2]

    def _cells(self, region: Sequence[slice]) -> Iterator[Cell]:
        ranges = []
        for edges, part in zip(self.edges, region, strict=True):
            ranges.append(range(bisect_right(edges, part.start) - 1, bisect_left(edges, part.stop)))
        yield from itertools.product(ranges[0], ranges[1], ranges[2])


class Sums:
    """Weighted sums of the windows' scores, in cells that exist from the first window on that touches them.

    Every voxel's sum adds its windows in the order of their visit, whatever the cells are.

    Args:
        grid: of the windows.

    Attributes:
        on_disk: whether cells wait for the next row of windows in files. The files have no names where the system
            allows it, so that a process that is killed leaves nothing behind.
    """

    def __init__(self, grid: WindowGrid, on_disk: bool = False) -> None:
        self._grid, self.on_disk = grid, on_disk
        self._cells: dict[Cell, tuple[np.ndarray, np.ndarray] | BinaryIO] = {}

    def add(self, corner: Sequence[int], scores: np.ndarray, weights: np.ndarray) -> None:
        """Add a window's scores (K, x, y, z) with its weights (x, y, z)."""
        region = self._grid.region(corner)
        for cell in self._grid.cells(region):
            place = self._grid.cell_region(cell)
            if cell not in self._cells:
                shape = [part.stop - part.start for part in place]
                self._cells[cell] = zeros((len(scores), *shape)), zeros(shape)
            sums, total = self._loaded(cell)
            common = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(place, region, strict=True)]
            inside = tuple(slice(a - part.start, b - part.start) for (a, b), part in zip(common, place, strict=True))
            window = tuple(slice(a - part.start, b - part.start) for (a, b), part in zip(common, region, strict=True))
            total[inside] += weights[window]
            add_weighted(sums[with_classes(inside)], scores[with_classes(window)], weights[window])

    def rest(self, border: int) -> None:
        """Bring cells before `border` along the axis of the strips, which wait for the next row, to the disk.

        Where the disk takes no more, cells wait in memory from then on.
        """
        across = self._grid.axes[1]
        for cell, held in self._cells.items():
            if not self.on_disk:
                return
            if isinstance(held, tuple) and self._grid.cell_region(cell)[across].stop <= border:
                self._cells[cell] = self._stored(held)

    def take(self, region: Region) -> tuple[np.ndarray, np.ndarray] | None:
        """Sums (K, x, y, z) and weights (x, y, z) of a final region; None if no window was there.

        Regions are taken in rising order along the axis of the strips; cells that end in one are then forgotten.
        """
        cells = [cell for cell in self._grid.cells(region) if cell in self._cells]
        if not cells:
            return None
        shape, across = tuple(part.stop - part.start for part in region), self._grid.axes[1]
        result: tuple[np.ndarray, np.ndarray] | None = None
        for cell in cells:
            sums, total = self._loaded(cell)
            place = self._grid.cell_region(cell)
            if place[across].stop <= region[across].stop:
                del self._cells[cell]
            if place == region:
                return sums, total
            if result is None:
                result = zeros((len(sums), *shape)), zeros(shape)
            common = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(place, region, strict=True)]
            inside = tuple(slice(a - part.start, b - part.start) for (a, b), part in zip(common, region, strict=True))
            held = tuple(slice(a - part.start, b - part.start) for (a, b), part in zip(common, place, strict=True))
            result[0][with_classes(inside)], result[1][inside] = sums[with_classes(held)], total[held]
        return result

    def _stored(self, held: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | BinaryIO:
        try:
            file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (closed when it is read again, or dropped)
            for numbers in held:
                file.write(numbers.data.cast("B"))
            file.flush()
        except OSError as error:
            logger.warning("%s: %s; sums of windows wait in memory instead.", tempfile.gettempdir(), error)
            self.on_disk = False
            return held
        return file

    def _loaded(self, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
        held = self._cells[cell]
        if not isinstance(held, tuple):
            shape = [part.stop - part.start for part in self._grid.cell_region(cell)]
            numbers = zeros((held.tell() // (4 * math.prod(shape)), *shape))
            with held:
                held.seek(0)
                held.readinto(numbers.data.cast("B"))  # type: ignore[attr-defined]
            held = numbers[:-1], numbers[-1]
            self._cells[cell] = held
        return held


def zeros(shape: Sequence[int]) -> np.ndarray:
    """Float32 zeros; large ones in pages of their own, which go back to the system with the array.

    The allocator is told to keep what is freed (`medicalseg.ops.process`), which is fast for a network's tensors, but
    leaves holes between arrays of many sizes.
    """
    size = 4 * math.prod(shape)
    if size < OWN_PAGES:
        return np.zeros(tuple(shape), np.float32)
    return np.frombuffer(mmap.mmap(-1, size), np.float32).reshape(tuple(shape))


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """First voxels of the windows along an axis: evenly spread, first and last flush with the volume."""
    if size <= window:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    count = math.ceil((size - window) / step) + 1
    return [round(index * (size - window) / (count - 1)) for index in range(count)]


def gaussian(window: Triple) -> np.ndarray:
    """Weights (x, y, z) that trust the centre of a window: sigma 1/8 of its size, at least 1/1000 of the largest."""
    lines = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n * SIGMA)) ** 2) for n in window]
    weights = lines[0][:, None, None] * lines[1][:, None] * lines[2]
    return np.maximum(weights / weights.max(), SMALLEST_WEIGHT).astype(np.float32)


def add_weighted(total: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> None:
    """total += scores * weights for (K, x, y, z) and (x, y, z), a few planes at a time while they are in the cache."""
    step = max(1, PRODUCT_VOXELS * len(weights) // weights.size)

    def one(index: int) -> None:
        product = np.empty((min(step, len(weights)), *weights.shape[1:]), np.float32)
        for start in range(0, len(weights), step):
            part = slice(start, min(start + step, len(weights)))
            scratch = product[: part.stop - start]
            np.multiply(scores[index, part], weights[part], out=scratch)
            total[index, part] += scratch

    for_each(one, range(len(scores)), scores.size)


def with_classes(region: Sequence[slice]) -> tuple[slice, ...]:
    """A region of an array that has classes or channels in front."""
    return (slice(None), *region)


def as_triple(values: Sequence[int]) -> Triple:
    """Three integers as a tuple."""
    return (int(values[0]), int(values[1]), int(values[2]))
