"""Which cases a fold trained on, kept in its folder, so that a run on other cases never passes for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medicalseg.core.checkpoint_store import FINAL, CheckpointStore, read_trainer
from medicalseg.core.train_cases import names_of, pretrained_cases, train_cases_of
from medicalseg.errors import DataError, UserError
from medicalseg.utils.files import read_json_object, write_json
from medicalseg.utils.words import few

RECORD = "split.json"
REMEDY = "train into another --save_dir, or put cases and folds (file of folds, --num_folds) back as they were"


def check_same_cases(folder: Path, fold: int | str, dataset: Any) -> None:
    """Refuse to go on with a fold that was trained on other cases than it has now.

    Raises:
        UserError: names cases that came and went.
        DataError: the record is damaged.
    """
    before, now = _trained(folder), names_of(dataset)
    if before is None or now is None or before == set(now):
        return
    changes = [f"{what}: {few(sorted(names))}" for what, names in _changes(before, set(now)) if names]
    raise UserError(
        f"{folder}: fold {fold} was trained on other cases than it has now ({'; '.join(changes)}); {REMEDY}"
    )


def _changes(before: set[str], now: set[str]) -> list[tuple[str, set[str]]]:
    return [("new", now - before), ("gone", before - now)]


def _trained(folder: Path) -> set[str] | None:
    """Names of the cases that the run in a folder trains on; None without one, or where nothing tells."""
    last = CheckpointStore(folder).newest()
    if last is None:
        written = (folder / FINAL).is_dir() and (folder / RECORD).is_file()
        return set(read_json_object(folder / RECORD, DataError).get("train") or ()) if written else None
    names, earlier = train_cases_of(last), (read_trainer(last) or {}).get("earlier_cases")
    return None if names is None else set(names) - set(earlier if isinstance(earlier, list) else ())


def record_cases(folder: Path, dataset: Any) -> None:
    """Write the names of a fold's training cases into its folder."""
    names = names_of(dataset)
    if names is not None:
        write_json(folder / RECORD, {"train": names})


def check_held_out(config: Any, fold: int) -> None:
    """Refuse a fold that would score cases which it trains on, or which its pretrained weights were trained on.

    Raises:
        UserError: names the cases.
    """
    scored = names_of(config.val_dataset) or []
    refuse_learned(
        fold, scored, names_of(config.train_dataset), "the fold trains on that as well: mend the file of folds"
    )
    pretrained = pretrained_cases(config.dic.get("model"))
    refuse_learned(fold, scored, sorted(pretrained or ()), "model.pretrained was trained on that: leave it out")


def refuse_learned(fold: int, scored: Sequence[str], learned: Sequence[str] | None, why: str) -> None:
    """Refuse to score cases that were learned from.

    Raises:
        UserError: names them and says why.
    """
    seen = [name for name in scored if name in set(learned or ())]
    if seen:
        raise UserError(f"fold {fold}: {few(seen)} {'is' if len(seen) == 1 else 'are'} to be scored, but {why}")
