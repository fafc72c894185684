"""Postprocessing chosen so that no case has a say in what is done to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medicalseg.core.evaluate_folders import Scored, score_pair
from medicalseg.core.fold_predictions import FoldCases, written
from medicalseg.core.folder_pairs import Pair
from medicalseg.inference import TaskSpec
from medicalseg.inference.outputs import read_labels, write_labels
from medicalseg.metrics import CaseResult, MeasureOptions
from medicalseg.postprocessing import apply_steps, build_postprocessing
from medicalseg.utils.files import atomic_path
from medicalseg.utils.logger import logger
from medicalseg.utils.pool import results_of
from medicalseg.utils.words import counted

FEW_CASES = 10
Steps = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Choice:
    """What is done to labels.

    Attributes:
        shipped: the steps chosen on all folds, which are stored with the weights.
        of_fold: steps by fold, chosen on the other folds; empty with fewer than two folds.
        table: what the choice on all folds was made of; as `choose_postprocessing` gives it.
        notes: what a reader of its figures must know.
    """

    shipped: Steps = ()
    of_fold: Mapping[int, Steps] | None = None
    table: Any = None
    notes: tuple[str, ...] = ()


def choose(folds: Sequence[FoldCases], num_workers: int) -> Choice:
    """Choose steps on all folds, and for every fold on the other ones."""
    from medicalseg.postprocessing import choose_postprocessing

    def chosen(members: Sequence[FoldCases]) -> tuple[Steps, Any]:
        triples = [(pair.name, pair.prediction, pair.reference) for member in members for pair in member.pairs]
        steps, table = choose_postprocessing(triples, members[0].task, num_workers=num_workers)
        return tuple(steps), table

    logger.info("Postprocessing: trying steps on the %s of all folds ...", counted(sum(map(_cases, folds)), "case"))
    shipped, table = chosen(folds)
    count = {fold.fold: sum(_cases(other) for other in folds if other is not fold) for fold in folds}
    total = sum(map(_cases, folds))
    if len(folds) < 2:
        return Choice(shipped, None, table, _few([total] if shipped else []))
    others = {}
    for fold in folds:
        others[fold.fold] = chosen([other for other in folds if other is not fold])[0]
        logger.info("Postprocessing of fold %d, chosen on the others: %s", fold.fold, described(others[fold.fold]))
    notes = _few([*([total] if shipped else []), *(count[fold] for fold, steps in others.items() if steps)])
    return Choice(shipped, others, table, notes)


def _cases(fold: FoldCases) -> int:
    return len(fold.pairs)


def _few(counts: Sequence[int]) -> tuple[str, ...]:
    """What is to be said if a choice that led to a step was made on few cases."""
    fewest = min(counts, default=FEW_CASES + 1)
    if fewest > FEW_CASES:
        return ()
    cases = "1 case" if fewest == 1 else f"{fewest} cases"
    note = f"postprocessing was chosen on {cases} only: a step that helps so few may do so by chance"
    logger.warning("%s; `--postprocessing none` leaves it out.", note)
    return (note,)


def described(steps: Sequence[Mapping[str, Any]]) -> str:
    """The steps in a line."""
    return "; ".join(_text(step) for step in steps) or "none"


def _text(step: Mapping[str, Any]) -> str:
    arguments = ", ".join(f"{key}: {value}" for key, value in step.items() if key != "type")
    return f"{step['type']}({arguments})" if arguments else str(step["type"])


def postprocessed(fold: FoldCases, steps: Steps, folder: Path, num_workers: int) -> tuple[Pair, ...]:
    """The fold's pairs with postprocessed predictions, written to `folder`; the same pairs where there are no steps.

    Raises:
        DataError: a file cannot be read or written; names the case.
    """
    if not steps:
        return fold.pairs
    work = partial(_postprocess, steps=steps, task=fold.task, folder=folder)
    return tuple(results_of(work, fold.pairs, num_workers, "cases postprocessed"))


def kept_as_they_are(fold: FoldCases, folder: Path) -> None:
    """The fold's predictions in `folder` too, as links where the file system has them, in place of what is there."""
    for pair in fold.pairs:
        for source in written(pair, fold.task):
            target = folder / source.name
            if not (target.is_file() and target.samefile(source)):
                _link(source, target)


def _link(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def _postprocess(pair: Pair, steps: Steps, task: TaskSpec, folder: Path) -> Pair:
    if pair.prediction is None:
        return pair
    labels = read_labels(pair.prediction, task)
    path = folder / pair.prediction.name
    write_labels(apply_steps(labels, build_postprocessing(steps, task.num_ids), task), task, path)
    return Pair(pair.name, pair.reference, path)


def score(
    pairs: Sequence[Pair],
    task: TaskSpec,
    measures: MeasureOptions,
    level_orders: Sequence[Sequence[int]],
    num_workers: int,
) -> list[CaseResult]:
    """The figures of every pair, on the grid of its reference.

    Raises:
        DataError: a file is wrong; names it.
    """
    work = partial(score_pair, task=task, options=measures, level_orders=level_orders)
    scored: list[Scored] = results_of(work, pairs, num_workers, "cases scored")
    return [item.result for item in scored]
