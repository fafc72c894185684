"""`Config`: one YAML file, read once, checked, and the components it describes, each built once."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from medicalseg.cvlibs import effective, manager
from medicalseg.cvlibs.checks import check_all, check_classes
from medicalseg.cvlibs.components import accepts, build, call, find
from medicalseg.cvlibs.inheritance import load
from medicalseg.cvlibs.overrides import with_environment, with_flags, with_opts, with_run_flags
from medicalseg.cvlibs.plugins import load_plugins
from medicalseg.cvlibs.schema import EMA_DECAY
from medicalseg.cvlibs.tree import (
    KeyPathError,
    Node,
    Source,
    format_path,
    is_override,
    nearest,
    readable,
    source_of,
    to_plain,
)
from medicalseg.cvlibs.warm_up import shortened
from medicalseg.errors import ConfigError
from medicalseg.utils.duration import seconds_of
from medicalseg.utils.logger import logger

Result = TypeVar("Result")
TIMED_ITERS = 10_000
PLANNED_BATCH = (
    "batch_size: 1 means the batch of the plan here, as in PaddleSeg3D, since train_dataset has no plan_path; "
    "--batch_size N takes N patches"
)


class Config:
    """A run described by a YAML file, its `_base_` files and overrides.

    The file is read and checked when the object is made; after that nothing changes it, and a component is built at
    its first access and kept.

    Args:
        path: the `.yml` file.
        learning_rate: replaces the schedule's `learning_rate`.
        iters: replaces `iters`; a schedule length that equalled the old value follows.
        batch_size: replaces `batch_size`.
        epochs: replaces `epochs`, and `iters`.
        max_time: replaces `max_time`.
        grad_clip: replaces the optimizer's gradient clip by one to this global norm.
        fold: replaces the fold of every dataset.
        num_folds: replaces the number of folds of every dataset.
        opts: `key.path=value` items, applied last.
        log_notes: whether the log gets `notes`.

    Raises:
        ConfigError: if anything is wrong; one line that names the file, the line, the key path and what is allowed.

    Example:
        >>> config = Config("configs/mri_spine_seg/vnet.yml", iters=100)  # doctest: +SKIP
        >>> config.iters  # doctest: +SKIP
        100
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        learning_rate: float | None = None,
        iters: int | None = None,
        batch_size: int | None = None,
        opts: Sequence[str] | None = None,
        log_notes: bool = True,
        epochs: int | None = None,
        max_time: str | None = None,
        grad_clip: float | None = None,
        fold: int | str | None = None,
        num_folds: int | None = None,
    ) -> None:
        self._built: dict[str, Any] = {}
        self._path = Path(path)
        notes: list[str] = []
        tree = with_environment(load(self._path))
        if not tree.value:
            raise ConfigError(f"{readable(self._path)}: is empty; a configuration names at least a model")
        tree = with_flags(
            tree,
            learning_rate=learning_rate,
            iters=iters,
            epochs=epochs,
            batch_size=batch_size,
            note=notes.append,
        )
        tree = with_run_flags(tree, max_time=max_time, grad_clip=grad_clip, fold=fold, num_folds=num_folds)
        self._tree = with_opts(tree, opts, notes.append)
        notes += self._located(lambda: load_plugins(self._tree))
        notes += validate(self)
        if self._takes_planned_batch():
            notes.append(PLANNED_BATCH)
        self._notes = tuple(notes)
        for note in notes if log_notes else ():
            logger.log(logging.WARNING if isinstance(note, effective.Caution) else logging.INFO, note)
        self._sealed = True

    def __setattr__(self, name: str, value: Any) -> None:
        if getattr(self, "_sealed", False):
            raise AttributeError(f"a Config never changes; give '{name}' in the file or as an override")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"Config({readable(self._path)!r})"

    @property
    def path(self) -> Path:
        """The file, as it was given."""
        return self._path

    @property
    def tree(self) -> Node:
        """The merged configuration with the source of every value."""
        return self._tree

    @property
    def dic(self) -> dict[str, Any]:
        """The merged configuration as plain mappings; a copy, free to change."""
        return to_plain(self._tree)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the log says about this configuration: ignored keys, values that followed an override."""
        return self._notes

    def source(self, *path: str | int) -> Source:
        """Where a key was written: `config.source("model", "type")`."""
        return source_of(self._tree, path)

    @property
    def batch_size(self) -> int:
        """Samples per step and process; 1 if the file does not say.

        A dataset's class may say by `takes_planned_batch` that the 1 of a file stands for its `planned_batch`, as
        `MSDDataset` does; the training data are then built to know it.
        """
        if self._takes_planned_batch():
            return int(self.train_dataset.planned_batch)
        return self.dic.get("batch_size") or 1

    def _takes_planned_batch(self) -> bool:
        block = self.dic.get("train_dataset")
        if block is None or (self.dic.get("batch_size") or 1) != 1 or is_override(self.source("batch_size")):
            return False
        rule = getattr(find(block, ("train_dataset",), manager.DATASETS), "takes_planned_batch", None)
        return rule is not None and bool(rule(block))

    @property
    def iters(self) -> int:
        """Steps of the training; with `epochs` the training data are built to count them, over all ranks.

        With `max_time` alone it is the length that schedules count with, whatever the number of steps is.
        """
        if self.epochs is not None:
            return self.epochs * self.iters_per_epoch
        if self.max_time is not None and self.dic.get("iters") is None:
            return TIMED_ITERS
        return self._needed("iters")

    @property
    def epochs(self) -> int | None:
        """Passes over the training data that the training takes; None if `iters` says how long it is."""
        return self.dic.get("epochs")

    @property
    def max_time(self) -> float | None:
        """Seconds that the training may take; None = as long as its steps take."""
        value = self.dic.get("max_time")
        return None if value is None else seconds_of(value)

    @property
    def precision(self) -> str | None:
        """fp32, fp16 or bf16; None if the file does not say. The flag `--precision` goes first."""
        return self.dic.get("precision")

    @property
    def iters_per_epoch(self) -> int:
        """Steps that take every training sample once; the last one is filled up."""
        from medicalseg.utils.distributed import world_size

        return -(-len(self.train_dataset) // (self.batch_size * world_size()))

    @property
    def data_root(self) -> str | None:
        """Folder in front of every `dataset_root`."""
        return self.dic.get("data_root")

    @property
    def to_static_training(self) -> bool:
        """Whether the model is trained as a static graph."""
        return bool(self.dic.get("to_static_training", False))

    @property
    def class_groups(self) -> dict[str, tuple[int, ...]]:
        """Lists of class ids by name, for which reports print a mean Dice."""
        return {str(name): tuple(ids) for name, ids in (self.dic.get("class_groups") or {}).items()}

    @property
    def ema(self) -> dict[str, Any] | None:
        """`{"decay": …}` if an exponential moving average of the weights is wanted, else None."""
        plain = self.dic
        if plain.get("use_ema") is False or (plain.get("ema") is None and not plain.get("use_ema")):
            return None
        return {"decay": EMA_DECAY, **(plain.get("ema") or {})}

    @property
    def early_stop(self) -> dict[str, Any] | None:
        """`{"intervals": evaluations without improvement, "min_delta": …}`, or None."""
        plain = self.dic
        if plain.get("early_stop") is not None:
            return {"min_delta": 0.0, **plain["early_stop"]}
        if plain.get("early_stop_intervals") is not None:
            return {"min_delta": 0.0, "intervals": plain["early_stop_intervals"]}
        return None

    @property
    def test_config(self) -> dict[str, Any]:
        """Arguments for the evaluation."""
        return self.dic.get("test_config") or {}

    @property
    def export_config(self) -> dict[str, Any]:
        """The `export` block: transforms and inference helper."""
        return self.dic.get("export") or {}

    @property
    def num_classes(self) -> int:
        """The class count that model and datasets agree on."""
        count = self._located(lambda: check_classes(self.dic))
        if count is None:
            count = self._classes_of_built_dataset()
        return count

    @property
    def model(self) -> Any:
        """The network."""
        return self._once("model", self._build_model)

    @property
    def train_dataset(self) -> Any:
        """The training data."""
        self._needed("train_dataset")
        return self._dataset("train_dataset")

    @property
    def val_dataset(self) -> Any:
        """The validation data; None if the file names none."""
        return self._dataset("val_dataset")

    @property
    def test_dataset(self) -> Any:
        """The test data; None if the file names none."""
        return self._dataset("test_dataset")

    @property
    def loss(self) -> dict[str, list[Any]]:
        """`{"types": [loss per head], "coef": [factor per head]}`."""
        return self._once("loss", self._build_loss)

    @property
    def lr_scheduler(self) -> Any:
        """The learning-rate schedule, stepped once per iteration."""
        return self._once("lr_scheduler", self._build_scheduler)

    @property
    def optimizer(self) -> Any:
        """The optimizer of `model`, driven by `lr_scheduler`."""
        return self._once("optimizer", lambda: self.optimizer_for(self.model))

    def optimizer_for(self, model: Any) -> Any:
        """A new optimizer of a given network, driven by `lr_scheduler`."""
        from medicalseg.optimizers import optimizer_name

        def make() -> Any:
            block = self._needed("optimizer")
            name = optimizer_name(block.pop("type", None), block)
            component = find({"type": name}, ("optimizer",), manager.OPTIMIZERS)
            factory = call(component, block, ("optimizer",), str(name))
            return call(factory, {"model": model, "lr": self.lr_scheduler}, ("optimizer",), str(name))

        return self._located(make)

    def require(self, *keys: str) -> None:
        """Make sure that the file has the blocks a verb needs.

        Raises:
            ConfigError: if one is missing; names the file and the key.
        """
        for key in keys:
            if key != "iters" or (self.epochs is None and self.max_time is None):
                self._needed(key)

    def require_data(self, *keys: str) -> None:
        """Make sure that dataset blocks exist and their folders are on disk, without building them.

        Raises:
            ConfigError: if a block is missing or its `dataset_root` is no folder; says how the data are made if the
                dataset class has an attribute `HOW_TO_GET`.
        """
        self.require(*keys)
        for key in keys:
            self._located(partial(self._check_folder, key))

    def _check_folder(self, key: str) -> None:
        block, _ = effective.dataset(self.dic, key)
        folder = block.get("dataset_root")
        if folder is None or Path(folder).is_dir():
            return
        advice = getattr(find(block, (key,), manager.DATASETS), "HOW_TO_GET", None)
        parent = Path(folder).parent
        near = nearest(Path(folder).name, [item.name for item in parent.iterdir()]) if parent.is_dir() else ""
        where = f"{folder} (seen from {Path.cwd()})" if not Path(folder).is_absolute() else folder
        raise KeyPathError(
            (key, "dataset_root"),
            f"no such folder: {where}{near}; {advice or 'prepare the data, or set data_root (MEDICALSEG_DATA_ROOT)'}",
        )

    def _needed(self, key: str) -> Any:
        value = self.dic.get(key)
        if value is None:
            name = "'iters', 'epochs' or 'max_time'" if key == "iters" else f"'{key}'"
            raise ConfigError(f"{readable(self._path)}: has no {name}, which is needed here")
        return value

    def _once(self, key: str, make: Callable[[], Result]) -> Result:
        if key not in self._built:
            self._built[key] = self._located(make)
        return self._built[key]

    def _dataset(self, key: str) -> Any:
        if self.dic.get(key) is None:
            return None
        return self._once(key, partial(self._build_dataset, key))

    def _build_dataset(self, key: str) -> Any:
        dataset = build(effective.dataset(self.dic, key)[0], (key,))
        found, expected = getattr(dataset, "num_classes", None), check_classes(self.dic)
        if found is not None and expected is not None and found != expected:
            raise KeyPathError((key,), f"the data has {found} classes, the rest of the configuration {expected}")
        if "loss" in self._built:
            self._leave_out(self._built["loss"], dataset)
        return dataset

    def _build_model(self) -> Any:
        self._needed("model")
        block, _ = effective.model(self.dic)
        component = find(block, ("model",), manager.MODELS)
        has_data = any(self.dic.get(key) is not None for key in effective.DATASET_KEYS)
        if has_data and block.get("num_classes") is None and accepts(component, "num_classes"):
            block["num_classes"] = self._classes_of_built_dataset()
        return build(block, ("model",))

    def _classes_of_built_dataset(self) -> int:
        for key in effective.DATASET_KEYS:
            count = getattr(self._dataset(key), "num_classes", None)
            if count is not None:
                return int(count)
        raise KeyPathError(("model", "num_classes"), "is needed, because no dataset tells the class count")

    def _build_loss(self) -> dict[str, list[Any]]:
        self._needed("loss")
        block, _ = effective.loss(self.dic)
        written = len(self.dic["loss"]["types"])
        types = [
            build(item, ("loss", "types", position if position < written else 0))
            for position, item in enumerate(block["types"])
        ]
        losses = {"types": types, "coef": block["coef"]}
        for key in effective.DATASET_KEYS:
            if key in self._built:
                self._leave_out(losses, self._built[key])
        return losses

    def _leave_out(self, losses: dict[str, list[Any]], dataset: Any) -> None:
        """Let losses ignore what the data do, where a dataset's description names another value than its argument."""
        configured, ignored = effective.ignore_index(self.dic), getattr(dataset, "ignore_index", None)
        if configured is None or ignored in (None, configured[1]):
            return
        layers = [layer for loss in losses["types"] for layer in loss.sublayers(include_self=True)]
        for layer in layers:
            if hasattr(layer, "ignore_index"):
                layer.ignore_index = ignored

    def _build_scheduler(self) -> Any:
        from medicalseg.optimizers import build_scheduler

        block, path = effective.lr_scheduler(self.dic)
        iters = self.iters if self.epochs or self.max_time else self.dic.get("iters")
        length = self.source("epochs" if self.epochs else "iters")
        warmup = shortened(block, iters, is_override(length), is_override(self.source(*path, "warmup_iters")))
        if warmup is not None:
            logger.info(
                "Warm-up: %d steps in place of %d (lr_scheduler.warmup_iters), a tenth of this training of %d steps; "
                "--opts lr_scheduler.warmup_iters=N sets it.",
                *(warmup, block["warmup_iters"], iters),
            )
            block = {**block, "warmup_iters": warmup}
        return build_scheduler(block, iters, path)

    def _located(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except KeyPathError as problem:
            if not problem.path:
                raise ConfigError(f"{readable(self._path)}: {problem}") from problem
            source = self.source(*problem.path)
            named = is_override(source) and source.name.split()[-1].lstrip("-") == format_path(problem.path)
            raise ConfigError(f"{source}: {problem.text if named else problem}") from problem


def validate(config: Config) -> list[str]:
    """Check a configuration without building anything; returns notes worth logging.

    Raises:
        ConfigError: at the first thing that is wrong; names the file, the line, the key path and what is allowed.
    """
    return config._located(lambda: check_all(config.dic))
