"""What an evaluation reports beside Dice, passed through it as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medicalseg.core.counting import further_measures
from medicalseg.errors import UserError
from medicalseg.inference.task import TaskSpec
from medicalseg.metrics import Bootstrap, MeasureOptions
from medicalseg.metrics.levels import check_order


@dataclass(frozen=True)
class Extras:
    """Nothing is added by default.

    Attributes:
        measures: see `case_metrics`.
        level_orders: ids of numbered structures from one end to the other, one tuple per row of them.
        bootstrap: draws for confidence intervals; 0 makes none.
        seed: of the draws.
        calibration: whether probabilities are looked at; only where a network runs.
    """

    measures: MeasureOptions = field(default_factory=lambda: MeasureOptions(()))
    level_orders: tuple[tuple[int, ...], ...] = ()
    bootstrap: int = 0
    seed: int = 0
    calibration: bool = False

    def of_case(
        self, prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], task: TaskSpec
    ) -> dict[str, Any]:
        """Arguments of a `CaseResult`; see `further_measures`."""
        return further_measures(prediction, reference, spacing, task, self.measures, self.level_orders)

    def of_summary(self, cases: int) -> dict[str, Any]:
        """Arguments of `summarize` for so many cases."""
        drawn = Bootstrap(cases, self.bootstrap, self.seed) if self.bootstrap and cases > 1 else None
        return {"rules": self.measures.rules() if self.measures.wanted else {}, "bootstrap": drawn}


def level_orders_of(test_config: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    """The orders of a configuration's `test_config.level_order`: a list of ids, or several such lists."""
    order = test_config.get("level_order") or []
    if order and not isinstance(order[0], (list, tuple)):
        order = [order]
    return tuple(tuple(int(level) for level in row) for row in order)


def check_levels(orders: Sequence[Sequence[int]], task: TaskSpec) -> None:
    """Make sure that the task has these levels.

    Raises:
        UserError: if structures may overlap, or an id is no foreground class or named twice.
    """
    for order in orders:
        check_order(order)
    if orders and task.overlapping:
        raise UserError("level_order: needs classes of which each voxel has one, not regions that overlap")
    wrong = [level for order in orders for level in order if not 0 < level < task.num_ids]
    if wrong:
        raise UserError(f"level_order: {wrong} are not among the class ids 1 to {task.num_ids - 1}")
