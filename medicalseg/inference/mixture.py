"""Networks that see an image differently, as in 2D and 3D or on other grids, averaged on the image's own grid.

Each network's probabilities are kept on its own grid in a temporary file of half-precision numbers; then the original
grid is gone through slab by slab, class by class.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medicalseg.errors import ConfigError, RunError
from medicalseg.inference.grid import GridRecord, orient, orientation_change
from medicalseg.inference.network import Network
from medicalseg.inference.pipeline import Result, label_type, prepare
from medicalseg.inference.scores import OriginalLine, Winner, along_axis
from medicalseg.inference.sliding_window import Inferer
from medicalseg.inference.task import TaskSpec
from medicalseg.inference.timings import Timings
from medicalseg.io import Volume

SLAB_VOXELS = 1 << 22


@dataclass(frozen=True)
class Member:
    """A network ready for use: its task, and how volumes go through it."""

    task: TaskSpec
    network: Network
    inferer: Inferer


def mix(
    volume: Volume,
    members: Sequence[Member],
    timings: Timings,
    previous: Volume | None = None,
    uncertainty: bool = False,
) -> tuple[Result, GridRecord]:
    """Labels on the original grid from the mean probabilities of several networks.

    Args:
        volume: an image as read.
        members: the networks; see `medicalseg.inference.alike.check_answers`.
        timings: gets the seconds of "pre", "run" and "post".
        previous: of cascades, the labels of the earlier network on the grid of `volume`.
        uncertainty: also compute it.

    Returns:
        The labels, and how the first network's grid was made.
    """
    with tempfile.TemporaryDirectory(prefix="medicalseg-ensemble-") as folder:
        stored = []
        for number, member in enumerate(members):
            image, record = prepare(volume, member.task, timings, previous)
            with timings.measure("run"):
                stored.append(_store(image, record, member, Path(folder) / str(number)))
            del image
        with timings.measure("post"):
            return _average(stored, members[0].task, uncertainty), stored[0].record


@dataclass(frozen=True)
class _Stored:
    """Probabilities of one network, (rows, K, ...) float16: first the axis that the file's slabs lie along."""

    record: GridRecord
    path: Path
    classes: int

    @property
    def change(self) -> np.ndarray:
        """From the stored axes to the network's."""
        return orientation_change(self.record.affine, self.record.orientation)

    @property
    def axes(self) -> tuple[int, int, int]:
        """The network's axes in the file's order."""
        rows = int(self.change[2, 0])
        first, second = (axis for axis in range(3) if axis != rows)
        return rows, first, second

    def opened(self, mode: str) -> np.memmap:
        """The file's numbers; it is mapped only as long as the result lives."""
        rows, first, second = (self.record.network_shape[axis] for axis in self.axes)
        shape = (rows, self.classes, first, second)
        return np.memmap(self.path, np.float16, mode, shape=shape)  # type: ignore[call-overload]


def _store(image: np.ndarray, record: GridRecord, member: Member, path: Path) -> _Stored:
    stored: _Stored | None = None
    for region, scores, weights in member.inferer.parts(member.network, image):
        found = member.network.probabilities_of(scores, weights)
        if stored is None:
            stored = _Stored(record, path, len(found))
            _reserve(path, stored.classes * math.prod(record.network_shape) * np.dtype(np.float16).itemsize)
        target = stored.opened("r+")
        rows, first, second = stored.axes
        part = found.transpose(1 + rows, 0, 1 + first, 1 + second)
        target[region[rows], :, region[first], region[second]] = part
        del scores, weights, found, part, target
    if stored is None:
        raise ConfigError(f"an image of shape {image.shape} has no voxels")
    return stored


def _reserve(path: Path, size: int) -> None:
    """A file of so many bytes, all of which the disk has: where it is full, writing to a mapping ends the process.

    Raises:
        RunError: if there is no room.
    """
    with path.open("wb") as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        except OSError as error:
            raise RunError(
                f"{path.parent}: no room for {size / (1 << 30):.1f} GiB of probabilities ({error.strerror}); "
                "set TMPDIR to a folder on a larger disk"
            ) from error


def _average(stored: Sequence[_Stored], task: TaskSpec, uncertainty: bool) -> Result:
    shape = stored[0].record.shape
    labels = np.zeros(shape, label_type(task), order="F")
    entropy = np.zeros(shape, np.float32, order="F") if uncertainty else None
    step = max(1, SLAB_VOXELS // (shape[0] * shape[1]))
    for start in range(0, shape[2], step):
        slab = slice(start, min(start + step, shape[2]))
        size = (*shape[:2], slab.stop - slab.start)
        sources = [(each, each.opened("r")) for each in stored]
        winner = Winner(task.decision, task.num_classes, size, uncertainty)
        for channel in range(task.num_classes):
            mean = np.zeros(size, np.float32)
            for each, numbers in sources:
                _add(mean, each, numbers, channel, slab, float(task.head == "softmax" and channel == 0))
            mean /= len(sources)
            winner.add(channel, mean)
        labels[..., slab] = winner.labels
        if entropy is not None:
            entropy[..., slab] = winner.entropy
    return Result(restored=labels, uncertainty=entropy)


def _add(total: np.ndarray, stored: _Stored, numbers: np.ndarray, channel: int, slab: slice, outside: float) -> None:
    """Add a class's interpolated probabilities in a slab of the stored third axis; outside the box they are known."""
    record, change = stored.record, stored.change
    view = orient(total, change)
    if outside:
        total += outside
    along, size = stored.axes[0], record.shape[2]
    place = slab if change[2, 1] == 1 else slice(size - slab.stop, size - slab.start)
    wanted = list(record.box)
    wanted[along] = slice(max(place.start, wanted[along].start), min(place.stop, wanted[along].stop))
    if wanted[along].start >= wanted[along].stop:
        return
    lines = [OriginalLine.of(record, axis) for axis in range(3)]
    parts = [slice(part.start - line.first, part.stop - line.first) for part, line in zip(wanted, lines, strict=True)]
    source = [slice(line.low[p][0], line.last[p][-1] + 1) for line, p in zip(lines, parts, strict=True)]
    rows, first, second = stored.axes
    content = numbers[source[rows], channel, source[first], source[second]].astype(np.float32)
    content = content.transpose(np.argsort(stored.axes))
    for axis in range(3):
        line, part = lines[axis], parts[axis]
        content = along_axis(content, axis, line.low[part] - source[axis].start, line.weight[part])
    wanted[along] = slice(wanted[along].start - place.start, wanted[along].stop - place.start)
    view[tuple(wanted)] += content - np.float32(outside)
