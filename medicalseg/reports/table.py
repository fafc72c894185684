"""The evaluation as a table for the terminal."""

from __future__ import annotations

import math
import textwrap

import numpy as np

from medicalseg.metrics import GroupMean, Interval, MeasureSummary, Summary
from medicalseg.metrics.more import FOREGROUND

HEADER = ("id", "class", "Dice", "IoU", "precision", "recall", "cases")

RULE_WIDTH = 120
DIGITS = {"mm": 2, "mm³": 0, "%": 1}

IMAGE_COLUMNS = (("IoU", "iou"), ("Dice", "dice"), ("precision", "precision"), ("recall", "recall"))
POOLED_COLUMNS = (
    ("sensitivity", "sensitivity"),
    ("specificity", "specificity"),
    ("F1", "f1"),
    ("precision", "precision"),
)


def render_table(summary: Summary, detail: bool = True) -> str:
    """The figures of an evaluation as plain text, several lines.

    Args:
        summary: what to show.
        detail: include the row of every class; the means are always shown.
    """
    cases = f"{summary.num_cases} case{'' if summary.num_cases == 1 else 's'}"
    lines = [f"Evaluation of {cases}; hard Dice, scored on the {summary.grid} grid"]
    lines += [f"!! NOTE: {note}" for note in summary.notes]
    if detail:
        lines += _class_table(summary)
    means = [*_means(summary), *_other_rules(summary), *level_lines(summary), *_calibration(summary)]
    lines += ["-" * max(len(line) for line in means), *means] if detail else means
    lines += _rules(summary)
    return "\n".join(lines)


def format_volume(cubic_mm: float) -> str:
    """A volume in the unit that reads best: mm³ below 1 ml, else ml."""
    if math.isnan(cubic_mm):
        return "unknown volume"
    return f"{cubic_mm:.0f} mm³" if cubic_mm < 1000 else f"{cubic_mm / 1000:.1f} ml"


def class_rows(summary: Summary) -> list[tuple[str, ...]]:
    """The heading and the row of every class, as texts."""
    more = tuple(found.measure.heading for found in summary.measures.values())
    dice = ("Dice", "95 % interval") if summary.dice_intervals is not None else ("Dice",)
    heading = (*HEADER[:2], *dice, *HEADER[3:-1], *more, HEADER[-1])
    return [heading, *(_class_row(summary, c) for c in range(len(summary.class_names)))]


def mean_rows(summary: Summary) -> list[tuple[str, str]]:
    """What every mean is of, and its figure."""
    named = [("foreground mean Dice", FOREGROUND, summary.foreground)]
    named += [(f"Dice ({name})", name, group) for name, group in summary.group_means.items()]
    rows = []
    for title, name, group in named:
        found = None if summary.dice_intervals is None else summary.dice_intervals.means[name].interval
        rows.append((title, f"{_figure(group.value)}{_interval(found)}   over {group.k} of {group.n} classes"))
    for found_measure in summary.measures.values():
        rows += _measure_rows(found_measure)
    return rows


def _class_table(summary: Summary) -> list[str]:
    rows = class_rows(summary)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return lines


def _class_row(summary: Summary, c: int) -> tuple[str, ...]:
    measures = (summary.class_iou, summary.class_precision, summary.class_recall)
    interval = summary.class_interval(c)
    dice = (_figure(summary.class_dice[c]), *(() if interval is None else (_interval(interval).strip(),)))
    more = (_measure_cell(found, c, int(summary.class_k[c])) for found in summary.measures.values())
    cases = f"{summary.class_k[c]} of {summary.num_cases}"
    if not summary.class_references[c]:
        cases = f"in no reference; false positives: {_false_positives(summary, c)}"
    return (str(c), summary.class_names[c], *dice, *(_figure(values[c]) for values in measures), *more, cases)


def _measure_cell(found: MeasureSummary, c: int, scored: int) -> str:
    """A figure, with the number of its cases where it has fewer than Dice."""
    text, k = _amount(found, found.class_values[c]), int(found.class_k[c])
    return f"{text} (k={k})" if 0 < k < scored else text


def _measure_rows(found: MeasureSummary) -> list[tuple[str, str]]:
    kind = "sum of" if found.measure.count else "mean"
    rows = []
    for name, mean in found.means.items():
        title = f"{found.measure.heading} ({name})" if name else f"foreground {kind} {found.measure.heading}"
        text = f"{_amount(found, mean.value)}{_interval(mean.interval, found)}"
        rows.append((title, f"{text}   over {mean.k} of {mean.n} classes"))
    return rows


def _interval(interval: Interval | None, found: MeasureSummary | None = None) -> str:
    if interval is None:
        return ""
    low, high = (_figure(end) if found is None else _amount(found, end) for end in interval.to_list())
    return " [n/a]" if math.isnan(interval.low) else f" [{low}, {high}]"


