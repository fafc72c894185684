"""Abdomen: eight organs in CT, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.datasets.class_tables import ABDOMEN
from medicalseg.datasets.medical_dataset import MedicalDataset, load_array
from medicalseg.datasets.prepare.abdomen import preprocessing
from medicalseg.inference.preprocess import GridRecord, Preprocessing
from medicalseg.inference.task import TaskSpec
from medicalseg.transforms import Resize3D

SLICES: Mapping[str, Any] = {"axis": 0}
SLICES_PER_VOLUME = 120


@manager.DATASETS.add_component
class Abdomen(MedicalDataset):
    """Spleen, kidneys, gallbladder, liver, stomach, aorta and pancreas in 30 CT volumes, for networks for images.

    Transforms are written as PaddleSeg3D's: axis 0 counts the slices, 1 and 2 are rows and columns, and in training
    there is one slice. A `Resize3D` to [1, rows, columns] says at which size the network sees the slices, in training,
    evaluation and deployment; scores are on the original grid all the same. A folder that PaddleSeg3D's script has
    prepared, slices of the training cases and volumes of the others, is read too.

    Source: Landman et al., "MICCAI Multi-Atlas Labeling Beyond the Cranial Vault" (2015), synapse.org, syn3193805.

    Args:
        dataset_root: the folder with the lists.
        result_dir: kept for PaddleSeg3D's configurations; nothing is written there.
        transforms: see above.
        num_classes: classes, the background counted; default: 9.
        mode: "train", "val" or "test"; chooses the list.
        dataset_json_path: `dataset.json`, if not in `dataset_root`.
        ignore_index: label id that is neither trained nor scored.
        repeat_times: training slices of each case in one epoch; default: 120, about as many as a volume has, or 1 where
            the cases are slices.
        normalize: last step, see `MedicalDataset`; default: none, since the values are 0 to 1 already.
        class_groups: ids per group name for reports.
        slices: how the network sees the volumes, see `SliceSpec`; None: as volumes (slices, columns, rows).
        foreground: share of training slices drawn from those with foreground, or "balanced"; see `CaseDataset`.
    """

    NUM_CLASSES = 9
    LABELS = ABDOMEN
    HOW_TO_GET = (
        "get RawData.zip of the Synapse challenge (syn3193805) and run tools/prepare_abdomen.py --archive RawData.zip "
        "(--dataset_root: the folder above the missing one)"
    )

    def __init__(
        self,
        dataset_root: str,
        result_dir: str | None = None,
        transforms: Sequence[Any] | None = None,
        num_classes: int | None = None,
        mode: str = "train",
        dataset_json_path: str = "",
        ignore_index: int | None = 255,
        repeat_times: int | None = None,
        *,
        normalize: str | None = "none",
        class_groups: Mapping[str, Sequence[int]] | None = None,
        slices: Mapping[str, Any] | None = SLICES,
        foreground: float | str | None = None,
    ) -> None:
        self._resize = _resize_of_slices(transforms or ())
        turned = [_on_our_axes(step) for step in transforms or ()]
        super().__init__(
            dataset_root, result_dir, turned, num_classes, mode, ignore_index, "", dataset_json_path, repeat_times or 1,
            normalize=normalize, class_groups=class_groups, slices=slices, foreground=foreground,
        )  # fmt: skip
        if repeat_times is None and mode == "train" and not self.foreign:
            self.repeat_times = SLICES_PER_VOLUME

    def read_array(self, path: Path) -> np.ndarray:
        """The array of a file, mapped, (slices, columns, rows).

        Raises:
            DataError: if it cannot be read or is something else.
        """
        if not self.foreign:
            return super().read_array(path)
        array = load_array(path, axes=(2, 3))
        return np.swapaxes(array if array.ndim == 3 else array[None], 1, 2)

    def record(self, index: int) -> GridRecord | None:
        """The case's `grid` in `dataset.json`, at the size that the network sees."""
        record = super().record(index)
        if record is None or self._resize is None:
            return record
        return record.resized(self._resize.target(record.network_shape))

    def foreign_preprocessing(self, shape: tuple[int, ...]) -> Preprocessing:
        """See `MedicalDataset`."""
        return preprocessing()

    def _task(self, *arguments: Any) -> TaskSpec:
        task = super()._task(*arguments)
        if self._resize is None:
            return task
        size, order = (None, *self._resize.plane), self._resize.order
        return replace(task, preprocessing=replace(task.preprocessing, size=size, image_order=order))


class SliceResize(Resize3D):
    """Every slice of (C, slices, A, B) at one size, however many there are.

    Args:
        plane: (A, B).
        order: spline order of the image.
    """

    def __init__(self, plane: tuple[int, int], order: int = 1) -> None:
        super().__init__([1, *plane], order)
        self.plane = plane

    def target(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """The grid that a volume of `shape` is brought to."""
        return shape[0], *self.plane


class OnPaddleSegAxes:
    """A transform that is written for (slices, rows, columns).

    It gets volumes (slices, columns, rows) with these axes exchanged, and training slices, (columns, rows, 1), as one
    slice, (1, rows, columns).

    Args:
        transform: takes and gives an image and its label.
    """

    def __init__(self, transform: Callable[..., Any]) -> None:
        self.transform = transform

    def __call__(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        flat = image.shape[-1] == 1
        image, label = self.transform(*(_turned(array, flat) for array in (image, label)))
        return _turned(image, flat), _turned(label, flat)

    def __repr__(self) -> str:
        return repr(self.transform)


def _turned(array: Any, flat: bool) -> Any:
    """The last three axes in reverse for single slices, else the last two exchanged; its own inverse."""
    return None if array is None else np.swapaxes(array, -3, -1) if flat else np.swapaxes(array, -2, -1)


def _on_our_axes(transform: Any) -> Any:
    resize = _resize_of_slices([transform])
    return OnPaddleSegAxes(transform if resize is None else SliceResize(resize.plane[::-1], resize.order))


def _resize_of_slices(transforms: Sequence[Any]) -> SliceResize | None:
    """The last of the transforms that brings slices to a size, for (slices, columns, rows); None without one."""
    for step in reversed(transforms):
        if isinstance(step, Resize3D) and isinstance(step.size, tuple) and step.size[0] == 1:
            return SliceResize((step.size[2], step.size[1]), step.order)
    return None
