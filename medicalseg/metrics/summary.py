"""From the results of cases to the figures of a report: means over cases, then over classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medicalseg.errors import DataError
from medicalseg.metrics.bootstrap import Bootstrap, Interval
from medicalseg.metrics.calibration import CalibrationResult
from medicalseg.metrics.counts import Counts
from medicalseg.metrics.detection import Detection
from medicalseg.metrics.levels import LevelConfusion, LevelSummary
from medicalseg.metrics.measures import Measure
from medicalseg.metrics.more import FOREGROUND, MeasureSummary, summarize_measure, summarize_measures
from medicalseg.metrics.overlap import dice, iou, precision, recall
from medicalseg.metrics.rules import PerImage, Pooled

if TYPE_CHECKING:
    from medicalseg.inference.task import TaskSpec

BACKGROUND = 0
POOLED_MEASURES = ("sensitivity", "specificity", "f1", "precision")
DICE = Measure("dice", "Dice", "dice", one_sided="0")
MEASURES = {"dice": dice, "iou": iou, "precision": precision, "recall": recall}


@dataclass(frozen=True)
class CaseResult:
    """What was measured on one case.

    Attributes:
        case: name of the case.
        counts: voxels per class id; of structures that may overlap those of `structure_counts`.
        voxel_volume: mm³ of one voxel of the grid that was scored; NaN if it is not known.
        soft_dice: (K,) PaddleSeg3D's soft Dice of the network's channels, on its grid.
        loss: the config's first loss on the network's grid.
        seconds: time of prediction and of bringing it to the scored grid, without reading the image; of `evaluate`
            with scoring and reading the reference.
        slices: how many slices a network for images sees of it; None for a network for volumes.
        measures: further measures by name, see `case_metrics`; empty if none was asked for.
        levels: one for every order of levels that was asked for.
    """

    case: str
    counts: Counts
    voxel_volume: float = float("nan")
    soft_dice: np.ndarray | None = None
    loss: float | None = None
    seconds: float | None = None
    slices: int | None = None
    measures: Mapping[str, np.ndarray] = field(default_factory=dict)
    levels: tuple[LevelConfusion, ...] = ()


@dataclass(frozen=True)
class GroupMean:
    """Mean Dice of a group of classes: `value` over the `k` of its `n` classes that can be scored."""

    value: float
    k: int
    n: int
    class_ids: tuple[int, ...]


@dataclass(frozen=True)
class Summary:
    """The figures of an evaluation; arrays have one value per class, NaN = not applicable.

    Attributes:
        grid: on which grid the masks were compared.
        cases: the results it was made from, in order.
        class_names: names by id.
        class_dice, class_iou, class_precision, class_recall: means over the cases in which the class is in the
            reference or in the prediction; NaN for a class that is in no reference of the set.
        class_k: number of those cases (0 for a class in no reference).
        class_references: number of cases whose reference has the class.
        foreground: mean over the scored classes except the background: the headline.
        group_means: mean Dice of each class group of the task.
        false_positive_volume: mm³ over all cases, for every class.
        soft_mdice: PaddleSeg3D's figure: soft Dice, mean over classes, then cases; None if it was not computed.
        loss: mean over cases, None if it was not computed for every one.
        auc_roc: one-vs-rest area under the ROC curve, mean over classes; None if it was not asked for.
        notes: what a reader must know before believing the figures.
        per_image: the per-image rule's figures, each case being an image.
        pooled: figures of all voxels in one confusion matrix.
        measures: further measures by name, those that every case has.
        dice_intervals: Dice with its intervals; None without a bootstrap.
        bootstrap: how intervals were made; None without.
        levels: one for every order of levels.
        calibration: of the network's probabilities; None if it was not asked for.
        rules: what is measured how, and what an absent class makes of it, by measure.
    """

    grid: str
    cases: tuple[CaseResult, ...]
    class_names: tuple[str, ...]
    class_dice: np.ndarray
    class_iou: np.ndarray
    class_precision: np.ndarray
    class_recall: np.ndarray
    class_k: np.ndarray
    class_references: np.ndarray
    foreground: GroupMean
    group_means: dict[str, GroupMean]
    false_positive_volume: np.ndarray
    class_soft_dice: np.ndarray | None = None
    soft_mdice: float | None = None
    loss: float | None = None
    auc_roc: float | None = None
    notes: tuple[str, ...] = field(default=())
    per_image: PerImage | None = None
    pooled: Pooled | None = None
    measures: dict[str, MeasureSummary] = field(default_factory=dict)
    dice_intervals: MeasureSummary | None = None
    bootstrap: str | None = None
    levels: tuple[LevelSummary, ...] = ()
    calibration: CalibrationResult | None = None
    rules: dict[str, str] = field(default_factory=dict)

    @property
    def of_images(self) -> bool:
        """Whether every case is a single image, so that reports show the per-image rule too."""
        return all(result.slices == 1 for result in self.cases)

    @property
    def seconds(self) -> float | None:
        """Mean time per case; None if it was not measured."""
        values = [result.seconds for result in self.cases if result.seconds is not None]
        return float(np.mean(values)) if values else None

    @property
    def foreground_mean(self) -> float:
        """Mean Dice over the scored foreground classes, 0 to 1; NaN if there is none."""
        return self.foreground.value

    @property
    def groups(self) -> dict[str, float]:
        """Mean Dice by group name."""
        return {name: group.value for name, group in self.group_means.items()}

    @property
    def num_cases(self) -> int:
        """Number of evaluated cases."""
        return len(self.cases)

    def case_scores(self) -> np.ndarray:
        """(n,) foreground mean Dice of each case over the scored classes; NaN for a case that has none of them."""
        wanted = [c for c in self.foreground.class_ids if self.class_references[c]]
        return np.array([_mean(dice(result.counts)[wanted]) for result in self.cases])

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON-able values; what is not applicable is None."""
        return {
            "grid": self.grid,
            "notes": list(self.notes),
            "num_cases": self.num_cases,
            "foreground_mean": self._mean_dict(self.foreground, FOREGROUND),
            "groups": {name: self._mean_dict(group, name) for name, group in self.group_means.items()},
            "soft mDice (PaddleSeg)": _number(self.soft_mdice),
            "loss": _number(self.loss),
            "auc_roc": _number(self.auc_roc),
            "seconds_per_case": _number(self.seconds),
            **self._other_rules(),
            **self._more(),
            "classes": [self._class_dict(c) for c in range(len(self.class_names))],
            "cases": [_case_dict(result, score) for result, score in zip(self.cases, self.case_scores(), strict=True)],
        }

    def class_interval(self, index: int) -> Interval | None:
        """Interval of a class's Dice; None without a bootstrap."""
        found = self.dice_intervals
        return None if found is None or found.intervals is None else found.intervals[index]

    @property
    def pooled_detection(self) -> Detection | None:
        """Parts of all cases and scored foreground classes together; None if parts were not looked for."""
        if "parts_found" not in self.measures:
            return None
        sums = (self.measures[f"parts_{kind}"].foreground.value for kind in ("found", "missed", "right", "invented"))
        return Detection(*(0 if np.isnan(value) else int(value) for value in sums))

    def _more(self) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if self.rules:
            more["rules"] = dict(self.rules)
        if self.bootstrap is not None:
            more["bootstrap"] = self.bootstrap
        if self.measures:
            more["measures"] = {name: _clean(found.to_dict()) for name, found in self.measures.items()}
        if (parts := self.pooled_detection) is not None:
            figures = {name: _number(getattr(parts, name)) for name in ("precision", "recall", "f1")}
            more["pooled_detection"] = {"rule": "parts of all cases and classes together", **figures}
        if self.levels:
            more["levels"] = [_clean(found.to_dict()) for found in self.levels]
        if self.calibration is not None:
            more["calibration"] = _clean(self.calibration.to_dict())
        return more

    def _mean_dict(self, group: GroupMean, name: str) -> dict[str, Any]:
        found = _group_dict(group)
        if self.dice_intervals is not None and (interval := self.dice_intervals.means[name].interval) is not None:
            found["interval"] = _clean(interval.to_list())
        return found

    def _other_rules(self) -> dict[str, Any]:
        rules: dict[str, Any] = {}
        if self.per_image is not None and self.of_images:
            rules["per_image"] = {
                "rule": self.per_image.RULE,
                "images": self.per_image.images,
                **{name: _number(self.per_image.mean(name)) for name in MEASURES},
                "classes": [
                    {"id": c, **{name: _number(getattr(self.per_image, name)[c]) for name in MEASURES}}
                    for c in range(len(self.class_names))
                ],
            }
        if self.pooled is not None:
            rules["pooled"] = {
                "rule": self.pooled.RULE,
                **{name: _number(self.pooled.mean(name)) for name in POOLED_MEASURES},
                "classes": [
                    {"id": c, **{name: _number(getattr(self.pooled, name)[c]) for name in POOLED_MEASURES}}
                    for c in range(len(self.class_names))
                ],
            }
        return rules

    def _class_dict(self, index: int) -> dict[str, Any]:
        return {
            "id": index,
            "name": self.class_names[index],
            "dice": _number(self.class_dice[index]),
            **({} if (found := self.class_interval(index)) is None else {"dice_interval": _clean(found.to_list())}),
            "iou": _number(self.class_iou[index]),
            "precision": _number(self.class_precision[index]),
            "recall": _number(self.class_recall[index]),
            "cases_scored": int(self.class_k[index]),
            "cases_with_reference": int(self.class_references[index]),
            "false_positive_mm3": _number(self.false_positive_volume[index]),
            "soft_dice": None if self.class_soft_dice is None else _number(self.class_soft_dice[index]),
        }


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
    means, counted = {}, np.zeros(task.num_ids, dtype=np.int64)
    for name, measure in MEASURES.items():
        values = np.stack([measure(result.counts) for result in results])
        values[:, ~scored] = np.nan
        means[f"class_{name}"] = _column_means(values)
        counted = np.count_nonzero(~np.isnan(values), axis=0)
    foreground = [c for c in range(task.num_ids) if c not in (BACKGROUND, task.ignore_index)]
    soft = _mean_of([result.soft_dice for result in results])
    counts = [result.counts for result in results]
    groups = {FOREGROUND: foreground, **task.class_groups}
    intervals = None
    if bootstrap is not None and bootstrap.draws:
        by_case = np.stack([dice(count) for count in counts])
        intervals = summarize_measure(DICE, by_case, scored, groups, bootstrap)
    losses = [result.loss for result in results if result.loss is not None]
    return Summary(
        grid=grid,
        cases=tuple(results),
        class_names=tuple(task.names),
        **means,
        class_k=counted,
        class_references=references.sum(axis=0),
        foreground=_group_mean(means["class_dice"], foreground),
        group_means=_groups(means["class_dice"], task),
        false_positive_volume=_false_positive_volume(results),
        class_soft_dice=None if soft is None else _by_id(soft, task.num_ids),
        soft_mdice=None if soft is None else float(soft.mean()),
        loss=float(np.mean(losses)) if len(losses) == len(results) else None,
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
    return GroupMean(_mean(values), int(np.count_nonzero(~np.isnan(values))), len(values), tuple(ids))


def _false_positive_volume(results: Sequence[CaseResult]) -> np.ndarray:
    volumes = [np.where(result.counts.fp > 0, result.counts.fp * result.voxel_volume, 0.0) for result in results]
    return np.sum(volumes, axis=0)


def _mean_of(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    present = [array for array in arrays if array is not None]
    return np.mean(present, axis=0) if present else None


def _by_id(channels: np.ndarray, num_ids: int) -> np.ndarray:
    """Values of the network's channels by id; NaN for a background that is no channel."""
    return np.concatenate([np.full(num_ids - len(channels), np.nan), channels])


def _column_means(values: np.ndarray) -> np.ndarray:
    return np.array([_mean(column) for column in values.T])


def _mean(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def _number(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _clean(content: Any) -> Any:
    """The same with None for numbers that are not finite."""
    if isinstance(content, dict):
        return {key: _clean(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_clean(value) for value in content]
    return _number(content) if isinstance(content, float) else content


def _group_dict(group: GroupMean) -> dict[str, Any]:
    return {"dice": _number(group.value), "k": group.k, "n": group.n, "class_ids": list(group.class_ids)}


def _case_dict(result: CaseResult, score: float) -> dict[str, Any]:
    return {
        "case": result.case,
        "foreground_mean": _number(score),
        "dice": [_number(value) for value in dice(result.counts)],
        "soft_mdice": None if result.soft_dice is None else float(np.mean(result.soft_dice)),
        "loss": _number(result.loss),
        "voxel_volume_mm3": _number(result.voxel_volume),
        "seconds": _number(result.seconds),
        **({"measures": _case_measures(result)} if result.measures else {}),
        **({"levels": [_level_dict(found) for found in result.levels]} if result.levels else {}),
    }


def _case_measures(result: CaseResult) -> dict[str, Any]:
    return {name: [_number(value) for value in values] for name, values in result.measures.items()}


def _level_dict(found: LevelConfusion) -> dict[str, Any]:
    return {
        "neighbour_share": _number(found.neighbour_share),
        "farther_share": _number(found.farther_share),
        "shifts": found.shifts(),
    }
