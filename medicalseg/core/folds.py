"""Training fold after fold: which folds there are, where each goes, which are done."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import paddle

from medicalseg.core import fold_split, run_checkpoint
from medicalseg.core.checkpoint_store import FINAL, CheckpointStore, iteration_of
from medicalseg.core.chosen_steps import take_from_crossval
from medicalseg.core.run_length import RunLength
from medicalseg.core.train import train
from medicalseg.core.train_options import TrainOptions
from medicalseg.cvlibs import effective
from medicalseg.datasets.split_rule import file_of_folds
from medicalseg.datasets.splits import read_splits
from medicalseg.errors import ConfigError, UserError
from medicalseg.utils import distributed
from medicalseg.utils.logger import logger

ALL_CASES = "all"
OpenConfig = Callable[..., Any]
_RANGE = re.compile(r"(\d+)(?:\.\.|-)(\d+)")


def parse_folds(words: Sequence[str]) -> tuple[int | str, ...]:
    """Folds of a flag: numbers, ranges `0..4`, `all` for every fold, `none` for one training on all cases.

    Returns:
        Numbers without repetition, or ("all",) or ("none",).

    Raises:
        UserError: a word is none of these, or `all` and `none` stand beside others.

    Example:
        >>> parse_folds(["0..2", "4"])
        (0, 1, 2, 4)
    """
    found: list[int | str] = []
    for word in words:
        place = _RANGE.fullmatch(word)
        if word in ("all", "none"):
            found.append(word)
        elif word.isdecimal():
            found.append(int(word))
        elif place and int(place[1]) <= int(place[2]):
            found += range(int(place[1]), int(place[2]) + 1)
        else:
            raise UserError(f"--folds {word}: give numbers, a range such as 0..4, all or none")
    folds = tuple(dict.fromkeys(found))
    if len(folds) > 1 and any(isinstance(fold, str) for fold in folds):
        raise UserError(f"--folds {' '.join(words)}: all and none stand alone")
    return folds


def folds_of(config: Any, wanted: Sequence[int | str]) -> tuple[int | str, ...]:
    """The folds to train: `all` becomes the dataset's fold numbers, `none` becomes "all", the fold of all cases.

    Raises:
        ConfigError: the dataset has no folds, or not so many.
    """
    plain = config.dic
    config.require_data("train_dataset")
    if effective.dataset_argument(plain, "train_dataset", "fold") is None:
        raise ConfigError(
            f"{config.path}: --folds needs data with folds (an argument fold); train_dataset is "
            f"{plain['train_dataset'].get('type')}"
        )
    if tuple(wanted) == ("none",):
        return (ALL_CASES,)
    count = count_folds(config)
    if tuple(wanted) == ("all",):
        return tuple(range(count))
    beyond = [fold for fold in wanted if int(fold) >= count]
    if beyond:
        raise ConfigError(f"--folds {beyond[0]}: the data have the folds 0 to {count - 1}")
    return tuple(wanted)


def count_folds(config: Any) -> int:
    """How many folds the training data have: those of their file of folds, else `num_folds`.

    Raises:
        UserError: `--num_folds` is given and there is a file.
    """
    plain = config.dic
    block, _ = effective.dataset(plain, "train_dataset")
    path = file_of_folds(Path(block["dataset_root"]), block.get("splits"), grouped=bool(block.get("group_pattern")))
    if path is not None:
        count = len(read_splits(path))
        if str(config.source("train_dataset", "num_folds")) == "--num_folds":
            raise UserError(f"--num_folds: the folds are those of {path}, {count} of them; leave it out")
        return count
    return int(effective.dataset_argument(plain, "train_dataset", "num_folds") or 5)


def fold_folder(save_dir: str | Path, fold: int | str) -> Path:
    """Where a fold's run goes."""
    return Path(save_dir) / f"fold_{fold}"


def train_folds(open_config: OpenConfig, options: TrainOptions, wanted: Sequence[int | str]) -> tuple[int | str, ...]:
    """Train folds one after the other, each into `save_dir/fold_K`; with `--resume auto` finished ones are skipped.

    Args:
        open_config: opens the configuration, with `fold=` for one of them.
        options: how to run; `save_dir` is the folder of all folds.
        wanted: from `parse_folds`.

    Returns:
        The folds.

    Raises:
        UserError: configuration, data or flags are wrong.
        RunError: a run failed; what was done before is kept.
    """
    if options.resume not in (None, "auto"):
        raise UserError(f"--resume {options.resume}: with --folds only --resume auto goes on, in every fold's folder")
    folds = folds_of(open_config(), wanted)
    for fold in folds if options.resume == "auto" else ():
        dataset = open_config(fold=fold, log_notes=False).train_dataset
        fold_split.check_same_cases(fold_folder(options.save_dir, fold), fold, dataset)
    for number, fold in enumerate(folds, 1):
        logger.info("Fold %s (%d of %d): %s", fold, number, len(folds), fold_folder(options.save_dir, fold))
        train_fold(open_config, options, fold)
    return folds


def train_fold(open_config: OpenConfig, options: TrainOptions, fold: int | str) -> None:
    """Train one fold into its folder, unless it is resumed and done; fold "all" has no validation.

    Raises:
        UserError: a fold that is resumed was trained on other cases; or configuration, data or flags are wrong.
        RunError: the run failed.
    """
    evaluates = options.do_eval and fold != ALL_CASES
    config = open_config(fold=fold, log_notes=fold in (0, ALL_CASES))
    config.require("train_dataset", "model", "loss", "optimizer", "iters")
    config.require_data("train_dataset", *(["val_dataset"] if evaluates else []))
    folder = fold_folder(options.save_dir, fold)
    own = replace(options, save_dir=str(folder), do_eval=evaluates)
    if options.resume == "auto":
        fold_split.check_same_cases(folder, fold, config.train_dataset)
    if distributed.is_main():
        fold_split.record_cases(folder, config.train_dataset)
    if options.resume == "auto" and is_finished(folder, RunLength.of(config, own)):
        logger.info("Fold %s is done: %s", fold, folder / FINAL)
        run_checkpoint.tell_changes(folder / FINAL, config.dic)
    else:
        with paddle.utils.unique_name.guard():
            train(config, own)
    if fold == ALL_CASES and distributed.is_main():
        take_from_crossval(Path(options.save_dir), folder / FINAL)


def is_finished(save_dir: str | Path, length: RunLength) -> bool:
    """Whether a run of this length has ended in a folder."""
    store = CheckpointStore(save_dir)
    last, state = store.newest(), store.newest_state()
    if last is None or not store.has_final(iteration_of(last), str(state.get("started", ""))):
        return False
    ended = state.get("ended")
    return isinstance(ended, dict) and all(ended.get(key) == value for key, value in length.to_dict().items())
