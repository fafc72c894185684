"""How much memory a prediction needs: estimated before it, watched during it, and what real shortage looks like."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import math
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from medicalseg.errors import UserError
from medicalseg.inference.slice_wise import SliceWise, inferer_for
from medicalseg.inference.sliding_window import Inferer, SlidingWindow
from medicalseg.io import Volume
from medicalseg.utils.logger import logger

if TYPE_CHECKING:
    from medicalseg.inference.grid import GridRecord, Triple
    from medicalseg.inference.mixture import Member
    from medicalseg.inference.network import Network
    from medicalseg.inference.task import TaskSpec

FLOAT = 4
SCRATCH = 48 << 20
EXHAUSTED = re.compile(r"ResourceExhausted|out of memory", re.IGNORECASE)
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
CONTROL_GROUP = Path("/sys/fs/cgroup")
TOLD, LEAST_TOLD = 1.25, 200 << 20
WORTH_MEASURING = 32


@dataclasses.dataclass(frozen=True)
class MemoryEstimate:
    """Bytes above what the process holds with the network loaded.

    Attributes:
        reading: the image as stored, and as the network sees it.
        running: the image, sums of windows, parts that become final, labels, and the network itself.
        writing: labels on both grids.
    """

    reading: int
    running: int
    writing: int

    @property
    def total(self) -> int:
        """The peak."""
        return max(self.reading, self.running, self.writing)


def estimate_memory(
    shape: Sequence[int],
    task: TaskSpec,
    inferer: Inferer | None = None,
    *,
    affine: np.ndarray | None = None,
    itemsize: int = 2,
    uncertainty: bool = False,
    network_bytes: int | None = None,
) -> MemoryEstimate:
    """What segmenting an image needs.

    Args:
        shape: (X, Y, Z) or (C, X, Y, Z) of the image, as stored. A crop is not known before the image is read: what
            it will save is not counted.
        task: of the network.
        inferer: how the volume goes through the network; None = as the task says.
        affine: of the image; None = voxels of 1 mm, along RAS.
        itemsize: bytes of a stored voxel.
        uncertainty: it is computed too.
        network_bytes: what the network needs for one batch (`measure_network`); None = three times its input and
            output.
    """
    inferer = inferer_for(task, inferer)
    volume = Volume(np.broadcast_to(np.uint8(0), tuple(shape[-3:])), np.eye(4) if affine is None else affine)
    record = dataclasses.replace(task.preprocessing, crop="none").grid(volume)
    voxels, seen = math.prod(record.shape), math.prod(record.network_shape)
    stored = voxels * (shape[0] if len(shape) == 4 else 1) * itemsize
    own = task.in_channels * seen * FLOAT
    image = own + (seen * FLOAT if task.previous_classes else 0)
    earlier = own + seen + voxels if task.previous_classes else 0
    label = 1 if task.num_ids <= 1 << 8 else 2
    on_original = task.restoring == "scores"
    labels = label * (voxels if on_original else seen)
    labels += voxels * FLOAT if uncertainty else 0
    sums = _sums(inferer, record, task, scores=on_original or uncertainty)
    batch = _batch_bytes(inferer, record, task)
    network = (network_bytes or 3 * batch) + (2 * batch if getattr(inferer, "mirror_axes", ()) else 0)
    return MemoryEstimate(
        reading=stored + image + earlier + SCRATCH,
        running=image + labels + sums + network + SCRATCH,
        writing=labels + (0 if on_original else 2 * label * voxels) + SCRATCH,
    )


def largest_grid(image: Volume, task: TaskSpec) -> Triple:
    """(X, Y, Z) of the network's grid for an image, as if nothing were cropped: no voxel is looked at."""
    return dataclasses.replace(task.preprocessing, crop="none").grid(image).network_shape


