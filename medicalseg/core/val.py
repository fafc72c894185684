"""Evaluation: every case predicted and scored once, whatever the number of ranks; figures, pictures, label maps."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medicalseg.core.evaluation_limit import EvaluationLimit
from medicalseg.core.extras import Extras, check_levels
from medicalseg.core.fit import check_network, gives_pictures
from medicalseg.core.prefetch import prefetch
from medicalseg.core.scoring import SPACES, Losses, Scorer, network_axcodes, network_spacing
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference import Inferer
from medicalseg.inference.outputs import ON_TOP, shown_image, topmost_ids, write_labels
from medicalseg.inference.pipeline import Result
from medicalseg.io import Volume, is_picture
from medicalseg.metrics import Calibration, CalibrationResult, CaseResult, HistogramAuc, Summary, summarize
from medicalseg.reports import render_table, write_metrics, write_overlay
from medicalseg.reports.overlay import PICTURES, representative_cases
from medicalseg.reports.run_facts import run_facts
from medicalseg.utils import distributed
from medicalseg.utils.logger import logger
from medicalseg.utils.words import counted

if TYPE_CHECKING:
    import paddle

PREDICTIONS = "predictions"
SECONDS_BETWEEN_LINES = 10.0
NO_ORIGINALS = (
    "scored on the network's resized grid, because the dataset keeps no labels on the original grid: "
    "not comparable with scores on the original grid; prepare the dataset again to get them"
)


def evaluate(
    model: paddle.nn.Layer | Sequence[paddle.nn.Layer],
    dataset: Any,
    *,
    losses: Losses | None = None,
    num_workers: int = 0,
    eval_space: str = "original",
    save_dir: str | os.PathLike[str] | None = None,
    overlays: int = 3,
    save_predictions: int | None = 0,
    sliding: Inferer | None = None,
    auc_roc: bool = False,
    print_detail: bool = True,
    notes: Sequence[str] = (),
    run: Mapping[str, Any] | None = None,
    extras: Extras | None = None,
    limit: EvaluationLimit | None = None,
) -> Summary:
    """Evaluate a network on the labelled cases of a dataset.

    Ranks share the cases, none is evaluated twice, and every rank returns the same figures; rank 0 writes. The network
    is left in the mode it was in. Memory holds the logits of one case (with `sliding`, of one window's extent, if no
    loss is asked for), never those of several.

    Args:
        model: the network, or several whose probabilities are averaged.
        dataset: `medicalseg.datasets.CaseDataset`, or what behaves like it.
        losses: `{"types": [...], "coef": [...]}`; the first is applied to the first head and reported.
        num_workers: threads that read ahead.
        eval_space: "original" compares labels on each case's original grid, "network" on the prepared one. Without
            originals the network's grid is taken, and the report says so.
        save_dir: folder for metrics.json, metrics.csv, overlays/ and predictions/; None writes nothing.
        overlays: pictures of the best, median and worst case: how many of these three.
        save_predictions: label maps of this many first cases are written; None = of all.
        sliding: how a volume goes through the network; None = in one piece, or slice by slice as the task says.
        auc_roc: also compute the area under the ROC curve.
        print_detail: log progress and the table.
        notes: what a reader must know before believing the figures, beside the task's own notes.
        run: what metrics.json says of the run besides, such as its config.
        extras: what is reported beside Dice: surface distances, levels, calibration, intervals; None = nothing.
        limit: ends an evaluation that would take too long; None = it may take as long as it takes.

    Raises:
        TooLong: `limit` found so; nothing but label maps of the first cases was written.
        DataError: if no case can be scored, or one is wrong; names it.
        ConfigError: if `eval_space` is unknown.
    """
    cases, left_out = _labelled_cases(dataset)
    space, more = _space(dataset, eval_space, cases[0])
    models = list(model) if isinstance(model, (list, tuple)) else [model]
    for each in models:
        check_network(each, dataset.task, "the dataset", pictures=gives_pictures(dataset))
    codes = dataset.task.head == "sigmoid"
    auc = HistogramAuc(dataset.num_classes, dataset.ignore_index, codes) if auc_roc else None
    extras = extras or Extras()
    check_levels(extras.level_orders, dataset.task)
    scorer = Scorer(models, dataset, losses, sliding, space, auc, extras)
    folder = None if save_dir is None else Path(save_dir)
    kept = set(cases if save_predictions is None else cases[:save_predictions]) if folder is not None else set()
    if print_detail:
        logger.info("Start evaluating (total_samples: %d, grid: %s)...", len(cases), space)
    shapes: list[tuple[int, ...]] = []
    mine = _score_share(scorer, distributed.shard(cases), num_workers, folder, kept, print_detail, shapes, limit)
    results = dict(pair for share in distributed.gather_objects(mine) for pair in share)
    summary = summarize(
        [results[index] for index in cases],
        dataset.task,
        space,
        auc_roc=_auc_value(auc),
        notes=(*notes, *left_out, *more),
        calibration=_calibration_value(scorer.calibration),
        **extras.of_summary(len(cases)),
    )
    _log(summary, print_detail)
    if folder is not None and distributed.is_main():
        facts = run_facts(dataset.task, models[0], {"size": _usual(shapes), **(run or {})})
        write_metrics(folder, summary, facts)
        _write_overlays(scorer, cases, summary, folder / "overlays", overlays)
    distributed.barrier()
    return summary


def _labelled_cases(dataset: Any) -> tuple[list[int], list[str]]:
    count = len(dataset.cases) if hasattr(dataset, "cases") else len(dataset)
    cases = [index for index in range(count) if not hasattr(dataset, "has_label") or dataset.has_label(index)]
    if not cases:
        what = "is empty" if count == 0 else f"has {count} cases, but no labels to score them with"
        raise DataError(f"the dataset to evaluate {what}")
    if len(cases) == count:
        return cases, []
    return cases, [f"{count - len(cases)} of {count} cases have no label and were not evaluated"]


def _space(dataset: Any, eval_space: str, first: int) -> tuple[str, list[str]]:
    if eval_space not in SPACES:
        raise ConfigError(f"eval_space: expected one of {list(SPACES)}, got {eval_space!r}")
    if eval_space == "network":
        return "network", []
    if dataset.reference(first) is not None and dataset.record(first) is not None:
        return "original", []
    logger.warning("%s.", NO_ORIGINALS)
    return "network", [NO_ORIGINALS]


def _score_share(
    scorer: Scorer,
    cases: Sequence[int],
    num_workers: int,
    folder: Path | None,
    kept: set[int],
    print_detail: bool,
    shapes: list[tuple[int, ...]],
    limit: EvaluationLimit | None,
) -> list[tuple[int, CaseResult]]:
    """Results by case; the grids (X, Y, Z) of the cases are appended to `shapes`."""
    results, told = [], time.monotonic()
    for done, (index, (image, label, name)) in enumerate(prefetch(scorer.dataset.__getitem__, cases, num_workers), 1):
        result, labels = scorer.score(index, image, label, name)
        results.append((index, result))
        shapes.append(label.shape)
        if folder is not None and index in kept:
            _write_prediction(scorer, index, labels, folder / PREDICTIONS / file_name(scorer.dataset, index, name))
        if print_detail and time.monotonic() - told > SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            logger.info("[EVAL] %d/%d cases, last: %s in %.1f s", done, len(cases), name, result.seconds)
        if limit is not None:
            limit.case_done(done, len(cases))
    if limit is not None:
        limit.all_done()
    return results


def _usual(shapes: Sequence[Sequence[int]]) -> list[int] | None:
    """The median size of each axis."""
    return [int(n) for n in np.median(shapes, axis=0)] if shapes else None


def file_name(dataset: Any, index: int, name: str) -> str:
    """Name of the label map that `evaluate` writes of a case."""
    return f"{name}.png" if _is_picture(dataset, index) else f"{name}.nii.gz"


def _is_picture(dataset: Any, index: int) -> bool:
    """Whether a case is a picture file, which has no place in the patient."""
    images: Sequence[Any] = getattr(dataset.cases[index], "images", ()) if hasattr(dataset, "cases") else ()
    return bool(images) and is_picture(images[0])


def _write_prediction(scorer: Scorer, index: int, labels: np.ndarray | Volume, path: Path) -> None:
    restored = labels if isinstance(labels, Volume) else scorer.restored(index, Result(labels))
    if restored is None:
        logger.warning("%s: the original grid is not known; written on the network's grid, without geometry.", path)
        restored = Volume(np.asarray(labels).astype(np.int16), np.eye(4))
    write_labels(restored, scorer.task, path)


def _auc_value(auc: HistogramAuc | None) -> float | None:
    if auc is None:
        return None
    auc.merge(distributed.gather_objects(auc.state))
    values = auc.value()
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def _calibration_value(calibration: Calibration | None) -> CalibrationResult | None:
    if calibration is None:
        return None
    calibration.merge(distributed.gather_objects(calibration.state))
    return calibration.value()


def _log(summary: Summary, print_detail: bool) -> None:
    line = f"[EVAL] #Images: {summary.num_cases}, Dice: {summary.foreground_mean:.4f}"
    if summary.loss is not None:
        line += f", Loss: {summary.loss:6f}"
    if summary.auc_roc is not None:
        line += f", Auc_roc: {summary.auc_roc:.4f}"
    logger.info(line)
    logger.info("[EVAL] Class dice: \n%s", np.array2string(np.round(summary.class_dice, 4), suppress_small=True))
    if print_detail:
        logger.info("%s", render_table(summary))


def _write_overlays(scorer: Scorer, cases: Sequence[int], summary: Summary, folder: Path, count: int) -> None:
    for old in (path for name in PICTURES for path in folder.glob(f"{name}_*.png")):
        old.unlink()
    names = dict(enumerate(summary.class_names))
    chosen = representative_cases(summary.case_scores(), count)
    if chosen:
        logger.info("Pictures of %s, predicted once more ...", counted(len(chosen), "case"))
    for title, position in chosen.items():
        index = cases[position]
        image, label, name = scorer.dataset[index]
        write_overlay(
            folder / f"{title}_{name}.png",
            shown_image(image),
            topmost_ids(label, scorer.task),
            topmost_ids(scorer.labels(image), scorer.task),
            spacing=np.nan_to_num(network_spacing(scorer.dataset, index, label.shape), nan=1.0).tolist(),
            axcodes=None if _is_picture(scorer.dataset, index) else network_axcodes(scorer.dataset, index),
            names=names,
            title=f"{title} case: {name}, foreground mean Dice {summary.case_scores()[position]:.4f} "
            f"({summary.grid} grid); picture on the network grid{ON_TOP[scorer.task.overlapping]}",
            ignore_index=scorer.dataset.ignore_index,
        )
