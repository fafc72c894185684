"""What a training run is made of, built from its configuration: data, network, optimizer, average, stepper."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle

from medicalseg import losses, ops
from medicalseg.core.arithmetic import DEFAULT
from medicalseg.core.fit import check_fit, check_heads, check_patches
from medicalseg.core.only_size import with_windows
from medicalseg.core.step import Precision, Stepper
from medicalseg.core.train_options import TrainOptions
from medicalseg.cvlibs.schema import EMA_DECAY
from medicalseg.errors import ConfigError
from medicalseg.inference.task import TaskSpec
from medicalseg.optimizers import ReduceOnPlateau
from medicalseg.utils import distributed
from medicalseg.utils.ema import ExponentialMovingAverage
from medicalseg.utils.logger import logger

NORMS = (paddle.nn.BatchNorm1D, paddle.nn.BatchNorm2D, paddle.nn.BatchNorm3D, paddle.nn.BatchNorm)


@dataclass
class Parts:
    """The parts of one run; `val_dataset`, `plateau` and `ema` where there is one."""

    train_dataset: Any
    val_dataset: Any
    model: paddle.nn.Layer
    optimizer: Any
    plateau: ReduceOnPlateau | None
    ema: ExponentialMovingAverage | None
    stepper: Stepper


def build_parts(config: Any, options: TrainOptions, device: str, position: Callable[[], float] | None) -> Parts:
    """Build everything and check that it belongs together, before any case is read.

    Args:
        config: `medicalseg.cvlibs.Config`.
        options: how to run it.
        device: what it runs on.
        position: see `Stepper`.

    Raises:
        UserError: configuration, data or flags are wrong.
    """
    seed_everything(options.seed)
    train_dataset = config.train_dataset
    val_dataset = config.val_dataset if options.do_eval else None
    if options.do_eval and val_dataset is None:
        raise ConfigError(f"{config.path}: --do_eval needs a val_dataset")
    train_dataset.seed = options.seed
    seed_everything(options.seed)
    model = _model(config, options, device)
    check_fit(model, train_dataset, val_dataset)
    check_heads(model, config.loss)
    check_patches(model, train_dataset, val_dataset)
    for dataset in (train_dataset, val_dataset):
        task = getattr(dataset, "task", None)
        if dataset is not None and isinstance(task, TaskSpec):
            dataset.task = with_windows(task, model)
    optimizer, precision = config.optimizer, _precision(options, device)
    plateau = _plateau_schedule(config, options)
    if precision.cast and options.amp_level == "O2":
        model, optimizer = paddle.amp.decorate(models=model, optimizers=optimizer, level="O2", dtype=precision.dtype)
    distributed.synchronize(model)
    ema = _average(config, options, model)
    stepper = Stepper(
        paddle.jit.to_static(model, full_graph=True) if config.to_static_training else model,
        *(config.loss, optimizer, precision, options.seed),
        ignore_index=train_dataset.ignore_index,
        ema=ema,
        position=position,
    )
    return Parts(train_dataset, val_dataset, model, optimizer, plateau, ema, stepper)


def prepare_data(parts: Parts, config: Any, num_workers: int) -> None:
    """Let datasets that can do all their preprocessing ahead, and class weights that follow it.

    Raises:
        DataError: a case cannot be prepared; names it.
        ConfigError: a loss wants class frequencies and the dataset tells none.
    """
    for dataset in (parts.train_dataset, parts.val_dataset):
        prepare = getattr(dataset, "prepare", None)
        if prepare is not None:
            if distributed.is_main():
                prepare(num_workers)
            distributed.barrier()
    _resolve_class_weights(config, parts.train_dataset)


def _resolve_class_weights(config: Any, dataset: Any) -> None:
    if not losses.wants_class_frequencies(config.loss):
        return
    if not hasattr(dataset, "class_frequencies"):
        raise ConfigError(
            f"loss: a weight asks for class frequencies, which {type(dataset).__name__} does not tell; "
            "give the weights as a list, or use PatchDataset"
        )
    losses.resolve_class_weights(config.loss, dataset.class_frequencies())


def _model(config: Any, options: TrainOptions, device: str) -> paddle.nn.Layer:
    model = config.model
    if device == "cpu" and not config.to_static_training:
        ops.accelerate(model, options.cpu_accel, bf16=options.precision == "bf16")
    if distributed.world_size() > 1 and any(isinstance(layer, NORMS) for layer in model.sublayers()):
        model = _synchronized_norms(model, options, device)
    return model


def _synchronized_norms(model: paddle.nn.Layer, options: TrainOptions, device: str) -> paddle.nn.Layer:
    if options.sync_bn and device != "cpu":
        return paddle.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    reason = "Paddle has no SyncBatchNorm on the CPU" if device == "cpu" else "--sync_bn makes them global"
    logger.info("Batch-norm statistics are per rank (%s); checkpoints hold their mean over the ranks.", reason)
    return model


def _precision(options: TrainOptions, device: str) -> Precision:
    name = options.precision or DEFAULT
    return Precision(name, options.amp_level, name != DEFAULT and device != "cpu")


def _plateau_schedule(config: Any, options: TrainOptions) -> ReduceOnPlateau | None:
    """The schedule, if it looks at a metric; says at which."""
    schedule = config.lr_scheduler
    if not isinstance(schedule, ReduceOnPlateau):
        return None
    if schedule.metric is None:
        schedule.metric = "val_loss" if options.do_eval else "train_loss"
    elif schedule.metric != "train_loss" and not options.do_eval:
        raise ConfigError(f"{config.path}: lr_scheduler.metric: {schedule.metric} needs --do_eval")
    when = "at every iteration" if schedule.metric == "train_loss" else "after every evaluation"
    logger.info("The learning rate follows %s, %s (ReduceOnPlateau).", schedule.metric, when)
    return schedule


def _average(config: Any, options: TrainOptions, model: paddle.nn.Layer) -> ExponentialMovingAverage | None:
    wanted, decay = config.ema, options.ema_decay
    asked = options.use_ema is True or (options.use_ema is None and (wanted is not None or decay is not None))
    if not asked:
        return None
    return ExponentialMovingAverage(model, decay if decay is not None else (wanted or {}).get("decay", EMA_DECAY))


def seed_everything(seed: int) -> None:
    """Seed Paddle's, NumPy's and Python's global generators."""
    paddle.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    random.seed(seed)
