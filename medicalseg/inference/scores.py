"""Probabilities from a network's grid to labels on the original grid, while the parts of the volume become final.

Nothing of a volume's size is held but the labels: of the finished parts only the last plane and the last column, which
the voxels between two parts need. Every original voxel is computed alike, however the volume was cut into parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medicalseg.errors import DataError
from medicalseg.inference.decision import Decision
from medicalseg.inference.grid import GridRecord, Triple, orient, orientation_change
from medicalseg.inference.threads import for_each

BLOCK_VOXELS = 1 << 20
ROUNDING = 1e-4


@dataclass(frozen=True)
class OriginalLine:
    """Where the original voxels of one axis lie between voxels of the network's grid.

    Attributes:
        first: index of the first one on the oriented original grid.
        low: lower neighbours on the network's grid.
        last: the highest neighbours that count; `low` where the weight is 0.
        weight: of the upper neighbours, float32.
    """

    first: int
    low: np.ndarray
    last: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, record: GridRecord, axis: int) -> OriginalLine:
        """Of an oriented axis, inside the record's box."""
        box = record.box[axis]
        places = np.arange(box.start, box.stop) * record.scale[axis] + record.offset[axis]
        places = np.clip(places, record.start[axis], record.stop[axis] - 1)
        low = np.floor(places).astype(np.intp)
        weight = (places - low).astype(np.float32)
        return cls(box.start, low, np.where(weight > 0, low + 1, low), weight)

    def within(self, part: slice) -> slice:
        """The voxels that need `part` of the network's grid and nothing behind it."""
        first, last = np.searchsorted(self.last, [part.start, part.stop])
        return slice(int(first), int(last))

    def __len__(self) -> int:
        return len(self.low)


