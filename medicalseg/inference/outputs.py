"""Labels as files: a label map, or of structures that may overlap one mask each."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from medicalseg.errors import DataError, naming_file
from medicalseg.inference.decision import unpack
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume, is_picture, read_label, read_volume, to_label, write_volume

WHITE = 255
ON_TOP = {False: "", True: "; where structures overlap, the one with the highest id is shown"}
"""What the title of a picture of `topmost_ids` adds where structures may overlap."""


def write_labels(labels: Volume, task: TaskSpec, path: Path) -> list[Path]:
    """Write what a network predicted.

    Args:
        labels: (X, Y, Z) ids, or codes of sigmoids.
        task: of the network.
        path: of the label map, which holds the stored values of the task's label map. Structures that may overlap
            (regions without a `region_order`) become one file with an axis for the structures (the last of a NIfTI
            file's), or, where `path` is a picture, one picture each, named by `structure_paths`.

    Returns:
        The files, in order.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if task.label_map is not None and task.label_map.one_map:
        labels = labels.with_array(task.label_map.to_stored(labels.array), labels=True)
        return [write_volume(labels, path, labels=True)]
    if not task.overlapping:
        return [write_volume(labels, path, labels=True)]
    masks = unpack(labels.array, task.num_classes)
    if not is_picture(path):
        return [write_volume(labels.with_array(masks, labels=True), path)]
    targets = structure_paths(path, task)
    return [
        write_volume(labels.with_array(mask, labels=True), target) for mask, target in zip(masks, targets, strict=True)
    ]


def read_labels(path: Path, task: TaskSpec) -> Volume:
    """Read a label of the task's own making, or what `write_labels` wrote: ids, or codes of sigmoids.

    Args:
        path: a label map; of structures that may overlap also a file of masks, or what `write_labels` was given.
        task: of the network.

    Raises:
        VolumeError: if a file cannot be read or is no label map.
        DataError: if it does not fit the task.
    """
    volume = _stored_labels(path, task)
    return _of_task(volume, volume.array, task, path)


def read_reference(path: Path, task: TaskSpec) -> Volume:
    """As `read_labels` for a reference of any making: a picture of 0 and 255 alone shows the one structure by 255."""
    volume = _stored_labels(path, task)
    array = volume.array
    if task.label_map is None and task.num_ids == 2 and is_picture(path) and set(np.unique(array)) == {0, WHITE}:
        array = (array == WHITE).astype(np.uint8)
    return _of_task(volume, array, task, path)


def _of_task(volume: Volume, stored: np.ndarray, task: TaskSpec, path: Path) -> Volume:
    with naming_file(path):
        return volume.with_array(task.labels_of(stored), labels=True)


def _stored_labels(path: Path, task: TaskSpec) -> Volume:
    """Ids, or masks with an axis for the structures."""
    several = structure_paths(path, task) if task.overlapping else []
    if several and all(file.is_file() for file in several):
        volumes = [read_label(file) for file in several]
        masks = [presence(volume.array, file) for volume, file in zip(volumes, several, strict=True)]
        unknown = 0 if task.ignore_index is None else task.ignore_index
        array = np.stack([np.where(mask > 1, unknown, mask) for mask in masks])
        return volumes[0].with_array(array.astype(np.int32))
    if task.overlapping and not is_picture(path):
        volume = read_volume(path, channels=True)
        return volume.with_array(to_label(volume.array), labels=True)
    return read_label(path)


def presence(mask: np.ndarray, path: Path) -> np.ndarray:
    """0, 1 and 2 (not known) of a mask of 0 and 1, of 0 and 255, or of 0, 1 and 255, which is not known then.

    Raises:
        DataError: if it holds anything else; names the file.
    """
    values = set(np.unique(mask).tolist())
    if values <= {0, 1}:
        return mask.astype(np.uint8)
    if values <= {0, WHITE}:
        return (mask == WHITE).astype(np.uint8)
    if values <= {0, 1, WHITE}:
        return np.where(mask == WHITE, 2, mask).astype(np.uint8)
    raise DataError(f"{path}: a structure's mask holds 0 and 1, or 0 and {WHITE}, this one {sorted(values)[:6]}")


def structure_paths(path: Path, task: TaskSpec) -> list[Path]:
    """Pictures of the structures beside the picture `path`: a_NAME.png for a.png."""
    names = [re.sub(r"[^\w.-]+", "_", task.name(index + 1)).strip("_") for index in range(task.num_classes)]
    if len(set(names)) < len(names):
        names = [str(index + 1) for index in range(task.num_classes)]
    return [path.with_name(f"{path.stem}_{name}{path.suffix}") for name in names]


def topmost_ids(labels: np.ndarray, task: TaskSpec) -> np.ndarray:
    """Ids for a picture, 0 where ignored; of structures that overlap the one with the highest id."""
    if task.head == "softmax":
        return labels
    ids = np.zeros(labels.shape, np.int32)
    for index in range(task.num_classes):
        ids[(labels >= 0) & (labels >> index & 1 == 1)] = index + 1
    return ids


def shown_image(image: np.ndarray) -> np.ndarray:
    """What a picture shows of (X, Y, Z) or (C, X, Y, Z): the mean of three colours, else the first channel."""
    if image.ndim == 3:
        return image
    return image.mean(axis=0, dtype=np.float32) if len(image) == 3 and image.shape[-1] == 1 else image[0]
