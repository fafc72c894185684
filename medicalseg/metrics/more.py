"""Means over cases, then classes, of the measures beside Dice, with what the bootstrap says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medicalseg.metrics.bootstrap import Bootstrap, Interval
from medicalseg.metrics.measures import MORE_MEASURES, Measure

FOREGROUND = ""
LEAST_CASES = 2


@dataclass(frozen=True)
class MeasureSummary:
    """One measure over all cases; arrays have one value per class id, NaN = not applicable.

    Attributes:
        measure: which one.
        cases: (cases, ids) its values; all of a class in no reference are NaN.
        class_values: means over the cases (of counts: sums).
        class_k: cases in which it is applicable.
        intervals: of every class; NaN with fewer than two cases.
        means: (value, k, n, interval) by group; "" is the foreground.
    """

    measure: Measure
    cases: np.ndarray
    class_values: np.ndarray
    class_k: np.ndarray
    intervals: tuple[Interval, ...] | None
    means: dict[str, MeanOfClasses]

    @property
    def foreground(self) -> MeanOfClasses:
        """Over the foreground classes."""
        return self.means[FOREGROUND]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "title": self.measure.title,
            "unit": self.measure.unit,
            "class_in_one_mask_only": self.measure.one_sided,
            "foreground_mean": self.foreground.to_dict(),
            "groups": {name: mean.to_dict() for name, mean in self.means.items() if name != FOREGROUND},
            "classes": [self._class_dict(index) for index in range(len(self.class_values))],
        }

    def _class_dict(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = {"id": index, "value": float(self.class_values[index]), "k": int(self.class_k[index])}
        if self.intervals is not None:
            found["interval"] = self.intervals[index].to_list()
        return found


@dataclass(frozen=True)
class MeanOfClasses:
    """Mean of `k` of `n` classes (of counts: the sum), with its interval where there is a bootstrap."""

    value: float
    k: int
    n: int
    interval: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        interval = {} if self.interval is None else {"interval": self.interval.to_list()}
        return {"value": self.value, "k": self.k, "n": self.n, **interval}


def summarize_measure(
    measure: Measure,
    cases: np.ndarray,
    scored: np.ndarray,
    groups: Mapping[str, Sequence[int]],
    bootstrap: Bootstrap | None = None,
) -> MeasureSummary:
    """Average a measure.

    Args:
        measure: which one.
        cases: (cases, ids) values, NaN = not applicable.
        scored: (ids,) whether a reference of the set has the class; others are left out.
        groups: ids by group name; "" is the foreground.
        bootstrap: for intervals.
    """
    values = np.where(scored, cases, np.nan)
    class_k = np.count_nonzero(~np.isnan(values), axis=0)
    combine = np.nansum if measure.count else np.nanmean
    class_values = _over(combine, values)
    drawn = None if bootstrap is None or measure.count else bootstrap.means(values)
    means = {}
    for name, ids in groups.items():
        chosen = class_values[list(ids)]
        interval = None if drawn is None or bootstrap is None else bootstrap.interval(_rows(drawn[:, list(ids)]))
        means[name] = MeanOfClasses(_one(combine, chosen), int((~np.isnan(chosen)).sum()), len(chosen), interval)
    intervals = None
    if drawn is not None and bootstrap is not None:
        drawn[:, class_k < LEAST_CASES] = np.nan
        intervals = tuple(bootstrap.interval(column) for column in drawn.T)
    return MeasureSummary(measure, values, class_values, class_k, intervals, means)


def summarize_measures(
    cases: Sequence[Mapping[str, np.ndarray]],
    scored: np.ndarray,
    groups: Mapping[str, Sequence[int]],
    bootstrap: Bootstrap | None = None,
) -> dict[str, MeasureSummary]:
    """Every measure that all cases have, by name, in the order of `MORE_MEASURES`; see `summarize_measure`."""
    names = [name for name in MORE_MEASURES if cases and all(name in case for case in cases)]
    return {
        name: summarize_measure(MORE_MEASURES[name], np.stack([c[name] for c in cases]), scored, groups, bootstrap)
        for name in names
    }


def _over(combine: Any, values: np.ndarray) -> np.ndarray:
    return np.array([_one(combine, column) for column in values.T])


def _one(combine: Any, values: np.ndarray) -> float:
    return float("nan") if np.isnan(values).all() else float(combine(values))


def _rows(values: np.ndarray) -> np.ndarray:
    """Means over the columns that are applicable; NaN where none is."""
    present = ~np.isnan(values)
    counts = present.sum(axis=1)
    sums = np.where(present, values, 0).sum(axis=1)
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)
