"""Choosing postprocessing on predictions of cases that the network was not trained on: only what helps is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.errors import DataError
from medicalseg.inference.outputs import read_reference
from medicalseg.inference.task import TaskSpec
from medicalseg.postprocessing.apply import build_postprocessing
from medicalseg.postprocessing.candidates import PartVolumes, Stage, Step, candidate_stages, part_volumes
from medicalseg.postprocessing.trial import Case, mean_dice
from medicalseg.utils.pool import results_of

MARGIN = 1e-3
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Trial:
    """A step that was tried.

    Attributes:
        step: its block.
        rise: the largest rise of a class's mean Dice.
        fall: the largest fall, as a positive number.
        mean: change of the mean over classes.
        kept: whether it became part of the choice.
    """

    step: Step
    rise: float
    fall: float
    mean: float
    kept: bool


@dataclass(frozen=True)
class ChoiceTable:
    """What was tried, and the mean Dice before and after what was chosen.

    Attributes:
        names: of the classes with a reference.
        before: mean Dice over cases, by those names.
        after: likewise, with the chosen steps.
        trials: in the order they were tried.
        cases: how many cases it was chosen on.
    """

    names: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    trials: tuple[Trial, ...] = field(repr=False)
    cases: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        classes = {
            name: {"before": before, "after": after}
            for name, before, after in zip(self.names, self.before, self.after, strict=True)
        }
        return {"cases": self.cases, "classes": classes, "trials": [vars(trial) for trial in self.trials]}

    def __str__(self) -> str:
        width = max([len("mean"), *map(len, self.names)])
        rows = [*zip(self.names, self.before, self.after, strict=True), ("mean", _mean(self.before), _mean(self.after))]
        head = f"{'class':{width}}  {'before':>7}  {'after':>7}"
        return "\n".join([head, *(f"{name:{width}}  {old:7.4f}  {new:7.4f}" for name, old, new in rows)])


def choose_postprocessing(
    pairs: Iterable[tuple[str, str | Path | None, str | Path]],
    task: TaskSpec,
    candidates: Sequence[Mapping[str, Any]] | None = None,
    num_workers: int = 0,
    margin: float = MARGIN,
) -> tuple[list[Step], ChoiceTable]:
    """Choose steps by their effect on the Dice of predictions.

    Greedy: candidates are tried one after the other on top of what was kept before (those of different classes at
    once). A step is kept if no class's mean Dice over the cases falls (by more than 0.0001, which is rounding) and
    that of one rises by at least `margin`; of alternatives the one that raises the mean over classes most.

    Args:
        pairs: name, prediction before postprocessing (None: nothing was predicted) and reference of every case. They
            have to be cases that the network was not trained on.
        task: of the network; its own `postprocessing` is not applied.
        candidates: blocks {type, ...} to try in this order; None derives them from classes and references: order along
            a spine, largest part of all, largest part of each class, small parts by class at several volumes, holes.
        num_workers: processes; 0 or 1 works in this one.
        margin: least rise of a class's mean Dice.

    Returns:
        The steps, and what they do.

    Raises:
        DataError: if there is no case, or one's files cannot be read or do not fit each other; names it.
        ConfigError: if a candidate is wrong.
    """
    cases = [Case(*pair) for pair in pairs]
    if not cases:
        raise DataError("there is no case to choose postprocessing on")
    if candidates is None:
        stages = candidate_stages(_volumes(cases, task, num_workers), task)
    else:
        build_postprocessing(candidates, task.num_ids)
        stages = [[[dict(step)]] for step in candidates]
    chosen, trials, before, after = _greedy(cases, task, stages, num_workers, margin)
    scored = [label for label in range(1, task.num_ids) if not np.isnan(before[label])]
    table = ChoiceTable(
        names=tuple(task.name(label) for label in scored),
        before=tuple(float(before[label]) for label in scored),
        after=tuple(float(after[label]) for label in scored),
        trials=tuple(trials),
        cases=len(cases),
    )
    return chosen, table


def _volumes(cases: Sequence[Case], task: TaskSpec, num_workers: int) -> list[PartVolumes]:
    return results_of(partial(_volumes_of, task=task), cases, num_workers, "references")


def _volumes_of(case: Case, task: TaskSpec) -> PartVolumes:
    reference = read_reference(Path(case.reference), task)
    return part_volumes(reference.array, reference.spacing, task)


def _greedy(
    cases: Sequence[Case], task: TaskSpec, stages: Sequence[Stage], num_workers: int, margin: float
) -> tuple[list[Step], list[Trial], np.ndarray, np.ndarray]:
    chosen: list[Step] = []
    trials: list[Trial] = []
    before = current = np.empty(0)
    for stage in stages or [[]]:
        steps = [step for choice in stage for step in choice]
        current, *dice = mean_dice(cases, task, chosen, [[step] for step in steps], num_workers)
        before = before if before.size else current
        changes = [_change(row, current) for row in dice]
        picked = _picked(stage, changes, margin)
        together = merged([steps[index] for index in picked])
        after = dice[picked[0]] if len(picked) == 1 else current
        if len(picked) > 1:
            after = mean_dice(cases, task, [*chosen, *together], [], num_workers)[0]
            if _change(after, current)[1] > TOLERANCE:
                picked = [max(picked, key=lambda index: changes[index][2])]
                together, after = [steps[picked[0]]], dice[picked[0]]
        chosen, current = [*chosen, *together], after
        trials += [
            Trial(step, *change, kept=index in picked)
            for index, (step, change) in enumerate(zip(steps, changes, strict=True))
        ]
    return chosen, trials, before, current


def _picked(stage: Stage, changes: Sequence[tuple[float, float, float]], margin: float) -> list[int]:
    """Of every choice the alternative that helps most, if one helps; numbers over the whole stage."""
    picked, start = [], 0
    for choice in stage:
        numbers = range(start, start + len(choice))
        good = [index for index in numbers if changes[index][0] >= margin and changes[index][1] <= TOLERANCE]
        picked += [max(good, key=lambda index: changes[index][2])] if good else []
        start += len(choice)
    return picked


def merged(steps: Sequence[Step]) -> list[Step]:
    """Steps that differ in their classes alone become one."""
    result: list[Step] = []
    for step in steps:
        same = [other for other in result if _without_classes(other) == _without_classes(step)]
        if same and "classes" in step and "classes" in same[0]:
            same[0]["classes"] = sorted({*same[0]["classes"], *step["classes"]})
        else:
            result.append(dict(step))
    return result


def _without_classes(step: Step) -> Step:
    return {key: value for key, value in step.items() if key != "classes"}


def _change(after: np.ndarray, before: np.ndarray) -> tuple[float, float, float]:
    """Largest rise, largest fall and mean change over the classes with a reference."""
    change = (after - before)[~np.isnan(before)]
    change = np.nan_to_num(change)
    if not len(change):
        return 0.0, 0.0, 0.0
    return float(change.max()), float(max(0.0, -change.min())), float(change.mean())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