def batch_shape(inferer: Inferer, shape: Sequence[int], task: TaskSpec) -> tuple[int, ...]:
    """(N, C, ...) of what goes through the network at once, for a volume (X, Y, Z) on its grid."""
    if isinstance(inferer, SlidingWindow):
        return (min(inferer.batch, inferer.grid(shape).count), task.network_channels, *inferer.window)
    if isinstance(inferer, SliceWise):
        plane = inferer.window or [shape[axis] for axis in inferer.slices.plane]
        count = (inferer.batch or 1) if inferer.window else inferer.count(plane)
        return (min(count, shape[inferer.slices.axis]), task.network_channels, plane[1], plane[0])
    return (1, task.network_channels, *shape)


def _batch_bytes(inferer: Inferer, record: GridRecord, task: TaskSpec) -> int:
    count, channels, *size = batch_shape(inferer, record.network_shape, task)
    return count * math.prod(size) * (channels + task.num_classes) * FLOAT


def _sums(inferer: Inferer, record: GridRecord, task: TaskSpec, scores: bool) -> int:
    """Sums of windows, the part that is final, and what its way to the original grid holds."""
    shape, each = record.network_shape, task.num_classes * FLOAT
    _, columns, along = inferer.axes(shape)
    if isinstance(inferer, SlidingWindow):
        grid = inferer.grid(shape)
        part = grid.largest_part()
        held = grid.peak_voxels(resting=inferer.rests(shape, task.num_classes)) * (each + FLOAT)
    elif isinstance(inferer, SliceWise):
        part, held = batch_shape(inferer, shape, task)[0] * shape[columns] * shape[along], 0
        if inferer.window is not None:
            part, held = shape[columns] * shape[along], 2 * shape[columns] * shape[along] * each
    else:
        return 0
    if not scores:
        return held + part * each
    edges = 2 * shape[columns] * shape[along] * each if part < math.prod(shape) else 0
    return held + part * each + edges


@dataclasses.dataclass(frozen=True)
class _Fit:
    """How an image goes through a network: what it would have needed and needs, in bytes, and what was chosen."""

    inferer: Inferer
    first: int
    needed: int
    choices: Sequence[str]


class MemoryPlan:
    """Compares what every image needs with what there is, and chooses smaller pieces where it would not fit.

    Args:
        limit: bytes that may be used beside what the process holds now; None = what is free when an image comes.
        tell: log what an image needs also where there is enough.

    Attributes:
        largest: bytes that the neediest image so far was estimated to take, in the pieces that were chosen.
        lock: held while a network is measured; who runs it in another thread holds it meanwhile.
    """

    def __init__(self, limit: int | None = None, tell: bool = True) -> None:
        self._tell = tell
        self._limit, self.largest, self.lock = limit, 0, threading.Lock()
        self._told = 0
        self._measured: dict[tuple[int, ...], int] = {}

    def fit(self, image: Volume, member: Member, uncertainty: bool = False) -> Inferer:
        """The inferer for an image that was read, and is held; says what it needs where that is more than before."""
        return self.fit_all(image, [member], uncertainty)[0]

    def fit_all(
        self, image: Volume, members: Sequence[Member], uncertainty: bool = False, of: str | None = None
    ) -> list[Inferer]:
        """As `fit` for networks that work one after the other: what the neediest needs is said, once.

        Args:
            image: it.
            members: the networks.
            uncertainty: it is computed too.
            of: which networks they are, for the log, where there are others for the same image.
        """
        free = available_memory() + image.array.nbytes
        free = free if self._limit is None else min(free, self._limit)
        fits = [self._fit(image, member, uncertainty, free) for member in members]
        self.largest = max(self.largest, *(fit.needed for fit in fits))
        self._say(f"{image.path} ({of})" if of else str(image.path), fits, free)
        return [fit.inferer for fit in fits]

    def _fit(self, image: Volume, member: Member, uncertainty: bool, free: int) -> _Fit:
        inferer, choices = member.inferer, list[str]()
        shape = largest_grid(image, member.task)
        first = needed = self._needed(image, member, inferer, uncertainty)
        while needed > free and (way := inferer.smaller(shape)) is not None:
            inferer, what = way
            needed = self._needed(image, member, inferer, uncertainty)
            choices.append(what)
        return _Fit(inferer, first, needed, choices)

    def _say(self, name: str, fits: Sequence[_Fit], free: int) -> None:
        first, needed = max(fit.first for fit in fits), max(fit.needed for fit in fits)
        choices = dict.fromkeys(choice for fit in fits for choice in fit.choices)
        if self._tell and (not self._told or first > TOLD * max(self._told, LEAST_TOLD) or choices):
            self._told = max(first, self._told)
            logger.info("%s: about %s of memory; %s may be used.", name, gibibytes(first), gibibytes(free))
        if choices:
            logger.warning("%s: in smaller pieces (%s): about %s.", name, ", ".join(choices), gibibytes(needed))
        if needed > free:
            logger.warning(
                "%s: needs about %s of memory and %s may be used: it may fail; %s.",
                *(name, gibibytes(needed), gibibytes(free), "give a smaller window or batch"),
            )

    def _needed(self, image: Volume, member: Member, inferer: Inferer, uncertainty: bool) -> int:
        shape, task = image.array.shape, member.task
        grid = largest_grid(image, task)
        batch = batch_shape(inferer, grid, task)
        key = (id(member.network), *batch)
        many = isinstance(inferer, SlidingWindow) and inferer.grid(grid).count >= WORTH_MEASURING
        if many and key not in self._measured:
            with self.lock:
                self._measured[key] = _measured(member.network, batch)
        return estimate_memory(
            shape,
            task,
            inferer,
            affine=image.affine,
            itemsize=image.array.itemsize,
            uncertainty=uncertainty,
            network_bytes=self._measured.get(key),
        ).total


