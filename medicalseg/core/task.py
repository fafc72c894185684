"""What task a checkpoint solves: from the `meta.json` beside it, else from the configuration's dataset."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from medicalseg.errors import CheckpointError, ConfigError, UserError
from medicalseg.inference.task import TaskSpec
from medicalseg.utils.checkpoint import META_FILE, read_meta
from medicalseg.utils.logger import logger


def task_for(config: Any, model_path: str | os.PathLike[str]) -> TaskSpec:
    """The task of the network whose weights lie at `model_path`.

    Args:
        config: the `Config` that the network was trained with; its datasets are built only without `meta.json`.
        model_path: a `.pdparams` file or the folder that holds it.

    Raises:
        CheckpointError: if `meta.json` is damaged.
        UserError: if there is neither a `meta.json` nor a dataset on disk.
    """
    meta = read_meta(model_path)
    if meta is not None and "task" in meta:
        try:
            return TaskSpec.from_dict(_with_channels(meta["task"], config))
        except ConfigError as error:
            raise CheckpointError(f"{META_FILE} beside {model_path}: {error}") from error
    for key in ("val_dataset", "train_dataset", "test_dataset"):
        if config.dic.get(key):
            logger.info("No %s beside %s; classes and preprocessing come from %s.", META_FILE, model_path, key)
            return _task_of(getattr(config, key), key)
    raise UserError(
        f"no {META_FILE} lies beside {model_path}, and {config.path} names no dataset that tells classes and "
        "preprocessing"
    )


def _with_channels(content: Any, config: Any) -> Any:
    """A stored task; of old weights, whose preprocessing does not tell the channels, with those of the datasets."""
    steps = content.get("preprocessing") if isinstance(content, Mapping) else None
    if not isinstance(steps, Mapping) or "channels" in steps:
        return content
    blocks = [config.dic.get(key) for key in ("train_dataset", "val_dataset")]
    named = [block["channels"] for block in blocks if isinstance(block, Mapping) and block.get("channels")]
    channels = named[0] if named else None
    return {**content, "preprocessing": {**steps, "channels": channels}}


def _task_of(dataset: Any, key: str) -> TaskSpec:
    task = getattr(dataset, "task", None)
    if not isinstance(task, TaskSpec):
        raise UserError(f"{key}: {type(dataset).__name__} has no `task` that tells its classes and preprocessing")
    return task
