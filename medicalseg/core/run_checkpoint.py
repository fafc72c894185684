"""What lies in a checkpoint folder: weights, optimizer, scaler, averaged weights, state, and what it was made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle

from medicalseg.core import train_cases
from medicalseg.core.checkpoint_store import TRAINER_FILE, iteration_of, read_trainer
from medicalseg.core.trainer_state import TrainerState
from medicalseg.errors import RunError
from medicalseg.utils import checkpoint, environment, files
from medicalseg.utils.checkpoint import META_FILE, MODEL_FILE, NAME_TABLE, OPTIMIZER_FILE
from medicalseg.utils.ema import ExponentialMovingAverage
from medicalseg.utils.logger import logger

if TYPE_CHECKING:
    from medicalseg.metrics import Summary

EMA_FILE = "ema.pdparams"
SCALER_FILE = "scaler.pdparams"


def save_weights(folder: Path, model: paddle.nn.Layer) -> None:
    """Write `model.pdparams`.

    Raises:
        RunError: a weight is not finite, or the disk is full.
    """
    state = model.state_dict()
    for key, tensor in state.items():
        if paddle.is_floating_point(tensor) and not bool(paddle.isfinite(tensor).all()):
            raise RunError(f"the weights '{key}' are no longer finite; lower the learning rate or clip gradients")
    checkpoint.save_state(folder / MODEL_FILE, state)


def save(
    folder: Path,
    model: paddle.nn.Layer,
    optimizer: Any,
    scaler: Any,
    ema: ExponentialMovingAverage | None,
    state: TrainerState,
) -> None:
    """Write everything that a resume needs."""
    save_weights(folder, model)
    checkpoint.save_state(folder / OPTIMIZER_FILE, optimizer.state_dict())
    if ema is not None:
        checkpoint.save_state(folder / EMA_FILE, ema.state_dict())
    if scaler is not None:
        checkpoint.save_state(folder / SCALER_FILE, scaler.state_dict())
    write_state(folder, state)


def write_state(folder: Path, state: TrainerState) -> None:
    """Write `trainer.json`."""
    files.write_json(folder / TRAINER_FILE, state.to_dict())


def write_meta(
    folder: Path,
    dataset: Any,
    config: Any,
    iteration: int,
    summary: Summary | None = None,
    more: Mapping[str, Any] | None = None,
    earlier: Iterable[str] = (),
) -> None:
    """Write `meta.json`: the task, the merged configuration, versions, the score where there is one, the names of the
    cases that were trained on, those of `earlier` weights included, and `more`."""
    task = getattr(dataset, "task", None)
    metric = None if summary is None else {"foreground_mean": summary.foreground_mean, "grid": summary.grid}
    content = {
        "task": None if task is None else task.to_dict(),
        "config": config.dic,
        "versions": environment.versions(),
        "iteration": iteration,
        "metric": metric,
        train_cases.KEY: _learned(dataset, earlier),
        **(more or {}),
    }
    files.write_json(folder / META_FILE, content)


def _learned(dataset: Any, earlier: Iterable[str]) -> list[str] | None:
    """Names of all cases that the weights have seen; None if nothing is known."""
    own, before = train_cases.names_of(dataset), set(earlier)
    return sorted({*(own or ()), *before}) if own is not None or before else None


def load(
    folder: Path, model: paddle.nn.Layer, optimizer: Any, scaler: Any, ema: ExponentialMovingAverage | None
) -> TrainerState:
    """Restore a run, in place, and return its state.

    A checkpoint of PaddleSeg3D works too; it knows neither best score nor curves.

    Raises:
        CheckpointError: a file is missing, damaged or does not fit.
    """
    content = read_trainer(folder)
    state = TrainerState(iteration=iteration_of(folder)) if content is None else TrainerState.from_dict(content)
    if content is None:
        logger.warning("%s has no %s: best score, curves and data order start anew.", folder, TRAINER_FILE)
    checkpoint.load_model_weights(model, folder)
    _load_optimizer(folder, model, optimizer)
    if ema is not None:
        _load_average(folder, ema, model)
    if scaler is not None and (folder / SCALER_FILE).is_file():
        scaler.load_state_dict(_scaler_state(checkpoint.load_state(folder / SCALER_FILE)))
    return state


def _load_optimizer(folder: Path, model: paddle.nn.Layer, optimizer: Any) -> None:
    state = checkpoint.load_state(folder / OPTIMIZER_FILE)
    saved = checkpoint.load_state(folder / MODEL_FILE, keep_names=True).get(NAME_TABLE)
    own = {key: tensor.name for key, tensor in model.state_dict().items()}
    if isinstance(saved, dict):
        state = checkpoint.rename_optimizer_state(state, saved, own)
    optimizer.set_state_dict(_tensors(state))


def _tensors(state: Mapping[str, Any]) -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, np.ndarray):
            tensors[key] = paddle.to_tensor(value)
            tensors[key].name = key
        else:
            tensors[key] = _tensors(value) if key == "master_weights" else value
    return tensors


def _load_average(folder: Path, ema: ExponentialMovingAverage, model: paddle.nn.Layer) -> None:
    path = folder / EMA_FILE
    if not path.is_file():
        logger.warning("%s has no %s: the average of the weights starts from its weights.", folder, EMA_FILE)
        ema.set_state_dict({key: tensor.numpy() for key, tensor in model.state_dict().items()})
        return
    ema.set_state_dict(checkpoint.load_state(path))


def _scaler_state(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value if not isinstance(value, np.ndarray) else value.astype(np.float32) for key, value in state.items()
    }


def compare(restored: TrainerState, fresh: TrainerState, folder: Path, config: Mapping[str, Any]) -> None:
    """Say what differs between the run that is resumed and this one.

    Raises:
        CheckpointError: `meta.json` is damaged.
    """
    if restored.global_batch and restored.global_batch != fresh.global_batch:
        logger.warning(
            "The run was started with %d samples per iteration and goes on with %d: the data order changes.",
            *(restored.global_batch, fresh.global_batch),
        )
    if restored.global_batch and restored.seed != fresh.seed:
        logger.warning("The run was started with seed %d and goes on with %d.", restored.seed, fresh.seed)
    tell_changes(folder, config)


def tell_changes(folder: Path, config: Mapping[str, Any]) -> None:
    """Warn of keys of the configuration that differ from those that a folder was made with.

    Raises:
        CheckpointError: `meta.json` is damaged.
    """
    before = (checkpoint.read_meta(folder) or {}).get("config")
    if not isinstance(before, dict):
        return
    changed = sorted(key for key in set(before) | set(config) if before.get(key) != _as_json(config.get(key)))
    if changed:
        logger.warning("The configuration differs from that of %s in: %s.", folder, ", ".join(changed))


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    return value
