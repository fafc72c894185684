"""Label maps of anybody's against references: every case scored once, in parallel."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medicalseg.core.counting import count_voxels, further_measures, voxel_volume
from medicalseg.core.extras import check_levels
from medicalseg.core.folder_pairs import Pair, Pairs, find_pairs
from medicalseg.core.label_task import discovered_task, task_near
from medicalseg.errors import DataError, MedicalSegError, RunError, UserError
from medicalseg.inference.outputs import read_labels, read_reference
from medicalseg.inference.task import TaskSpec
from medicalseg.inference.turned import turned_onto
from medicalseg.io import Volume, has_directions, is_picture
from medicalseg.metrics import CaseResult, MeasureOptions, Summary, summarize
from medicalseg.metrics.bootstrap import Bootstrap
from medicalseg.utils.logger import logger
from medicalseg.utils.pool import run_all
from medicalseg.utils.words import counted, few

MISSING = ("error", "zero", "skip")
GRID = "reference"


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation of folders found.

    Attributes:
        summary: all figures.
        task: classes, and how they are stored.
        pairs: the files of the scored cases, in the summary's order.
        missing: references without a prediction.
        failed: reason by name of the cases that could not be scored; no figure counts them.
    """

    summary: Summary
    task: TaskSpec
    pairs: tuple[Pair, ...]
    missing: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """A case's figures, and what is odd about its files."""

    result: CaseResult
    elsewhere: bool = False
    turned: bool = False


