"""The steps that belong to trained weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medicalseg.errors import CheckpointError, ConfigError
from medicalseg.inference.task import TaskSpec
from medicalseg.postprocessing.apply import build_postprocessing
from medicalseg.utils.checkpoint import META_FILE, read_meta
from medicalseg.utils.files import write_json


def set_postprocessing(model_folder: str | os.PathLike[str], steps: Sequence[Mapping[str, Any]]) -> Path:
    """Write steps into the `meta.json` beside weights, in place of those it has; prediction and export apply them.

    Args:
        model_folder: folder with the weights and their `meta.json`.
        steps: blocks {type, ...}; none = the labels stay as the network gives them.

    Returns:
        The file, which is replaced as a whole.

    Raises:
        CheckpointError: if there is no `meta.json` with a task.
        ConfigError: if a step is wrong.
    """
    folder = Path(model_folder)
    meta = read_meta(folder) if folder.exists() else None
    if meta is None or "task" not in meta:
        raise CheckpointError(f"{folder}: has no {META_FILE} with the task of its weights; training writes it")
    try:
        task = TaskSpec.from_dict(meta["task"])
    except ConfigError as error:
        raise CheckpointError(f"{folder / META_FILE}: {error}") from error
    build_postprocessing(steps, task.num_ids)
    task = replace(task, postprocessing=tuple(dict(step) for step in steps))
    target = (folder if folder.is_dir() else folder.parent) / META_FILE
    write_json(target, {**meta, "task": task.to_dict()})
    return target
