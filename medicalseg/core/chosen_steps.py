"""Postprocessing that crossval chose, carried to the network that is trained on all cases beside its folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medicalseg.errors import DataError
from medicalseg.utils.checkpoint import read_meta
from medicalseg.utils.files import read_json_object
from medicalseg.utils.logger import logger

SUMMARY = "summary.json"
OF_CONFIGURATION = "postprocessing_of_the_configuration"
Steps = Sequence[Mapping[str, Any]]


def take_from_crossval(save_dir: Path, weights: Path) -> None:
    """Store beside weights what the crossval of the same `save_dir` chose, if there was one.

    Raises:
        DataError: its summary is damaged.
    """
    path = save_dir / SUMMARY
    found = read_json_object(path, DataError) if path.is_file() else {}
    given, steps = found.get(OF_CONFIGURATION), found.get("postprocessing")
    if isinstance(given, list) and isinstance(steps, list):
        carry(weights, given, steps[len(given) :])


def carry(weights: Path, given: Steps, chosen: Steps) -> None:
    """Store chosen steps beside weights, behind those that the configuration names.

    Args:
        weights: folder of a network trained on all cases; nothing happens if it does not exist.
        given: steps of the configuration that crossval ran with; a network of another one is left alone.
        chosen: what crossval chose on top of them.

    Raises:
        CheckpointError: `meta.json` is damaged.
    """
    from medicalseg.core.out_of_fold import described
    from medicalseg.postprocessing import set_postprocessing

    meta = read_meta(weights) if weights.is_dir() else None
    if meta is None:
        return
    own = (meta.get("config") or {}).get("postprocessing") or []
    if own != [dict(step) for step in given]:
        logger.warning(
            "%s: its configuration names other steps of postprocessing than that of crossval, so what crossval chose "
            "is not stored with it.",
            weights,
        )
        return
    set_postprocessing(weights, (*given, *chosen))
    logger.info("%s: postprocessing chosen by crossval: %s", weights, described(chosen))
