"""The figures of an evaluation as JSON-able values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from medicalseg.metrics.case_result import CaseResult, GroupMean
from medicalseg.metrics.levels import LevelConfusion
from medicalseg.metrics.more import FOREGROUND
from medicalseg.metrics.overlap import MEASURES, dice

if TYPE_CHECKING:
    from medicalseg.metrics.summary import Summary

POOLED_MEASURES = ("sensitivity", "specificity", "f1", "precision")


def summary_dict(summary: Summary) -> dict[str, Any]:
    """All figures as JSON-able values; what is not applicable is None."""
    cases = zip(summary.cases, summary.case_scores(), strict=True)
    return {
        "grid": summary.grid,
        "notes": list(summary.notes),
        "num_cases": summary.num_cases,
        "foreground_mean": _mean_dict(summary, summary.foreground, FOREGROUND),
        "groups": {name: _mean_dict(summary, group, name) for name, group in summary.group_means.items()},
        "soft mDice (PaddleSeg)": _number(summary.soft_mdice),
        "loss": _number(summary.loss),
        "auc_roc": _number(summary.auc_roc),
        "seconds_per_case": _number(summary.seconds),
        **_other_rules(summary),
        **_more(summary),
        "classes": [_class_dict(summary, c) for c in range(len(summary.class_names))],
        "cases": [_case_dict(result, score) for result, score in cases],
    }


def _more(summary: Summary) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if summary.rules:
        more["rules"] = dict(summary.rules)
    if summary.bootstrap is not None:
        more["bootstrap"] = summary.bootstrap
    if summary.measures:
        more["measures"] = {name: _clean(found.to_dict()) for name, found in summary.measures.items()}
    if (parts := summary.pooled_detection) is not None:
        figures = {name: _number(getattr(parts, name)) for name in ("precision", "recall", "f1")}
        more["pooled_detection"] = {"rule": "parts of all cases and classes together", **figures}
    if summary.levels:
        more["levels"] = [_clean(found.to_dict()) for found in summary.levels]
    if summary.calibration is not None:
        more["calibration"] = _clean(summary.calibration.to_dict())
    return more


def _mean_dict(summary: Summary, group: GroupMean, name: str) -> dict[str, Any]:
    found = _group_dict(group)
    if summary.dice_intervals is not None and (interval := summary.dice_intervals.means[name].interval) is not None:
        found["interval"] = _clean(interval.to_list())
    return found


def _other_rules(summary: Summary) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    if summary.per_image is not None and summary.of_images:
        rules["per_image"] = {
            "rule": summary.per_image.RULE,
            "images": summary.per_image.images,
            **{name: _number(summary.per_image.mean(name)) for name in MEASURES},
            "classes": [
                {"id": c, **{name: _number(getattr(summary.per_image, name)[c]) for name in MEASURES}}
                for c in range(len(summary.class_names))
            ],
        }
    if summary.pooled is not None:
        rules["pooled"] = {
            "rule": summary.pooled.RULE,
            **{name: _number(summary.pooled.mean(name)) for name in POOLED_MEASURES},
            "classes": [
                {"id": c, **{name: _number(getattr(summary.pooled, name)[c]) for name in POOLED_MEASURES}}
                for c in range(len(summary.class_names))
            ],
        }
    return rules


def _class_dict(summary: Summary, index: int) -> dict[str, Any]:
    return {
        "id": index,
        "name": summary.class_names[index],
        "dice": _number(summary.class_dice[index]),
        **({} if (found := summary.class_interval(index)) is None else {"dice_interval": _clean(found.to_list())}),
        "iou": _number(summary.class_iou[index]),
        "precision": _number(summary.class_precision[index]),
        "recall": _number(summary.class_recall[index]),
        "cases_scored": int(summary.class_k[index]),
        "cases_with_reference": int(summary.class_references[index]),
        "false_positive_mm3": _number(summary.false_positive_volume[index]),
        "soft_dice": None if summary.class_soft_dice is None else _number(summary.class_soft_dice[index]),
    }


def _number(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _clean(content: Any) -> Any:
    """The same with None for numbers that are not finite."""
    if isinstance(content, dict):
        return {key: _clean(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_clean(value) for value in content]
    return _number(content) if isinstance(content, float) else content


def _group_dict(group: GroupMean) -> dict[str, Any]:
    return {"dice": _number(group.value), "k": group.k, "n": group.n, "class_ids": list(group.class_ids)}


def _case_dict(result: CaseResult, score: float) -> dict[str, Any]:
    return {
        "case": result.case,
        "foreground_mean": _number(score),
        "dice": [_number(value) for value in dice(result.counts)],
        "soft_mdice": None if result.soft_dice is None else float(np.mean(result.soft_dice)),
        "loss": _number(result.loss),
        "voxel_volume_mm3": _number(result.voxel_volume),
        "seconds": _number(result.seconds),
        **({"measures": _case_measures(result)} if result.measures else {}),
        **({"levels": [_level_dict(found) for found in result.levels]} if result.levels else {}),
    }


def _case_measures(result: CaseResult) -> dict[str, Any]:
    return {name: [_number(value) for value in values] for name, values in result.measures.items()}


def _level_dict(found: LevelConfusion) -> dict[str, Any]:
    return {
        "neighbour_share": _number(found.neighbour_share),
        "farther_share": _number(found.farther_share),
        "shifts": found.shifts(),
    }
