"""What a reader of a cross-validation must know: where the scored cases had a say in what was made without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medicalseg.core.checkpoint_store import CheckpointStore
from medicalseg.core.file_states import changed_files, file_states
from medicalseg.core.fold_predictions import FoldCases
from medicalseg.errors import DataError
from medicalseg.utils.files import read_json_object
from medicalseg.utils.logger import logger
from medicalseg.utils.words import few

BEST_NOTE = "the weights of each fold are the best on the very cases that are scored: the figures flatter"
FINGERPRINT = "fingerprint.json"


def steering_notes(members: Sequence[FoldCases]) -> tuple[str, ...]:
    """Of folds whose validation, the scored cases, ended the training or led its learning rate."""
    endings = {member.fold: _ending(member.folder) for member in members}
    stopped = [fold for fold, ending in endings.items() if ending.get("early")]
    led = [fold for fold, ending in endings.items() if ending.get("plateau") in ("val_loss", "val_dice")]
    notes = []
    if stopped:
        looked = "early stopping, which looked at the very cases that are scored"
        notes.append(f"{_folds(stopped)} ended by {looked}: the figures flatter")
    if led:
        notes.append(f"the learning rate of {_folds(led)} followed the very cases that are scored: the figures flatter")
    for note in notes:
        logger.warning("NOTE: %s.", note)
    return tuple(notes)


def stale_notes(fold: int, folder: Path, dataset: Any) -> tuple[str, ...]:
    """Of a fold that was trained on files which have changed since.

    Args:
        fold: its number.
        folder: of its run.
        dataset: what it trains on now.
    """
    before = CheckpointStore(folder).newest_state().get("files")
    changed = changed_files(before if isinstance(before, dict) else {}, file_states(dataset))
    if not changed:
        return ()
    remedy = f"remove {folder} to train it anew"
    note = f"fold {fold} was trained before the files of {few(changed)} changed: {remedy}"
    logger.warning("NOTE: %s.", note)
    return (note,)


def _ending(folder: Path) -> dict[str, Any]:
    """How a fold's run ended, as its last checkpoint tells."""
    ended = CheckpointStore(folder).newest_state().get("ended")
    return ended if isinstance(ended, dict) else {}


def _folds(numbers: Sequence[int]) -> str:
    return f"fold{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def plan_notes(config: Any, scored: Sequence[str]) -> tuple[str, ...]:
    """Of a planned configuration, if scored cases were among those that were measured for the plan.

    Args:
        config: `medicalseg.cvlibs.Config`; `fingerprint.json` beside its file tells the measured cases.
        scored: names of the scored cases.
    """
    measured = _measured(Path(config.path).with_name(FINGERPRINT))
    count = sum(name in measured for name in scored)
    if not count:
        return ()
    if any(step.get("type") == "OrderAlongSpine" and step.get("anchor") for step in _steps(config)):
        note = (
            f"{count} of {len(scored)} scored cases had a say in the plan: anchor of OrderAlongSpine rests on where "
            "their labels begin, so the figures flatter; take it out (crossval tries it out of fold), or plan and "
            "cross-validate a single fold with --fold K and --folds K"
        )
        logger.warning("NOTE: %s.", note)
        return (note,)
    return (
        f"{count} of {len(scored)} scored cases were measured for the plan (spacing, shapes, grey values, frequencies "
        "and directions of labels), as nnU-Net's plans measure all training data",
    )


def _steps(config: Any) -> list[dict[str, Any]]:
    return [step for step in config.dic.get("postprocessing") or () if isinstance(step, dict)]


def _measured(path: Path) -> set[str]:
    """Names of the cases of a fingerprint; none where the file is not one."""
    try:
        cases = read_json_object(path, DataError).get("cases") if path.is_file() else None
    except DataError:
        return set()
    return {str(case.get("case")) for case in cases if isinstance(case, dict)} if isinstance(cases, list) else set()
