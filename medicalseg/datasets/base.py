"""What every dataset keeps: the sample, its seed, the way back to the original grid, errors that name the case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from paddle.io import Dataset

from medicalseg.datasets.case import Case, content_hash, naming
from medicalseg.datasets.sample_labels import SampleLabels
from medicalseg.datasets.training_slices import TrainingSlices
from medicalseg.errors import ConfigError
from medicalseg.inference.outputs import read_labels
from medicalseg.inference.preprocess import GridRecord
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume
from medicalseg.transforms import Compose, Resize3D
from medicalseg.utils.seeding import sample_seed

MODES = ("train", "val", "test")

__all__ = ["CaseDataset", "Item", "channels_and_ids", "check_mode", "naming"]

Item = tuple[np.ndarray, np.ndarray, str]


class CaseDataset(Dataset):  # type: ignore[misc]
    """Cases that become `(image, label, case name)`.

    Subclasses implement `load` and, where the network's grid is not the original one, `record`.

    An index is an integer or a pair (epoch, integer); everything random in the sample is seeded by
    (`seed`, epoch, integer), so a sample is the same in whatever process it is made.

    For a network that sees slices (`task.slices`) a training sample is one slice of the case, drawn anew in every
    epoch: an epoch has `repeat_times` slices of each case. Its grey values are normalised with the numbers of the
    whole volume, as evaluation and prediction do. Where a slice with foreground is wanted and the case has none,
    another case is drawn, up to 10 times. In the modes "val" and "test" a sample is the whole volume.

    Args:
        cases: the cases, each once.
        task: classes, head and preprocessing; its `normalize` is the transforms' last step.
        transforms: what `Compose` runs, in training usually augmentation; of slices it gets (C', A, B, 1), the two
            axes of the plane in the volume's order.
        mode: "train", "val" or "test".
        repeat_times: how often the case list is repeated in one epoch of training.
        slices: how a network for images sees the volumes: `SliceSpec` or its fields; None = as the task says.
        foreground: share of the training slices, 0 to 1, that is drawn from those with foreground (the others from
            all slices), or "balanced": a class is drawn first, then a slice that has it.

    Attributes:
        num_classes: channels of the network's output: classes of a softmax, the background counted; structures of
            sigmoids.
        ignore_index: label id that is neither trained nor scored.
        task: classes and preprocessing.
        seed: settable; default 0.
        cases: the cases, each once.
        mode: "train", "val" or "test"; settable.
        notes: lines that every report repeats.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        task: TaskSpec,
        transforms: Sequence[Any] | None = None,
        mode: str = "train",
        repeat_times: int = 1,
        *,
        slices: SliceSpec | Mapping[str, Any] | None = None,
        foreground: float | str | None = None,
    ) -> None:
        super().__init__()
        _refuse_file_list(type(self))
        check_mode(mode)
        if isinstance(repeat_times, bool) or not isinstance(repeat_times, int) or repeat_times < 1:
            raise ConfigError(f"repeat_times: expected a positive integer, got {repeat_times!r}")
        if slices is not None:
            task = replace(task, slices=slices if isinstance(slices, SliceSpec) else SliceSpec.from_dict(slices))
        if foreground is not None and task.slices is None:
            raise ConfigError("foreground: is about slices; add slices, or leave it out")
        self._labels = SampleLabels(task)
        self._slices = None if task.slices is None else TrainingSlices(task.slices, foreground, task.num_ids)
        self.cases = list(cases)
        self.task = task
        self.mode = mode
        self.seed = 0
        self.repeat_times = repeat_times if mode == "train" else 1
        self.transforms = Compose(list(transforms or ()), normalize=task.preprocessing.normalize)

    @property
    def num_classes(self) -> int:
        """Channels of the network's output."""
        return self.task.num_classes

    @property
    def ignore_index(self) -> int | None:
        """Label id that is neither trained nor scored."""
        return self.task.ignore_index

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines that every report made from this dataset repeats."""
        return self.task.notes

    def __len__(self) -> int:
        return len(self.cases) * self.repeat_times

    def __getitem__(self, index: int | tuple[int, int]) -> Item:
        """The sample at an index, or at (epoch, index).

        Returns:
            Image float32 (C, X, Y, Z); label int64 (X, Y, Z), of a softmax ids, of sigmoids codes with -1 for ignored;
            case name. Where the case has no label all of it is ignored (255 of a softmax without `ignore_index`).
            In training with sigmoids the label is uint8 masks (K, X, Y, Z) of 0, 1 and `ignore_index`; in training
            with slices (H, W) stands in place of (X, Y, Z).

        Raises:
            IndexError: if the index is out of range.
            DataError: if the case cannot be read or is wrong; names case and file.
        """
        epoch, number = index if isinstance(index, (tuple, list)) else (0, index)
        number = self._checked(int(number))
        case = self.cases[number % len(self.cases)]
        with sample_seed(self.seed, int(epoch), number):
            if self.mode == "train":
                return self._training_item(case)
            with naming(case):
                return self._whole(case)

    def _training_item(self, case: Case) -> Item:
        """A training sample of a case whose turn it is, or of another."""
        if self._slices is None:
            with naming(case):
                return self._whole(case)
        case, presence = self._slices.choose(case, self.cases, self._label)
        with naming(case):
            return self._slice(case, self._slices, presence)

    def _checked(self, number: int) -> int:
        if not -len(self) <= number < len(self):
            raise IndexError(f"index {number} is out of range for {len(self)} samples")
        return number % len(self)

    def _whole(self, case: Case) -> Item:
        image, stored = self.load(case)
        label = self._labels.whole(stored, image.shape[-3:])
        masks = label.ndim == 4
        image, moved = self.transforms(image, self._labels.packed(label) if masks else label)
        image = np.asarray(image, np.float32)
        finish = self._labels.to_train if self.mode == "train" else self._labels.to_score
        return image if image.ndim == 4 else image[None], finish(np.asarray(moved), masks), case.name

    def _slice(self, case: Case, slices: TrainingSlices, presence: np.ndarray | None) -> Item:
        image, stored = self.load(case)
        label = self._labels.fitting(stored, image.shape[-3:])
        image = image if image.ndim == 4 else image[None]
        numbers = slices.numbers(case, image, self.transforms.normalization)
        stack, plane = slices.cut(image, label, presence, zero=numbers[0])
        masks = plane.ndim == 3
        plane = self._labels.packed(plane) if masks else self._labels.narrow(plane)
        image, moved = self.transforms(stack[..., None], plane[..., None], numbers)
        image, moved = (slices.spec.as_images(np.asarray(array)[..., 0]) for array in (image, moved))
        label = self._labels.to_train(np.ascontiguousarray(moved), masks)
        return np.ascontiguousarray(image, np.float32), label, case.name

    def _label(self, case: Case) -> np.ndarray:
        with naming(case):
            image, stored = self.load(case)
            return self._labels.whole(stored, image.shape[-3:])

    def load(self, case: Case) -> tuple[np.ndarray, np.ndarray | None]:
        """Image and label on the network's grid, before transforms.

        Returns:
            Image (X, Y, Z) or (C, X, Y, Z). Label (X, Y, Z) of ids, or for sigmoids (K, X, Y, Z) masks of 0, 1 and,
            where nothing is known, `ignore_index`; None if there is none.
        """
        raise NotImplementedError

    def case(self, index: int) -> Case:
        """The case behind an index."""
        return self.cases[self._checked(index) % len(self.cases)]

    def has_label(self, index: int) -> bool:
        """Whether the case behind an index has a label."""
        return self.case(index).label is not None

    def reference(self, index: int) -> Volume | None:
        """Label on the original grid, of a softmax ids, of sigmoids codes; None if there is none.

        Raises:
            DataError: if it cannot be read.
        """
        case = self.case(index)
        if case.original is None:
            return None
        with naming(case):
            return read_labels(case.original, self.task)

    def record(self, index: int) -> GridRecord | None:
        """How the original grid became the network's; None if that is not known."""
        return None

    def to_original(self, labels: np.ndarray, index: int) -> Volume | None:
        """Bring labels (X, Y, Z), ids or codes, to the case's original grid; None if that is not known.

        Raises:
            DataError: if transforms other than Resize3D changed the grid.
        """
        record = self.record(index)
        if record is None:
            return None
        if labels.shape != record.network_shape and self._only_resizes():
            record = record.resized(labels.shape)
        return self.task.restore(labels, record)

    def _only_resizes(self) -> bool:
        return all(isinstance(transform, Resize3D) for transform in self.transforms.transforms)

    def data_hash(self) -> str:
        """SHA-256 that tells whether the dataset is the same: names, sizes and beginnings of files, preprocessing."""
        known = self.task.label_map
        extra = str(self.task.preprocessing.to_dict()) + ("" if known is None else str(known.to_dict()))
        return content_hash(self.cases, extra=extra)