def evaluate_folders(
    pred_dir: str | os.PathLike[str],
    ref_dir: str | os.PathLike[str],
    *,
    task: TaskSpec | None = None,
    options: MeasureOptions | None = None,
    level_orders: Sequence[Sequence[int]] = (),
    missing: str = "error",
    num_workers: int = 0,
    bootstrap: int = 1000,
    seed: int = 0,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Score predictions against references; a case that cannot be scored is logged, noted, and in no figure.

    Args:
        pred_dir: label maps in any readable format; a folder, a .txt list or one file.
        ref_dir: references; names (without suffix) tell which prediction belongs to which.
        task: what stored values mean, see `medicalseg.core.label_task`; None takes a `dataset.json` in or beside the
            folders, else every value found is a class.
        options: measures, tolerance, detection rule.
        level_orders: ids of levels from one end to the other, one list per row of structures.
        missing: what a reference without a prediction is: "error"; "zero": an empty prediction; "skip": left out.
        num_workers: processes; 0 or 1 works in this one.
        bootstrap: draws for the confidence intervals; 0 makes none.
        seed: of the draws.
        notes: what a reader must know besides.

    Raises:
        UserError: if an argument is wrong, predictions are missing (`missing` "error"), or names are ambiguous.
        DataError: if no case can be scored, as files cannot be read, do not fit each other, or hold values that are no
            class; names the first.
    """
    if missing not in MISSING:
        raise UserError(f"missing: expected one of {', '.join(MISSING)}, got {missing!r}")
    task = task or task_near(ref_dir, pred_dir)
    pairs = find_pairs(pred_dir, ref_dir, task)
    _tell_odd(pairs, missing)
    wanted = [pair for pair in pairs.pairs if pair.prediction is not None or missing == "zero"]
    if task is None:
        files = [[file for file in (pair.reference, pair.prediction) if file is not None] for pair in wanted]
        task = discovered_task(files, num_workers)
    check_levels(level_orders, task)
    options = options or MeasureOptions()
    found, failed = _score(wanted, task, options, level_orders, num_workers)
    scored = list(found.values())
    results = [each.result for each in scored]
    summary = summarize(
        results,
        task,
        GRID,
        notes=(*notes, *_failed_note(failed, len(wanted)), *_notes(pairs, missing, scored, options)),
        rules=options.rules(),
        bootstrap=_draws(len(results), bootstrap, seed),
    )
    kept = tuple(pair for pair in wanted if pair.name in found)
    return Evaluation(summary, task, kept, tuple(pairs.missing), failed)


def _draws(cases: int, draws: int, seed: int) -> Bootstrap | None:
    """None where there is nothing to draw from."""
    made = Bootstrap(cases, draws, seed)
    return made if draws and cases > 1 else None


def score_pair(
    pair: Pair, task: TaskSpec, options: MeasureOptions, level_orders: Sequence[Sequence[int]] = ()
) -> Scored:
    """Score one case; without a prediction an empty one is scored.

    Raises:
        DataError: if the files do not fit each other or the task; names them.
        VolumeError: if a file cannot be read.
    """
    reference = _read(read_reference, pair.reference, task)
    if pair.prediction is None:
        prediction, turned = reference.with_array(reference.array * 0, labels=True), False
    else:
        prediction, turned = _on_grid_of(reference, _read(read_labels, pair.prediction, task), pair)
    try:
        counts = count_voxels(prediction.array, reference.array, task)
    except DataError as error:
        raise DataError(f"{pair.prediction or pair.reference}: {error}") from error
    picture = is_picture(pair.reference)
    spacing = (1.0, 1.0, 1.0) if picture else reference.spacing
    result = CaseResult(
        case=pair.name,
        counts=counts,
        voxel_volume=voxel_volume(reference.spacing, pair.reference),
        slices=1 if picture and reference.array.shape[-1] == 1 else None,
        **further_measures(prediction.array, reference.array, spacing, task, options, level_orders),
    )
    return Scored(result, _elsewhere(reference, prediction, pair), turned)


def _read(reader: Callable[[Path, TaskSpec], Volume], path: Path, task: TaskSpec) -> Volume:
    try:
        return reader(path, task)
    except DataError as error:
        raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def _on_grid_of(reference: Volume, prediction: Volume, pair: Pair) -> tuple[Volume, bool]:
    """The prediction with its axes as the reference has them, if that makes the grids one."""
    told = pair.prediction is not None and has_directions(pair.reference) and has_directions(pair.prediction)
    turned = turned_onto(reference, prediction) if told else None
    if turned is not None:
        return turned, True
    if prediction.shape != reference.shape:
        raise DataError(
            f"{pair.prediction}: has the shape {prediction.shape}, its reference {pair.reference} {reference.shape}; "
            "bring it to the reference's grid first"
        )
    return prediction, False


def _elsewhere(reference: Volume, prediction: Volume, pair: Pair) -> bool:
    if pair.prediction is None or not (has_directions(pair.reference) and has_directions(pair.prediction)):
        return False
    return reference.grid_difference(prediction) is not None


def _tell_odd(pairs: Pairs, missing: str) -> None:
    if pairs.missing and missing == "error":
        has = "has" if len(pairs.missing) == 1 else "have"
        names = few([path.name for path in pairs.unused])
        others = f"; predictions without a reference: {names}" if names else ""
        raise UserError(
            f"{len(pairs.missing)} of {len(pairs.pairs)} references {has} no prediction: {few(pairs.missing)}{others}; "
            "predict them, or choose --missing zero (scored as empty) or --missing skip (left out)"
        )
    if pairs.unused:
        logger.warning(
            "%s no reference and %s not scored: %s",
            counted(len(pairs.unused), "prediction has", "predictions have"),
            "is" if len(pairs.unused) == 1 else "are",
            few([path.name for path in pairs.unused]),
        )


def _score(
    pairs: Sequence[Pair],
    task: TaskSpec,
    options: MeasureOptions,
    level_orders: Sequence[Sequence[int]],
    num_workers: int,
) -> tuple[dict[str, Scored], dict[str, str]]:
    """What was found, and the reasons where nothing was, by case and in order."""
    orders = tuple(tuple(order) for order in level_orders)
    function = functools.partial(score_pair, task=task, options=options, level_orders=orders)
    found: dict[str, Scored] = {}
    failed: dict[str, str] = {}
    for pair, result in run_all(function, pairs, num_workers, "scoring"):
        if isinstance(result, RunError):
            raise result
        if isinstance(result, MedicalSegError):
            logger.error("%s: %s", pair.name, result)
            failed[pair.name] = str(result)
        else:
            found[pair.name] = result
    names = [pair.name for pair in pairs]
    if not found and failed:
        first = next(failed[name] for name in names if name in failed)
        raise DataError(f"{len(failed)} of {counted(len(pairs), 'case')} cannot be scored; the first: {first}")
    return {name: found[name] for name in names if name in found}, {n: failed[n] for n in names if n in failed}


def _failed_note(failed: Mapping[str, str], cases: int) -> list[str]:
    """Which cases the figures are without, and why: all of them."""
    if not failed:
        return []
    reasons = "; ".join(f"{name} ({reason})" for name, reason in failed.items())
    them = "it" if len(failed) == 1 else "them"
    return [f"{len(failed)} of {cases} cases could not be scored, and all figures are without {them}: {reasons}"]


def _notes(pairs: Pairs, missing: str, scored: Sequence[Scored], options: MeasureOptions) -> list[str]:
    notes = []
    if pairs.missing:
        one = len(pairs.missing) == 1
        what = "scored as empty" if missing == "zero" else "left out, so the figures flatter"
        verbs = "has no prediction and is" if one else "have no prediction and are"
        notes.append(f"{counted(len(pairs.missing), 'reference')} {verbs} {what}: {few(pairs.missing)}")
    if pairs.unused:
        names = few([path.name for path in pairs.unused])
        verbs = "has no reference and is" if len(pairs.unused) == 1 else "have no reference and are"
        notes.append(f"{counted(len(pairs.unused), 'prediction')} {verbs} not scored: {names}")
    elsewhere = [found.result.case for found in scored if found.elsewhere]
    if elsewhere:
        notes.append(
            f"{len(elsewhere)} of {len(scored)} predictions lie on another grid than their reference by their headers, "
            f"and were compared voxel by voxel with the reference's voxel size: {few(elsewhere)}"
        )
    turned = [found.result.case for found in scored if found.turned]
    if turned:
        names = few(turned)
        notes.append(f"{len(turned)} of {len(scored)} predictions were turned to the axes of their reference: {names}")
    if len(options.wanted) > 1 and any(is_picture(pair.reference) for pair in pairs.pairs):
        notes.append("pictures have no voxel size: distances are in pixels, volumes in numbers of pixels")
    return notes
