"""From the results of cases to the figures of a report: means over cases, then over classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from medicalseg.errors import DataError
from medicalseg.metrics.bootstrap import Bootstrap
from medicalseg.metrics.calibration import CalibrationResult
from medicalseg.metrics.case_result import CaseResult, GroupMean
from medicalseg.metrics.counts import Counts
from medicalseg.metrics.levels import LevelSummary
from medicalseg.metrics.means import column_means, mean
from medicalseg.metrics.measures import Measure
from medicalseg.metrics.more import FOREGROUND, MeasureSummary, summarize_measure, summarize_measures
from medicalseg.metrics.overlap import MEASURES, dice
from medicalseg.metrics.rules import PerImage, Pooled
from medicalseg.metrics.summary import Summary

if TYPE_CHECKING:
    from medicalseg.inference.task import TaskSpec

BACKGROUND = 0
DICE = Measure("dice", "Dice", "dice", one_sided="0")


def summarize(
    results: Sequence[CaseResult],
    task: TaskSpec,
    grid: str,
    *,
    auc_roc: float | None = None,
    notes: Sequence[str] = (),
    rules: Mapping[str, str] | None = None,
    bootstrap: Bootstrap | None = None,
    calibration: CalibrationResult | None = None,
) -> Summary:
    """Average the results of cases.

    A class counts in the cases in which reference or prediction has it. A class that no reference of the set has is
    left out of every mean: its Dice could only be 0 or not applicable. Its false positives are in
    `false_positive_volume`.

    Args:
        results: one per case.
        task: number and names of classes, groups, notes.
        grid: name of the grid that was scored, for the report.
        auc_roc: passed on to the report.
        notes: added to the task's.
        rules: of the measures, for the report; see `MeasureOptions.rules`.
        bootstrap: for confidence intervals of all means.
        calibration: passed on to the report.

    Raises:
        DataError: if there is no case, or a group names a class that does not exist.
    """
    if not results:
        raise DataError("nothing to summarize: no case was evaluated")
    references: np.ndarray = np.stack([result.counts.reference for result in results]) > 0
    scored = np.asarray(references.any(axis=0))
    counts = [result.counts for result in results]
    means, scored_in = _class_means(counts, scored)
    foreground = [c for c in range(task.num_ids) if c not in (BACKGROUND, task.ignore_index)]
    soft = _mean_of([result.soft_dice for result in results])
    groups = {FOREGROUND: foreground, **task.class_groups}
    intervals = _dice_intervals(counts, scored, groups, bootstrap)
    return Summary(
        grid=grid,
        cases=tuple(results),
        class_names=tuple(task.names),
        **means,
        class_k=scored_in,
        class_references=references.sum(axis=0),
        foreground=_group_mean(means["class_dice"], foreground),
        group_means=_groups(means["class_dice"], task),
        false_positive_volume=_false_positive_volume(results),
        class_soft_dice=None if soft is None else _by_id(soft, task.num_ids),
        soft_mdice=None if soft is None else float(soft.mean()),
        loss=_mean_loss(results),
        auc_roc=auc_roc,
        notes=tuple(dict.fromkeys((*task.notes, *notes))),
        per_image=PerImage.of(counts, foreground),
        pooled=Pooled.of(counts),
        measures=summarize_measures([result.measures for result in results], scored, groups, bootstrap),
        dice_intervals=intervals,
        bootstrap=None if intervals is None else str(bootstrap),
        levels=_levels(results, task.names),
        calibration=calibration,
        rules=dict(rules or {}),
    )


def _class_means(counts: Sequence[Counts], scored: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Means over cases by field of the summary, and in how many cases each class is scored."""
    means, scored_in = {}, np.zeros(len(scored), dtype=np.int64)
    for name, measure in MEASURES.items():
        values = np.stack([measure(count) for count in counts])
        values[:, ~scored] = np.nan
        means[f"class_{name}"] = column_means(values)
        scored_in = np.count_nonzero(~np.isnan(values), axis=0)
    return means, scored_in


def _dice_intervals(
    counts: Sequence[Counts], scored: np.ndarray, groups: Mapping[str, Sequence[int]], bootstrap: Bootstrap | None
) -> MeasureSummary | None:
    if bootstrap is None or not bootstrap.draws:
        return None
    return summarize_measure(DICE, np.stack([dice(count) for count in counts]), scored, groups, bootstrap)


def _mean_loss(results: Sequence[CaseResult]) -> float | None:
    """None if it was not computed for every case."""
    losses = [result.loss for result in results if result.loss is not None]
    return float(np.mean(losses)) if len(losses) == len(results) else None


def _levels(results: Sequence[CaseResult], names: Sequence[str]) -> tuple[LevelSummary, ...]:
    """One summary for every order that all cases have."""
    orders = zip(*(result.levels for result in results), strict=False)
    return tuple(LevelSummary.of(cases, names) for cases in orders)


def _groups(class_dice: np.ndarray, task: TaskSpec) -> dict[str, GroupMean]:
    groups = {}
    for name, ids in task.class_groups.items():
        wrong = [c for c in ids if not 0 <= c < len(class_dice)]
        if wrong:
            raise DataError(f"class group '{name}' names class {wrong[0]}, but the ids are 0 to {len(class_dice) - 1}")
        groups[name] = _group_mean(class_dice, ids)
    return groups


def _group_mean(class_dice: np.ndarray, ids: Sequence[int]) -> GroupMean:
    values = class_dice[list(ids)]
    return GroupMean(mean(values), int(np.count_nonzero(~np.isnan(values))), len(values), tuple(ids))


def _false_positive_volume(results: Sequence[CaseResult]) -> np.ndarray:
    volumes = [np.where(result.counts.fp > 0, result.counts.fp * result.voxel_volume, 0.0) for result in results]
    return np.sum(volumes, axis=0)


def _mean_of(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    present = [array for array in arrays if array is not None]
    return np.mean(present, axis=0) if present else None


def _by_id(channels: np.ndarray, num_ids: int) -> np.ndarray:
    """Values of the network's channels by id; NaN for a background that is no channel."""
    return np.concatenate([np.full(num_ids - len(channels), np.nan), channels])
