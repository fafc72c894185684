"""Voxel counts of a case by what its task's labels mean, and how large a voxel is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.inference.task import TaskSpec
from medicalseg.io import is_picture
from medicalseg.metrics import (
    Counts,
    MeasureOptions,
    case_metrics,
    confusion_counts,
    neighbour_confusion,
    structure_counts,
)


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


def further_measures(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    task: TaskSpec,
    options: MeasureOptions,
    level_orders: Sequence[Sequence[int]] = (),
) -> dict[str, Any]:
    """The arguments `measures` and `levels` of a `CaseResult`.

    Args:
        prediction: ids, or codes of sigmoids.
        reference: likewise, same shape.
        spacing: mm; NaN (a picture) counts as 1, so that distances are in pixels.
        task: tells ids from codes.
        options: what is measured.
        level_orders: ids of levels, one list per row of structures.
    """
    sides = [float(side) if np.isfinite(side) else 1.0 for side in spacing]
    return {
        "measures": case_metrics(prediction, reference, sides, task, options.wanted, options=options),
        "levels": tuple(neighbour_confusion(prediction, reference, order) for order in level_orders),
    }


def voxel_volume(spacing: Sequence[float], image: Path | None) -> float:
    """mm³ of one voxel of the grid that is scored; NaN for a picture, which does not tell the size of its pixels.

    Args:
        spacing: mm, of that grid.
        image: file of the case's image, if there is one.
    """
    return float("nan") if image is not None and is_picture(image) else float(np.prod(spacing))