def _amount(found: MeasureSummary, value: float) -> str:
    if math.isnan(value):
        return "n/a"
    if found.measure.count:
        return f"{value:.0f}"
    return f"{value:.4f}" if not found.measure.unit else f"{value:.{DIGITS.get(found.measure.unit, 2)}f}"


def _rules(summary: Summary) -> list[str]:
    texts = (f"{name}: {rule}" for name, rule in summary.rules.items())
    return [line for text in texts for line in textwrap.wrap(text, RULE_WIDTH, subsequent_indent="  ")]


def level_lines(summary: Summary) -> list[str]:
    """What became of the levels, as sentences."""
    lines = []
    for found in summary.levels:
        off = ", ".join(f"{count} off by {shift:+d}" for shift, count in found.shifts.items())
        wrong = "; ".join(part for part in (off, f"{found.missed} missed" if found.missed else "") if part)
        lines += [
            f"levels {found.names[0]} … {found.names[-1]}: {found.right} of {found.structures} structures have the "
            f"right number ({_figure(found.accuracy)}){'; ' + wrong if wrong else ''}",
            f"  voxels labelled as a neighbouring level {_figure(found.neighbour_share)}, as one farther off "
            f"{_figure(found.farther_share)}   mean over cases",
        ]
    return lines


def _calibration(summary: Summary) -> list[str]:
    found = summary.calibration
    if found is None:
        return []
    return [
        f"calibration error (ECE): foreground {_figure(found.foreground.error)}, all voxels "
        f"{_figure(found.top.error)}, class-wise {_figure(found.class_error)}   on the network grid, {len(found.top.count)} bins"
    ]


def _false_positives(summary: Summary, c: int) -> str:
    """Their volume, or where the size of a voxel is not known their number."""
    volume = summary.false_positive_volume[c]
    if not math.isnan(volume):
        return format_volume(volume)
    unit = "pixels" if summary.of_images else "voxels"
    return f"{sum(int(result.counts.fp[c]) for result in summary.cases)} {unit}"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        cell.ljust(width) if column in (1, len(row) - 1) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _means(summary: Summary) -> list[str]:
    rows = mean_rows(summary)
    if summary.soft_mdice is not None:
        rows.append(("soft mDice (PaddleSeg)", f"{_figure(summary.soft_mdice)}   on the network grid"))
    if summary.loss is not None:
        rows.append(("loss", f"{summary.loss:.4f}   on the network grid"))
    if summary.auc_roc is not None:
        rows.append(("AUC-ROC", f"{_figure(summary.auc_roc)}   one against the rest, on the network grid"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name.ljust(width)}  {value}".rstrip() for name, value in rows]
    if summary.bootstrap is not None:
        lines.append(f"in brackets: {summary.bootstrap}")
    return lines + _footnotes(summary.group_means, summary.class_names)


def _other_rules(summary: Summary) -> list[str]:
    """What studies on images print, with the rule of each figure."""
    if not summary.of_images or summary.per_image is None or summary.pooled is None:
        return []
    images = summary.per_image
    lines = [f"{images.RULE}; mean over {images.images} image{'' if images.images == 1 else 's'}"]
    scored = images.class_ids if len(images.class_ids) > 1 else ()
    rows = [(summary.class_names[c], [getattr(images, name)[c] for _, name in IMAGE_COLUMNS]) for c in scored]
    rows.append(("mean of classes" if scored else "", [images.mean(name) for _, name in IMAGE_COLUMNS]))
    width = max(len(name) for name, _ in rows)
    for name, values in rows:
        figures = "  ".join(
            f"{title} {_figure(value)}" for (title, _), value in zip(IMAGE_COLUMNS, values, strict=True)
        )
        lines.append(f"  {name.ljust(width)}  {figures}" if width else f"  {figures}")
    pooled = "  ".join(f"{title} {_figure(summary.pooled.mean(name))}" for title, name in POOLED_COLUMNS)
    lines += [summary.pooled.RULE, f"  {pooled}"]
    if summary.seconds is not None:
        lines.append(f"time per image: {summary.seconds:.4f} s   without reading the image")
    return lines


def _footnotes(groups: dict[str, GroupMean], names: tuple[str, ...]) -> list[str]:
    notes = []
    for name, group in groups.items():
        left_out = [names[c] for c in range(len(names)) if c not in group.class_ids]
        if name.endswith("*") and left_out:
            notes.append(f"* {name.rstrip('*')}: without {', '.join(left_out)}")
    if any(0 in group.class_ids for group in groups.values()):
        notes.append("  the groups in brackets that name the background count it; the foreground mean never does")
    return notes


def _figure(value: float | np.floating) -> str:
    return "n/a" if np.isnan(value) else f"{value:.4f}"