class MemoryWatch:
    """The most resident memory of this process inside the block, sampled by a thread.

    Attributes:
        start: bytes at the beginning.
        peak: the most that was seen.
    """

    def __init__(self, seconds: float = 0.02) -> None:
        self._process, self._seconds = psutil.Process(), seconds
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.start = self.peak = 0

    def __enter__(self) -> MemoryWatch:
        self.start = self.peak = self._process.memory_info().rss
        self._over.clear()
        self._thread = threading.Thread(target=self._watch, name="medicalseg-memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self.look()

    @property
    def growth(self) -> int:
        """How much more it was than at the beginning."""
        return self.peak - self.start

    def look(self) -> None:
        """Take a sample now."""
        self.peak = max(self.peak, self._process.memory_info().rss)

    def _watch(self) -> None:
        while not self._over.wait(self._seconds):
            self.look()


def measure_network(network: Network, shape: Sequence[int]) -> int:
    """Bytes that a network needs for one batch (N, C, ...), its output included; it is run once, on zeros."""
    with MemoryWatch(0.002) as watch:
        scores = network.logits(np.zeros(tuple(shape), np.float32))
        watch.look()
        del scores
    return watch.growth


def _measured(network: Network, shape: Sequence[int]) -> int:
    """As `measure_network`; where memory runs out, more than there is."""
    try:
        return measure_network(network, shape)
    except (MemoryError, RuntimeError, SystemError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        logger.warning("Memory ran out for %d windows or slices at a time.", shape[0])
        return int(psutil.virtual_memory().total)


def release_memory() -> None:
    """Give what the allocator keeps of freed arrays back to the system, where it is glibc's."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def available_memory() -> int:
    """Bytes that this process may still take: the machine's, or its control group's if that is less."""
    free = int(psutil.virtual_memory().available)
    limit, used = (_number(CONTROL_GROUP / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else max(0, min(free, limit - used))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def parse_memory(text: str) -> int:
    """Bytes of "3G", "800M", "2.5GiB" or a number of bytes.

    Raises:
        UserError: if it is no amount of memory.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    amount = int(float(match[1]) * UNITS[match[2].upper()]) if match else 0
    if amount < 1:
        raise UserError(f"--memory: expected an amount of memory as 3G or 800M, got {text!r}")
    return amount


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, and nothing else: Python's and NumPy's, the system's, and Paddle's by
    its text."""
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, MemoryError) or (
        isinstance(error, (RuntimeError, SystemError, OSError)) and bool(EXHAUSTED.search(str(error)))
    )


def gibibytes(amount: int) -> str:
    """For messages."""
    return f"{amount / (1 << 30):.2f} GiB"
