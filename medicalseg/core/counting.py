"""Voxel counts of a case by what its task's labels mean, and how large a voxel is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medicalseg.inference.task import TaskSpec
from medicalseg.io import is_picture
from medicalseg.metrics import Counts, confusion_counts, structure_counts


def count_voxels(prediction: np.ndarray, reference: np.ndarray, task: TaskSpec) -> Counts:
    """Counts by id.

    Args:
        prediction: ids, or codes of sigmoids.
        reference: likewise, same shape; of sigmoids -1 where it is not known.
        task: tells which of them they are.

    Raises:
        DataError: if shapes differ or an id does not exist.
    """
    if task.head == "sigmoid":
        return structure_counts(prediction, reference, task.num_classes)
    return confusion_counts(prediction, reference, task.num_classes, task.ignore_index)


def voxel_volume(spacing: Sequence[float], image: Path | None) -> float:
    """mm³ of one voxel of the grid that is scored; NaN for a picture, which does not tell the size of its pixels.

    Args:
        spacing: mm, of that grid.
        image: file of the case's image, if there is one.
    """
    return float("nan") if image is not None and is_picture(image) else float(np.prod(spacing))
