"""What a cross-validation found: figures by stage (the network, postprocessed) and by fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medicalseg.inference import TaskSpec
from medicalseg.metrics import CaseResult, Summary, summarize
from medicalseg.metrics.bootstrap import Bootstrap
from medicalseg.metrics.means import mean

GRID = "reference"
NETWORK = "network"
HONEST = "postprocessing chosen on the other folds"
SHIPPED = "postprocessing as shipped, chosen on all folds"


@dataclass(frozen=True)
class Stage:
    """Figures of one stage.

    Attributes:
        summary: over the cases of all folds together.
        fold_means: foreground mean Dice of each fold's own cases.
        case_folds: fold by case name.
    """

    summary: Summary
    fold_means: Mapping[int, float]
    case_folds: Mapping[str, int]

    @classmethod
    def of(
        cls,
        results: Mapping[int, Sequence[CaseResult]],
        task: TaskSpec,
        rules: Mapping[str, str],
        draws: int,
        seed: int,
        notes: Sequence[str] = (),
    ) -> Stage:
        """Sum up.

        Args:
            results: of every fold's cases.
            task: classes.
            rules: of the measures.
            draws: of the bootstrap over cases; 0 for no intervals.
            seed: of the draws.
            notes: what a reader must know besides.
        """
        every = [result for found in results.values() for result in found]
        bootstrap = Bootstrap(len(every), draws, seed) if draws else None
        means = {fold: summarize(found, task, GRID).foreground_mean for fold, found in results.items()}
        folds = {result.case: fold for fold, found in results.items() for result in found}
        return cls(summarize(every, task, GRID, notes=notes, rules=rules, bootstrap=bootstrap), means, folds)

    @property
    def case_std(self) -> float:
        """Standard deviation (n - 1) of the cases' foreground means; NaN with fewer than two."""
        return _std(self.summary.case_scores())

    def case_means(self) -> dict[str, list[float]]:
        """Of every measure beside Dice, but counts, each case's mean over the foreground classes, by its title."""
        ids = list(self.summary.foreground.class_ids)
        measures = [found for found in self.summary.measures.values() if not found.measure.count]
        return {found.measure.title: [mean(row[ids]) for row in found.cases] for found in measures}

    @property
    def fold_std(self) -> float:
        """Standard deviation (n - 1) of the folds' means; NaN with fewer than two."""
        return _std(list(self.fold_means.values()))


@dataclass(frozen=True)
class CrossvalReport:
    """Everything a cross-validation says.

    Attributes:
        stages: by name: `NETWORK`, `HONEST`, `SHIPPED`, as far as they differ.
        cases: case names by fold.
        given: the configuration's own postprocessing, part of every stage.
        steps: postprocessing that was chosen on all folds and comes after it; both are stored with the weights.
        steps_of_fold: by fold, those chosen on the other folds.
        table: what the choice was made of.
        weights: "final" or "best".
        command: predicts with all folds together.
        run: what it was made of.
    """

    stages: Mapping[str, Stage] = field(default_factory=dict)
    cases: Mapping[int, Sequence[str]] = field(default_factory=dict)
    given: Sequence[Mapping[str, Any]] = ()
    steps: Sequence[Mapping[str, Any]] = ()
    steps_of_fold: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    table: Any = None
    weights: str = "final"
    command: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """Name of the stage whose figures may be quoted: no case had a say in what was done to it."""
        return HONEST if HONEST in self.stages else NETWORK


def _std(values: Any) -> float:
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")
