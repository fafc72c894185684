"""The figures of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medicalseg.metrics.bootstrap import Interval
from medicalseg.metrics.calibration import CalibrationResult
from medicalseg.metrics.case_result import CaseResult, GroupMean
from medicalseg.metrics.detection import Detection
from medicalseg.metrics.levels import LevelSummary
from medicalseg.metrics.means import mean
from medicalseg.metrics.more import MeasureSummary
from medicalseg.metrics.overlap import dice
from medicalseg.metrics.rules import PerImage, Pooled
from medicalseg.metrics.summary_dict import summary_dict


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
        return np.array([mean(dice(result.counts)[wanted]) for result in self.cases])

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON-able values; what is not applicable is None."""
        return summary_dict(self)

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
