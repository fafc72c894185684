"""The evaluation as files: `metrics.json` for everything, `metrics.csv` per case and class."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.metrics import CaseResult, Counts, Summary, dice, iou, precision, recall
from medicalseg.reports.calibration_plot import write_reliability_png
from medicalseg.utils.files import write_json, write_text

COLUMNS = (
    *("case", "grid", "class_id", "class", "dice", "iou", "precision", "recall"),
    *("tp", "fp", "fn", "reference_mm3", "prediction_mm3"),
)
RELIABILITY = "reliability.png"
PRESENCE = ("neither mask", "reference only", "prediction only", "both masks")


def write_metrics(
    save_dir: str | os.PathLike[str], summary: Summary, run: Mapping[str, Any] | None = None
) -> tuple[Path, Path]:
    """Write `metrics.json` and `metrics.csv`, and of a calibration `reliability.png`, each atomically.

    In the CSV a value that is not applicable is empty; in the JSON it is null.

    Args:
        save_dir: their folder.
        summary: the figures.
        run: what made them, see `run_facts`; the block `run` of the JSON.

    Returns:
        The paths of the first two.
    """
    folder = Path(save_dir)
    json_path, csv_path = folder / "metrics.json", folder / "metrics.csv"
    write_json(json_path, summary.to_dict() | ({"run": dict(run)} if run else {}))
    write_text(csv_path, csv_text(summary))
    if summary.calibration is not None:
        names = summary.class_names[-len(summary.calibration.classes) :]
        write_reliability_png(folder / RELIABILITY, summary.calibration, names, f"{summary.num_cases} cases")
    return json_path, csv_path


def csv_text(summary: Summary, failed: Mapping[str, str] | None = None) -> str:
    """One row per case and class; the column `presence` tells where a class is, and so why a value is empty or 0.

    Args:
        summary: the figures.
        failed: reason by name of cases that have none; their rows are empty but for the reason.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *summary.measures, *(["presence"] if summary.rules else [])])
    for result in summary.cases:
        writer.writerows(_rows(result, summary))
    empty = [""] * (len(COLUMNS) - 4 + len(summary.measures))
    for case, reason in (failed or {}).items():
        end = [f"not scored: {reason}"] if summary.rules else []
        writer.writerows([case, summary.grid, c, name, *empty, *end] for c, name in enumerate(summary.class_names))
    return text.getvalue()


def _rows(result: CaseResult, summary: Summary) -> list[list[object]]:
    counts = result.counts
    measures = np.stack([measure(counts) for measure in (dice, iou, precision, recall)], axis=1)
    return [
        [
            *(result.case, summary.grid, c, name),
            *(_cell(value) for value in measures[c]),
            *(int(counts.tp[c]), int(counts.fp[c]), int(counts.fn[c])),
            _cell(counts.reference[c] * result.voxel_volume),
            _cell(counts.prediction[c] * result.voxel_volume),
            *(_cell(result.measures[measure][c]) for measure in summary.measures),
            *([_presence(counts, c)] if summary.rules else []),
        ]
        for c, name in enumerate(summary.class_names)
    ]


def _presence(counts: Counts, c: int) -> str:
    return PRESENCE[int(counts.reference[c] > 0) + 2 * int(counts.prediction[c] > 0)]


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