class ScoresToOriginal:
    """Labels on the original grid, decided from linearly interpolated probabilities.

    Args:
        record: the way from the original grid to the network's.
        decision: how probabilities become labels.
        classes: channels of the probabilities.
        axes: of the network's grid, in the order in which parts come (`Inferer.axes`).
        uncertainty: also compute `uncertainty`.

    Attributes:
        labels: (X, Y, Z) as stored, first axis fastest; the smallest unsigned type, 0 outside the record's box.
        uncertainty: float32 likewise: the entropy of the probabilities as a part of the largest possible one, 0 to 1,
            of sigmoids the mean over structures; None where not asked for.
    """

    def __init__(
        self,
        record: GridRecord,
        decision: Decision,
        classes: int,
        axes: Triple = (0, 1, 2),
        uncertainty: bool = False,
    ) -> None:
        self._decision, self._classes, self._axes = decision, classes, axes
        highest = classes - 1 if decision.head == "softmax" else (1 << classes) - 1
        kind = np.min_scalar_type(highest) if highest < 1 << 16 else np.dtype(np.int32)
        self.labels = np.zeros(record.shape, kind, order="F")
        self.uncertainty = np.zeros(record.shape, np.float32, order="F") if uncertainty else None
        self._targets = [
            orient(array, orientation_change(record.affine, record.orientation))[record.box].transpose(axes)
            for array in (self.labels, self.uncertainty)
            if array is not None
        ]
        lines = [OriginalLine.of(record, axis) for axis in range(3)]
        self._lines = [lines[axis] for axis in axes]
        self._shape = [record.network_shape[axis] for axis in axes]
        growth = [len(line) / size for line, size in zip(self._lines, self._shape, strict=True)]
        self._order = sorted(range(3), key=lambda axis: growth[axis])
        self._row = -1
        self._plane: np.ndarray | None = None
        self._next_plane: np.ndarray | None = None
        self._column: np.ndarray | None = None

    def add(self, region: Sequence[slice], probabilities: np.ndarray) -> None:
        """Take a finished part: its place on the network's grid, and its probabilities (K, x, y, z).

        Raises:
            DataError: if it has other classes, or is not whole along the last of the axes.
        """
        rows, columns, along = (region[axis] for axis in self._axes)
        if len(probabilities) != self._classes or along != slice(0, self._shape[2]):
            raise DataError(f"a part of {len(probabilities)} classes at {region} does not fit {self._classes} classes")
        block = probabilities.transpose(0, *(1 + axis for axis in self._axes))
        if rows.start != self._row:
            self._row, self._plane, self._next_plane, self._column = rows.start, self._next_plane, None, None
        pieces = _Pieces(block, self._plane, self._column, rows.start, columns.start)
        self._decide(pieces, rows, columns)
        self._keep(pieces, rows, columns)

    def _keep(self, pieces: _Pieces, rows: slice, columns: slice) -> None:
        """The last plane for the next row of parts, the last column for the next part."""
        if rows.stop < self._shape[0]:
            if self._next_plane is None:
                self._next_plane = np.empty((self._classes, *self._shape[1:]), np.float32)
            self._next_plane[:, columns] = pieces.block[:, -1]
        self._column = pieces.last_column() if columns.stop < self._shape[1] else None

    def _decide(self, pieces: _Pieces, rows: slice, columns: slice) -> None:
        lines = self._lines
        wanted = (lines[0].within(rows), lines[1].within(columns), slice(0, len(lines[2])))
        sizes = [part.stop - part.start for part in wanted]
        if 0 in sizes:
            return
        step = max(1, BLOCK_VOXELS // (sizes[1] * sizes[2]))
        starts = range(wanted[0].start, wanted[0].stop, step)

        def some(first: int) -> None:
            chosen = (slice(first, min(first + step, wanted[0].stop)), wanted[1], wanted[2])
            targets = [target[chosen] for target in self._targets]
            self._fill(pieces, chosen, targets)

        for_each(some, starts, math.prod(sizes) * self._classes)

    def _fill(self, pieces: _Pieces, chosen: Sequence[slice], targets: Sequence[np.ndarray]) -> None:
        source = [
            slice(int(line.low[part.start]), int(line.last[part.stop - 1]) + 1)
            for line, part in zip(self._lines, chosen, strict=True)
        ]
        winner = Winner(self._decision, self._classes, [part.stop - part.start for part in chosen], len(targets) > 1)
        for channel in range(self._classes):
            content = pieces.channel(channel, source)
            if not winner.needs(content):
                continue
            for axis in self._order:
                line, part = self._lines[axis], chosen[axis]
                content = along_axis(content, axis, line.low[part] - source[axis].start, line.weight[part])
            winner.add(channel, content)
        targets[0][...] = winner.labels
        if winner.entropy is not None:
            targets[1][...] = winner.entropy


class _Pieces:
    """A part with what its first voxels need of those before it: one plane along the first axis, one column."""

    def __init__(
        self, block: np.ndarray, plane: np.ndarray | None, column: np.ndarray | None, row: int, start: int
    ) -> None:
        self.block, self._plane, self._column = block, plane, column
        self._row, self._start = row, start

    def channel(self, channel: int, source: Sequence[slice]) -> np.ndarray:
        """(x, y, z) of a region of the network's grid that begins at most one before the part's."""
        rows, columns, along = source
        inner = slice(max(rows.start, self._row) - self._row, rows.stop - self._row)
        across = slice(max(columns.start, self._start) - self._start, columns.stop - self._start)
        body = self.block[channel, inner, across, along]
        above, left = rows.start < self._row, columns.start < self._start
        if not above and not left:
            return body
        result = np.empty([part.stop - part.start for part in source], np.float32)
        result[int(above) :, int(left) :] = body
        if left and self._column is not None:
            first = 0 if above else rows.start - self._row + 1
            result[:, 0] = self._column[channel, first : rows.stop - self._row + 1, along]
        if above and self._plane is not None:
            result[0, int(left) :] = self._plane[channel, slice(max(columns.start, self._start), columns.stop), along]
        return result

    def last_column(self) -> np.ndarray:
        """(K, 1 + x, z): that of the plane before, and those of the part."""
        last = self.block[:, :, -1]
        result = np.empty((len(last), 1 + last.shape[1], last.shape[2]), np.float32)
        result[:, 1:] = last
        result[:, 0] = 0 if self._plane is None else self._plane[:, self._start + self.block.shape[2] - 1]
        return result


class Winner:
    """Labels and entropy of classes that come one after the other."""

    def __init__(self, decision: Decision, classes: int, shape: Sequence[int], entropy: bool) -> None:
        self._decision, self._classes = decision, classes
        self._softmax = decision.head == "softmax"
        self.labels = np.zeros(shape, np.min_scalar_type(classes) if self._softmax else np.int32)
        self.entropy = np.zeros(shape, np.float32) if entropy else None
        self._best = np.full(shape, -1, np.float32) if self._softmax else None

    def needs(self, content: np.ndarray) -> bool:
        """Whether a class with such probabilities can matter: the largest of K that sum to 1 is at least 1 / K."""
        least = 1 / self._classes if self._softmax else self._decision.threshold
        return self.entropy is not None or bool(content.max() >= least * (1 - ROUNDING))

    def add(self, channel: int, probability: np.ndarray) -> None:
        """Take the interpolated probabilities (x, y, z) of a class or structure."""
        if self._best is None:
            self.labels |= (probability >= self._decision.threshold).astype(np.int32) << channel
        else:
            np.copyto(self.labels, channel, where=probability > self._best)
            np.maximum(self._best, probability, out=self._best)
        if self.entropy is not None:
            self.entropy += _entropy(probability, self._softmax, self._classes)


def _entropy(probability: np.ndarray, softmax: bool, classes: int) -> np.ndarray:
    """What one class adds to the entropy, as a part of the largest that all can have together."""

    def term(values: np.ndarray) -> np.ndarray:
        return -values * np.log(np.maximum(values, np.float32(1e-30)))

    if softmax:
        return term(probability) / np.float32(math.log(max(2, classes)))
    return (term(probability) + term(1 - probability)) / np.float32(math.log(2) * classes)


def along_axis(content: np.ndarray, axis: int, low: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Linear interpolation along an axis: lower neighbours and weights of the upper ones."""
    if not weight.any():
        first, last = int(low[0]), int(low[-1]) + 1
        if last - first == len(low):
            return content[tuple(slice(first, last) if a == axis else slice(None) for a in range(3))]
        return np.take(content, low, axis=axis)
    result = np.take(content, low, axis=axis)
    difference = np.take(content, np.minimum(low + 1, content.shape[axis] - 1), axis=axis)
    difference -= result
    difference *= weight.reshape([-1 if a == axis else 1 for a in range(3)])
    result += difference
    return result


def scores_to_original(
    probabilities: np.ndarray, record: GridRecord, decision: Decision, uncertainty: bool = False
) -> ScoresToOriginal:
    """As `ScoresToOriginal` for probabilities (K, X, Y, Z) of the whole volume.

    Raises:
        DataError: if their shape is not the record's.
    """
    if probabilities.shape[1:] != record.network_shape:
        raise DataError(f"scores have the shape {probabilities.shape[1:]}, but the image had {record.network_shape}")
    result = ScoresToOriginal(record, decision, len(probabilities), uncertainty=uncertainty)
    result.add([slice(0, size) for size in record.network_shape], probabilities)
    return result
