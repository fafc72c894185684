"""The measures beside Dice as texts: rows of classes, means, levels, calibration, the rules behind them."""

from __future__ import annotations

import math
import textwrap

import numpy as np

from medicalseg.metrics import Interval, MeasureSummary, Summary

RULE_WIDTH = 120
DIGITS = {"": 4, "mm": 2, "mm³": 0, "%": 1}


def figure(value: float | np.floating) -> str:
    """A share with four digits."""
    return "n/a" if np.isnan(value) else f"{value:.4f}"


def interval_text(interval: Interval | None, found: MeasureSummary | None = None) -> str:
    """An interval in brackets, with a space before; "" for None. Of Dice without `found`."""
    if interval is None:
        return ""
    low, high = (figure(end) if found is None else amount(found, end) for end in (interval.low, interval.high))
    return " [n/a]" if math.isnan(interval.low) else f" [{low}, {high}]"


def amount(found: MeasureSummary, value: float) -> str:
    """A figure with the digits of its unit."""
    if math.isnan(value):
        return "n/a"
    return f"{value:.0f}" if found.measure.count else f"{value:.{DIGITS.get(found.measure.unit, 2)}f}"


def measure_columns(summary: Summary) -> list[list[str]]:
    """A column per measure: its heading, then a text per class, which says k where it has fewer cases than Dice."""
    listed = [found for found in summary.measures.values() if found.measure.listed]
    return [[found.measure.heading, *_cells(found, summary.class_k)] for found in listed]


def measure_rows(summary: Summary) -> list[tuple[str, str]]:
    """What every mean is of, and its figure."""
    return [row for found in summary.measures.values() if found.measure.listed for row in _rows(found)]


def detection_lines(summary: Summary) -> list[str]:
    """Detection over all cases together."""
    parts = summary.pooled_detection
    if parts is None:
        return []
    return [
        f"detection, parts of all cases and classes together: precision {figure(parts.precision)}, "
        f"recall {figure(parts.recall)}, F1 {figure(parts.f1)}"
    ]


def level_lines(summary: Summary) -> list[str]:
    """What became of the levels, as sentences."""
    lines = []
    for found in summary.levels:
        off = [f"{count} off by {shift:+d}" for shift, count in found.shifts.items()]
        wrong = ", ".join([*off, *([f"{found.missed} missed"] if found.missed else [])])
        lines += [
            f"levels {found.names[0]} … {found.names[-1]}: {found.right} of {found.structures} structures have the "
            f"right number ({figure(found.accuracy)}){'; ' + wrong if wrong else ''}",
            f"  voxels labelled as a neighbouring level {figure(found.neighbour_share)}, as one farther off "
            f"{figure(found.farther_share)}   mean over cases",
        ]
    return lines


def calibration_lines(summary: Summary) -> list[str]:
    """Calibration errors, if they were computed."""
    found = summary.calibration
    if found is None:
        return []
    return [
        f"calibration error (ECE): decided as foreground {figure(found.foreground.error)}, all voxels "
        f"{figure(found.top.error)}, class-wise {figure(found.class_error)}   on the network grid, "
        f"{len(found.top.count)} bins"
    ]


def rule_lines(summary: Summary) -> list[str]:
    """The rules, broken into lines."""
    texts = (f"{name}: {rule}" for name, rule in summary.rules.items())
    return [line for text in texts for line in textwrap.wrap(text, RULE_WIDTH, subsequent_indent="  ")]


def _cells(found: MeasureSummary, scored: np.ndarray) -> list[str]:
    cells = []
    for value, k, of in zip(found.class_values, found.class_k, scored, strict=True):
        text = amount(found, float(value))
        cells.append(f"{text} (k={k})" if 0 < k < of else text)
    return cells


def _rows(found: MeasureSummary) -> list[tuple[str, str]]:
    kind = "sum of" if found.measure.count else "mean"
    rows = []
    for name, mean in found.means.items():
        title = f"{found.measure.heading} ({name})" if name else f"foreground {kind} {found.measure.heading}"
        text = f"{amount(found, mean.value)}{interval_text(mean.interval, found)}"
        rows.append((title, f"{text}   over {mean.k} of {mean.n} classes"))
    return rows
