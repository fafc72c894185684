"""Voxel counts of a case by what its task's labels mean."""

from __future__ import annotations

import numpy as np

from medicalseg.inference.task import TaskSpec
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
