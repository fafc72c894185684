"""An evaluation of folders as files: JSON, CSV, Markdown, nnU-Net's form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicalseg.reports.files import csv_text
from medicalseg.reports.markdown import render_markdown
from medicalseg.reports.nnunet_summary import write_nnunet_summary
from medicalseg.reports.run_facts import program
from medicalseg.utils.files import write_json, write_text

if TYPE_CHECKING:
    from medicalseg.core.evaluate_folders import Evaluation

KINDS = ("json", "csv", "markdown", "nnunet")


def write_evaluation(
    evaluation: Evaluation, files: Mapping[str, Path], run: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write the files that are asked for, each atomically.

    Args:
        evaluation: from `evaluate_folders`.
        files: path by kind, see `KINDS`.
        run: what the JSON's block `run` says besides.

    Returns:
        The paths written.
    """
    summary, task = evaluation.summary, evaluation.task
    wanted = {kind: files[kind] for kind in KINDS if kind in files}
    label_map = None if task.label_map is None else task.label_map.to_dict()
    left_out = {"missing": list(evaluation.missing), "failed": dict(evaluation.failed)}
    facts = {"program": program(), **(run or {}), "label_map": label_map, **left_out}
    for kind, path in wanted.items():
        if kind == "json":
            write_json(path, summary.to_dict() | {"run": facts})
        elif kind == "csv":
            write_text(path, csv_text(summary, evaluation.failed))
        elif kind == "markdown":
            write_text(path, render_markdown(summary))
        else:
            write_nnunet_summary(path, summary, task, _files(evaluation))
    return list(wanted.values())


def _files(evaluation: Evaluation) -> dict[str, tuple[str | None, str]]:
    return {
        pair.name: (None if pair.prediction is None else str(pair.prediction), str(pair.reference))
        for pair in evaluation.pairs
    }
