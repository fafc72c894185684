"""A cross-validation as files: summary.json, summary.csv, summary.md."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicalseg.metrics import dice
from medicalseg.reports.markdown import table
from medicalseg.reports.run_facts import program
from medicalseg.utils.files import write_json, write_text

if TYPE_CHECKING:
    from medicalseg.core.crossval_figures import CrossvalReport, Stage

NAMES = ("summary.json", "summary.csv", "summary.md")


def write_crossval(folder: Path, report: CrossvalReport) -> list[Path]:
    """Write the three files, each atomically; returns their paths."""
    paths = [folder / name for name in NAMES]
    write_json(paths[0], to_dict(report))
    write_text(paths[1], csv_text(report))
    write_text(paths[2], markdown(report))
    return paths


def to_dict(report: CrossvalReport) -> dict[str, Any]:
    """All figures as JSON-able values; what is not applicable is None."""
    return {
        "headline": report.headline,
        "foreground_mean": _number(report.stages[report.headline].summary.foreground_mean),
        "weights": report.weights,
        "stages": {name: _stage(stage) for name, stage in report.stages.items()},
        "folds": [
            {
                "fold": fold,
                "cases": list(cases),
                "postprocessing_chosen_on_the_others": [dict(step) for step in report.steps_of_fold.get(fold, ())],
                "foreground_mean": {name: _number(stage.fold_means[fold]) for name, stage in report.stages.items()},
            }
            for fold, cases in report.cases.items()
        ],
        "postprocessing": [dict(step) for step in (*report.given, *report.steps)],
        "postprocessing_of_the_configuration": [dict(step) for step in report.given],
        "postprocessing_choice": None if report.table is None else _plain(report.table.as_dict()),
        "ensemble": report.command,
        "run": {"program": program(), **report.run},
    }


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "fold_means": {str(fold): _number(mean) for fold, mean in stage.fold_means.items()},
        "std_over_folds": _number(stage.fold_std),
        "std_over_cases": _number(stage.case_std),
        **stage.summary.to_dict(),
    }


def csv_text(report: CrossvalReport) -> str:
    """One row per stage, case and class; what is not applicable is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = list(report.stages[report.headline].summary.measures)
    writer.writerow(["stage", "fold", "case", "class_id", "class", "dice", *measures])
    for name, stage in report.stages.items():
        for result in stage.summary.cases:
            values = dice(result.counts)
            for index, title in enumerate(stage.summary.class_names):
                more = [_cell(result.measures[measure][index]) for measure in measures]
                writer.writerow(
                    [name, stage.case_folds[result.case], result.case, index, title, _cell(values[index]), *more]
                )
    return text.getvalue()


def markdown(report: CrossvalReport) -> str:
    """Means, folds, classes, cases, and what was chosen."""
    stage = report.stages[report.headline]
    lines = ["# Cross-validation", ""]
    count = stage.summary.num_cases
    lines += [
        f"{count} cases of {len(report.cases)} folds, {report.weights} weights; hard Dice on the references' grid."
    ]
    lines += [f"To be quoted, and what measures beside Dice are of: **{report.headline}**."]
    notes = dict.fromkeys(note for found in report.stages.values() for note in found.summary.notes)
    lines += ["", *(f"- **Note:** {note}" for note in notes)] if notes else []
    lines += ["", "## Means", "", *table(mean_rows(report)), "", "## Classes", "", *table(_class_rows(report)), ""]
    lines += ["## Cases", "", *table(_case_rows(report)), "", "## Postprocessing", ""]
    lines += [f"- of the configuration, in every stage: {_steps(report.given)}"] if report.given else []
    lines += [f"- chosen on all folds, stored with every fold's weights: {_steps(report.steps)}"]
    lines += [
        f"- of fold {fold}, chosen on the others: {_steps(steps)}" for fold, steps in report.steps_of_fold.items()
    ]
    if stage.summary.bootstrap is not None:
        lines += ["", f"Intervals: {stage.summary.bootstrap}. ± is the standard deviation over cases."]
    lines += ["", "## All folds together", "", "```bash", report.command, "```"]
    return "\n".join(lines) + "\n"


def mean_rows(report: CrossvalReport) -> list[list[str]]:
    """A heading, and a row per stage: mean with interval and deviation, then every fold."""
    rows = [["stage", "foreground mean Dice", *(f"fold {fold}" for fold in report.cases)]]
    for name, stage in report.stages.items():
        value = _text(stage.summary.foreground_mean)
        intervals = stage.summary.dice_intervals
        interval = None if intervals is None else intervals.foreground.interval
        if interval is not None and math.isfinite(interval.low):
            value += f" [{interval.low:.4f}, {interval.high:.4f}]"
        if math.isfinite(stage.case_std):
            value += f" ± {stage.case_std:.4f}"
        rows.append([name, value, *(_text(stage.fold_means[fold]) for fold in report.cases)])
    return rows


def _class_rows(report: CrossvalReport) -> list[list[str]]:
    stages = report.stages.values()
    measures = report.stages[report.headline].summary.measures
    titles = [found.measure.title for found in measures.values()]
    rows = [["class", *(f"Dice: {name}" for name in report.stages), *titles]]
    for index, title in enumerate(next(iter(stages)).summary.class_names):
        values = [_text(stage.summary.class_dice[index]) for stage in stages]
        rows.append([title, *values, *(_text(found.class_values[index]) for found in measures.values())])
    return rows


def _case_rows(report: CrossvalReport) -> list[list[str]]:
    scores = {
        name: dict(zip((case.case for case in stage.summary.cases), stage.summary.case_scores(), strict=True))
        for name, stage in report.stages.items()
    }
    headline = report.stages[report.headline]
    order = {case.case: index for index, case in enumerate(headline.summary.cases)}
    more = headline.case_means()
    rows = [["fold", "case", *(f"foreground mean: {name}" for name in report.stages), *more]]
    for fold, cases in report.cases.items():
        for case in cases:
            values = [*(found[case] for found in scores.values()), *(column[order[case]] for column in more.values())]
            rows.append([str(fold), case, *map(_text, values)])
    return rows


def _steps(steps: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"`{dict(step)}`" for step in steps) or "none"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _text(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "n/a"


def _cell(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def _plain(value: Any) -> Any:
    """The value as JSON has it: NaN becomes None."""
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
