"""What steps do to the Dice of predictions that have references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medicalseg.errors import DataError
from medicalseg.inference.outputs import read_labels, read_reference
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume
from medicalseg.metrics import confusion_counts, structure_counts
from medicalseg.postprocessing.apply import apply_steps, build_postprocessing
from medicalseg.utils.pool import results_of

Steps = Sequence[Mapping[str, Any]]


class Case(NamedTuple):
    """A prediction before postprocessing, None if there is none, and its reference."""

    name: str
    prediction: str | Path | None
    reference: str | Path


def mean_dice(
    cases: Sequence[Case], task: TaskSpec, current: Steps, variants: Sequence[Steps], num_workers: int
) -> np.ndarray:
    """Mean Dice over cases of every class after the current steps, and with each of the variants after them.

    A class absent from prediction and reference of a case does not count there; one that no reference has is NaN.

    Args:
        cases: what is measured.
        task: of the network.
        current: steps that all variants begin with.
        variants: further steps.
        num_workers: processes; 0 or 1 works in this one.

    Returns:
        (1 + variants, ids); the background's column is NaN.

    Raises:
        DataError: if a case's files cannot be read or do not fit each other; names it.
    """
    work = partial(_counts, task=task, current=current, variants=variants)
    counts = np.stack(results_of(work, cases, num_workers, "cases postprocessed"))
    tp, fp, fn = counts[:, :, 0], counts[:, :, 1], counts[:, :, 2]
    total = 2 * tp + fp + fn
    dice = np.divide(2 * tp, total, out=np.full(tp.shape, np.nan), where=total > 0)
    dice[:, :, (tp + fn)[:, 0].sum(axis=0) == 0] = np.nan
    dice[:, :, 0] = np.nan
    counted = (~np.isnan(dice)).sum(axis=0)
    sums = np.nansum(dice, axis=0)
    return np.divide(sums, counted, out=np.full(sums.shape, np.nan), where=counted > 0)


def read_case(case: Case, task: TaskSpec) -> tuple[Volume, Volume]:
    """Prediction and reference as the task's labels; without a prediction nothing is predicted.

    Raises:
        DataError: if they have different shapes.
    """
    reference = read_reference(Path(case.reference), task)
    if case.prediction is None:
        return reference.with_array(np.zeros(reference.shape, np.int32), labels=True), reference
    prediction = read_labels(Path(case.prediction), task)
    if prediction.shape != reference.shape:
        raise DataError(
            f"{case.prediction} has the shape {prediction.shape}, its reference {case.reference} {reference.shape}"
        )
    return prediction, reference


def _counts(case: Case, task: TaskSpec, current: Steps, variants: Sequence[Steps]) -> np.ndarray:
    """(1 + variants, 3, ids): true positive, false positive and false negative voxels."""
    prediction, reference = read_case(case, task)
    base = apply_steps(prediction, build_postprocessing(current, task.num_ids), task)
    counts = [_of(base.array, reference.array, task)]
    for steps in variants:
        result = apply_steps(base, build_postprocessing(steps, task.num_ids), task)
        changed = result.array != base.array
        true = reference.array[changed]
        difference = _of(result.array[changed], true, task) - _of(base.array[changed], true, task)
        counts.append(counts[0] + difference)
    return np.stack(counts)


def _of(prediction: np.ndarray, reference: np.ndarray, task: TaskSpec) -> np.ndarray:
    if task.head == "sigmoid":
        counts = structure_counts(prediction, reference, task.num_classes)
    else:
        counts = confusion_counts(prediction, reference, task.num_classes, task.ignore_index)
    return np.stack([counts.tp, counts.fp, counts.fn])
