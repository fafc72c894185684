"""What was measured, and what follows from it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.frame import MEMORY, Contender, Pair, Work

OK, FAILED, NOT_INSTALLED = "ok", "failed", "not installed"


@dataclass
class Measured:
    """One contender's figures.

    Attributes:
        contender: who.
        status: "ok", "failed" or "not installed".
        reason: why it is not ok.
        seconds: seconds of one repetition, round by round; None for a round it did not take part in.
        repetitions: repetitions in a round.
        baseline_mb: resident memory after setting up, MiB.
        peak_mb: highest resident memory during the rounds, warm-up included, MiB.
        cpu_seconds: processor seconds of one repetition, over all threads, round by round.
        other_cores: cores that the rest of the machine kept busy meanwhile; above a tenth or so, times are not sound.
        extra: what the contender says about itself.
        versions: distributions it imported.
    """

    contender: Contender
    status: str = OK
    reason: str = ""
    seconds: list[float | None] = field(default_factory=list)
    cpu_seconds: list[float | None] = field(default_factory=list)
    other_cores: list[float] = field(default_factory=list)
    repetitions: int = 1
    baseline_mb: float | None = None
    peak_mb: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def times(self) -> list[float]:
        """Seconds of the rounds it took part in."""
        return [value for value in self.seconds if value is not None]

    @property
    def work_mb(self) -> float | None:
        """Peak memory beyond the baseline, MiB."""
        if self.peak_mb is None or self.baseline_mb is None:
            return None
        return self.peak_mb - self.baseline_mb

    def as_json(self, units: float | None) -> dict[str, Any]:
        """The contender's entry in the JSON."""
        entry: dict[str, Any] = {
            "name": self.contender.name,
            "requires": list(self.contender.requires),
            "status": self.status,
            "reason": self.reason,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "other_cores": self.other_cores,
            "repetitions": self.repetitions,
            "baseline_rss_mb": _rounded(self.baseline_mb),
            "peak_rss_mb": _rounded(self.peak_mb),
            "peak_over_baseline_mb": _rounded(self.work_mb),
            "extra": self.extra,
        }
        if self.status == OK:
            entry.update(median=statistics.median(self.times), min=min(self.times), max=max(self.times))
            entry["cpu_median"] = statistics.median(value for value in self.cpu_seconds if value is not None)
            if units:
                entry["nanoseconds_per_unit"] = 1e9 * entry["median"] / units
                entry["bytes_per_unit"] = None if self.work_mb is None else self.work_mb * 2**20 / units
        return entry


def compare(pair: Pair, by_name: Mapping[str, Measured]) -> dict[str, Any]:
    """The pair's entry in the JSON: ratio of the medians over the rounds that both did, its spread, and the verdict.

    Where a side names several contenders, the best of those measured stands for it. `met` is None without a target,
    and also where the ratio could not be measured.
    """
    ours, theirs = [_best(names, by_name, pair.measure) for names in (pair.our_names, pair.their_names)]
    ratio, low, high = _ratios(ours, theirs, pair.measure)
    met = None if pair.target is None or ratio is None else ratio <= pair.target
    return {
        "ours": ours.contender.name,
        "theirs": theirs.contender.name,
        "ours_best_of": list(pair.our_names),
        "theirs_best_of": list(pair.their_names),
        "measure": pair.measure,
        "target": pair.target,
        "ratio": ratio,
        "ratio_min": low,
        "ratio_max": high,
        "cpu_ratio": _cpu_ratio(ours, theirs) if pair.measure != MEMORY else None,
        "met": met,
        "reason": "; ".join(f"{m.contender.name}: {m.reason}" for m in (ours, theirs) if m.status != OK),
    }


def _best(names: Sequence[str], by_name: Mapping[str, Measured], measure: str) -> Measured:
    found = [by_name[name] for name in names]
    sound = [item for item in found if item.status == OK and (measure != MEMORY or item.work_mb is not None)]
    if measure == MEMORY:
        return min(sound, key=lambda item: item.work_mb or 0.0, default=found[0])
    return min(sound, key=lambda item: statistics.median(item.times), default=found[0])


def _ratios(ours: Measured, theirs: Measured, measure: str) -> tuple[float | None, float | None, float | None]:
    if ours.status != OK or theirs.status != OK:
        return None, None, None
    if measure == MEMORY:
        ratio = ours.work_mb / theirs.work_mb if ours.work_mb is not None and theirs.work_mb else None
        return ratio, ratio, ratio
    pairs = _shared(ours.seconds, theirs.seconds)
    each = [a / b for a, b in pairs]
    return _of_medians(pairs), min(each), max(each)


def _shared(ours: Sequence[float | None], theirs: Sequence[float | None]) -> list[tuple[float, float]]:
    """Figures of the rounds that both took part in."""
    return [(a, b) for a, b in zip(ours, theirs, strict=False) if a is not None and b is not None]


def _of_medians(pairs: Sequence[tuple[float, float]]) -> float:
    ours, theirs = zip(*pairs, strict=True)
    return statistics.median(ours) / statistics.median(theirs)


def _cpu_ratio(ours: Measured, theirs: Measured) -> float | None:
    if ours.status != OK or theirs.status != OK:
        return None
    pairs = _shared(ours.cpu_seconds, theirs.cpu_seconds)
    return _of_medians(pairs) if all(theirs for _, theirs in pairs) else None


def work_as_json(work: Work, threads: int, measured: Sequence[Measured]) -> dict[str, Any]:
    """The work's entry in the JSON."""
    by_name: Mapping[str, Measured] = {item.contender.name: item for item in measured}
    return {
        "name": work.name,
        "threads": threads,
        "units": work.units,
        "series": work.series,
        "contenders": [item.as_json(work.units) for item in measured],
        "pairs": [compare(pair, by_name) for pair in work.pairs],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
