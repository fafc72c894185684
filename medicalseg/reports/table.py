"""The evaluation as a table for the terminal."""

from __future__ import annotations

import math

from medicalseg.metrics import GroupMean, Summary
from medicalseg.metrics.more import FOREGROUND
from medicalseg.reports.measure_table import (
    calibration_lines,
    detection_lines,
    figure,
    interval_text,
    level_lines,
    measure_columns,
    measure_rows,
    rule_lines,
)

HEADER = ("id", "class", "Dice", "IoU", "precision", "recall", "cases")
MOST_BESIDE_DICE = 3

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
    listed = [line for rows in class_tables(summary) for line in _aligned(rows)] if detail else []
    means = [*_means(summary), *detection_lines(summary), *_other_rules(summary)]
    means += [*level_lines(summary), *calibration_lines(summary)]
    lines += [*listed, "-" * max(len(line) for line in (*listed, *means)), *means] if detail else means
    lines += rule_lines(summary)
    return "\n".join(lines)


def format_volume(cubic_mm: float) -> str:
    """A volume in the unit that reads best: mm³ below 1 ml, else ml."""
    if math.isnan(cubic_mm):
        return "unknown volume"
    return f"{cubic_mm:.0f} mm³" if cubic_mm < 1000 else f"{cubic_mm / 1000:.1f} ml"


def class_tables(summary: Summary) -> list[list[tuple[str, ...]]]:
    """Headings and a row per class, as texts: one table, or two where there are many measures."""
    rows = _class_rows(summary)
    columns = measure_columns(summary)
    more = list(zip(*columns, strict=True)) if columns else [() for _ in rows]
    if len(columns) <= MOST_BESIDE_DICE:
        return [[(*row[:-1], *texts, row[-1]) for row, texts in zip(rows, more, strict=True)]]
    return [rows, [(*row[:2], *texts) for row, texts in zip(rows, more, strict=True)]]


def mean_rows(summary: Summary) -> list[tuple[str, str]]:
    """What every mean is of, and its figure."""
    named = [("foreground mean Dice", FOREGROUND, summary.foreground)]
    named += [(f"Dice ({name})", name, group) for name, group in summary.group_means.items()]
    rows = []
    for title, name, group in named:
        found = None if summary.dice_intervals is None else summary.dice_intervals.means[name].interval
        rows.append((title, f"{figure(group.value)}{interval_text(found)}   over {group.k} of {group.n} classes"))
    return rows + measure_rows(summary)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return lines


def _class_rows(summary: Summary) -> list[tuple[str, ...]]:
    dice = ("Dice", "95 % interval") if summary.dice_intervals is not None else ("Dice",)
    heading = (*HEADER[:2], *dice, *HEADER[3:])
    return [heading, *(_class_row(summary, c) for c in range(len(summary.class_names)))]


def _class_row(summary: Summary, c: int) -> tuple[str, ...]:
    measures = (summary.class_iou, summary.class_precision, summary.class_recall)
    interval = summary.class_interval(c)
    dice = (figure(summary.class_dice[c]), *(() if interval is None else (interval_text(interval).strip(),)))
    cases = f"{summary.class_k[c]} of {summary.num_cases}"
    if not summary.class_references[c]:
        cases = f"in no reference; false positives: {_false_positives(summary, c)}"
    return (str(c), summary.class_names[c], *dice, *(figure(values[c]) for values in measures), cases)


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
        rows.append(("soft mDice (PaddleSeg)", f"{figure(summary.soft_mdice)}   on the network grid"))
    if summary.loss is not None:
        rows.append(("loss", f"{summary.loss:.4f}   on the network grid"))
    if summary.auc_roc is not None:
        rows.append(("AUC-ROC", f"{figure(summary.auc_roc)}   one against the rest, on the network grid"))
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
        figures = "  ".join(f"{title} {figure(value)}" for (title, _), value in zip(IMAGE_COLUMNS, values, strict=True))
        lines.append(f"  {name.ljust(width)}  {figures}" if width else f"  {figures}")
    pooled = "  ".join(f"{title} {figure(summary.pooled.mean(name))}" for title, name in POOLED_COLUMNS)
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
