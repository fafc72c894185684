"""The evaluation in the form of nnU-Net's `summary.json`, for tools that read that."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medicalseg.inference.task import TaskSpec
from medicalseg.metrics import Counts, Summary, dice, iou
from medicalseg.utils.files import write_text


def nnunet_summary(
    summary: Summary, task: TaskSpec, files: Mapping[str, tuple[str | None, str]] | None = None
) -> dict[str, Any]:
    """Per-case figures under the keys that nnU-Net uses, by stored label value; of regions "(1, 2, 3)".

    The means are nnU-Net's too: over the cases, NaN left out, so a class that is in no reference counts 0 where it was
    predicted, unlike in `metrics.json`. Notes of the evaluation, which nnU-Net has not, are under `notes`.

    Args:
        summary: of the evaluation.
        task: tells the stored values.
        files: prediction (None: there was none) and reference by case.
    """
    keys = _keys(task)
    metrics = [{key: _metrics(result.counts, index) for index, key in keys.items()} for result in summary.cases]
    mean = {key: _mean([figures[key] for figures in metrics]) for key in keys.values()}
    cases = []
    for result, figures in zip(summary.cases, metrics, strict=True):
        prediction, reference = (files or {}).get(result.case, (None, None))
        cases.append({"metrics": figures, "prediction_file": prediction, "reference_file": reference})
    notes = {"notes": list(summary.notes)} if summary.notes else {}
    return {"foreground_mean": _mean(list(mean.values())), "mean": mean, "metric_per_case": cases, **notes}


def write_nnunet_summary(
    path: str | os.PathLike[str],
    summary: Summary,
    task: TaskSpec,
    files: Mapping[str, tuple[str | None, str]] | None = None,
) -> None:
    """Write `nnunet_summary`; what is not applicable is NaN there, as nnU-Net writes it, which strict JSON has not."""
    write_text(path, json.dumps(nnunet_summary(summary, task, files), indent=4, sort_keys=True) + "\n")


def _keys(task: TaskSpec) -> dict[int, str]:
    ids = [index for index in range(1, task.num_ids) if index != task.ignore_index]
    if task.label_map is None:
        return {index: str(index) for index in ids}
    values = task.label_map.values
    stored = {index: values[index - 1 if task.label_map.regions else index] for index in ids}
    several = task.label_map.regions
    return {index: str(found) if several or len(found) > 1 else str(found[0]) for index, found in stored.items()}


def _metrics(counts: Counts, index: int) -> dict[str, float]:
    tp, fp, fn = (int(values[index]) for values in (counts.tp, counts.fp, counts.fn))
    tn = math.nan if counts.voxels is None else counts.voxels - tp - fp - fn
    return {
        "Dice": float(dice(counts)[index]),
        "FN": fn,
        "FP": fp,
        "IoU": float(iou(counts)[index]),
        "TN": tn,
        "TP": tp,
        "n_pred": tp + fp,
        "n_ref": tp + fn,
    }


def _mean(entries: Sequence[Mapping[str, float]]) -> dict[str, float]:
    means = {}
    for name in entries[0] if entries else ():
        values = np.array([entry[name] for entry in entries], float)
        present = values[~np.isnan(values)]
        means[name] = float(present.mean()) if present.size else math.nan
    return means