def channels_and_ids(given: int | None, named: int, head: str) -> tuple[int, int]:
    """Channels of the network's output, and ids that labels may have, the background's 0 counted.

    Args:
        given: `num_classes` of the configuration: classes of a softmax, structures of sigmoids; None = as named.
        named: classes that the data name, the background counted.
        head: "softmax" or "sigmoid".
    """
    background = int(head == "sigmoid")
    channels = given if given is not None else max(1, named - background)
    return channels, channels + background


def check_mode(mode: str) -> None:
    """Raise ConfigError unless `mode` is train, val or test."""
    if mode not in MODES:
        raise ConfigError(f"mode: expected one of {list(MODES)}, got {mode!r}")


def _refuse_file_list(kind: type) -> None:
    """Refuse a class that makes its items from PaddleSeg3D's list of files, before a case is asked for."""
    owner = next(part for part in kind.__mro__ if "__getitem__" in vars(part))
    others = [item for part in kind.__mro__ for name, item in vars(part).items() if name != "__getitem__"]
    if not _names(vars(owner)["__getitem__"], "file_list") or hasattr(kind, "file_list"):
        return
    if any(_names(item, "file_list") for item in others):
        return
    raise ConfigError(
        f"{owner.__name__}.__getitem__ reads self.file_list, which PaddleSeg3D's datasets have: take __getitem__ out "
        "and write load(case), which returns image and label as arrays (case.images[0] and case.label are the files); "
        "transforms, repetition and the case's name are added to it (docs/how-to/migrate.md)"
    )


def _names(function: Any, attribute: str) -> bool:
    """Whether a function's own code names an attribute."""
    return attribute in getattr(getattr(function, "__code__", None), "co_names", ())
