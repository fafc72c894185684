"""Learning-rate schedules: every one of `paddle.optimizer.lr` by name, with an optional linear warm-up."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from paddle.optimizer import lr

from medicalseg.cvlibs.components import call, check_arguments
from medicalseg.cvlibs.tree import KeyPath, KeyPathError, kind_of, nearest
from medicalseg.optimizers.plateau import ReduceOnPlateau

WARMUP_KEYS = ("warmup_iters", "warmup_start_lr")
PLATEAU = "ReduceOnPlateau"
LENGTHS = {
    "PolynomialDecay": "decay_steps",
    "CosineAnnealingDecay": "T_max",
    "OneCycleLR": "total_steps",
    "LinearLR": "total_steps",
}

_NOT_OFFERED = {
    "LRScheduler": "it is only the base of the others",
    "LambdaDecay": "it needs a Python function, which YAML cannot hold",
    "MultiplicativeDecay": "it needs a Python function, which YAML cannot hold",
}


class Constant(lr.LRScheduler):
    """The same learning rate all along."""

    def get_lr(self) -> float:
        """The learning rate."""
        return float(self.base_lr)


class LinearLR(lr.LinearLR):  # type: ignore[misc]
    """`paddle.optimizer.lr.LinearLR`, which also knows its rate at a step that was not reached one by one."""

    def _get_closed_form_lr(self) -> float:
        done = min(self.last_epoch, self.total_steps) / self.total_steps
        return float(self.base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done))


OURS: dict[str, type] = {"Constant": Constant, "LinearLR": LinearLR, PLATEAU: ReduceOnPlateau}


def scheduler_names() -> list[str]:
    """Every name that `lr_scheduler.type` can have."""
    return sorted({*OURS, *(name for name in lr.__all__ if name not in _NOT_OFFERED)})


def check_scheduler(config: Mapping[str, Any], iters: int | None, path: KeyPath = ("lr_scheduler",)) -> None:
    """Check a schedule's name and arguments without building it.

    Raises:
        KeyPathError: if the name, an argument or the warm-up is wrong.
    """
    name, arguments, warmup, start = _resolve(config, iters or 1, path)
    if name == PLATEAU:
        _plateau(arguments, warmup, start, path)


def build_scheduler(config: Mapping[str, Any], iters: int | None, path: KeyPath = ("lr_scheduler",)) -> lr.LRScheduler:
    """Build a schedule that is stepped once per iteration; ReduceOnPlateau also looks at a metric.

    Args:
        config: `type` (a class of `paddle.optimizer.lr`, or `Constant`), its arguments, and for a linear warm-up
            `warmup_iters` and `warmup_start_lr` (default 0).
        iters: length of the training. PolynomialDecay's `decay_steps`, CosineAnnealingDecay's `T_max` and the
            `total_steps` of OneCycleLR and LinearLR are by default `iters` less the warm-up; PolynomialDecay ends at
            `end_lr` 0 with `power` 0.9.
        path: key path of the block, for messages.

    Raises:
        KeyPathError: if the name, an argument or the warm-up is wrong.
    """
    name, arguments, warmup, start = _resolve(config, iters, path)
    inner = arguments.get("learning_rate")
    if isinstance(inner, Mapping):
        arguments["learning_rate"] = build_scheduler(inner, iters, (*path, "learning_rate"))
    if name == PLATEAU:
        return _plateau(arguments, warmup, start, path)
    schedule = call(_class(name), arguments, path, name)
    if not warmup:
        return schedule
    return lr.LinearWarmup(learning_rate=schedule, warmup_steps=warmup, start_lr=start, end_lr=schedule.base_lr)


def _plateau(arguments: dict[str, Any], warmup: int, start: float, path: KeyPath) -> lr.LRScheduler:
    return call(_class(PLATEAU), {**arguments, "warmup_iters": warmup, "warmup_start_lr": start}, path, PLATEAU)


def _resolve(config: Mapping[str, Any], iters: int | None, path: KeyPath) -> tuple[str, dict[str, Any], int, float]:
    arguments = copy.deepcopy(dict(config))
    name = arguments.pop("type", None)
    _check_name(name, path)
    warmup, start = _warmup(arguments, path)
    _set_defaults(str(name), arguments, None if iters is None else max(iters - warmup, 1), path)
    check_arguments(_class(str(name)), arguments, path, title=str(name))
    if "learning_rate" in arguments:
        _check_rate(arguments["learning_rate"], str(name), iters, (*path, "learning_rate"))
    if warmup and not isinstance(arguments.get("learning_rate"), (int, float)):
        raise KeyPathError((*path, "warmup_iters"), f"a warm-up needs a number for {name}'s learning_rate")
    return str(name), arguments, warmup, start


def _check_name(name: Any, path: KeyPath) -> None:
    if name is None:
        raise KeyPathError(path, f"has no 'type'; allowed: {', '.join(scheduler_names())}")
    if name in _NOT_OFFERED:
        raise KeyPathError((*path, "type"), f"'{name}' cannot be used: {_NOT_OFFERED[name]}")
    if name not in scheduler_names():
        known = scheduler_names()
        raise KeyPathError(
            (*path, "type"), f"'{name}' is not a schedule; allowed: {', '.join(known)}{nearest(name, known)}"
        )


def _check_rate(rate: Any, name: str, iters: int | None, path: KeyPath) -> None:
    if isinstance(rate, Mapping) and name == "LinearWarmup":
        _resolve(rate, iters, path)
    elif isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < float("inf"):
        raise KeyPathError(path, f"must be a number not below 0, got {kind_of(rate)}: {rate!r}")


def _warmup(arguments: dict[str, Any], path: KeyPath) -> tuple[int, float]:
    steps, start = arguments.pop("warmup_iters", None), arguments.pop("warmup_start_lr", None)
    if steps is None:
        if start is not None:
            raise KeyPathError((*path, "warmup_start_lr"), "needs 'warmup_iters' beside it")
        return 0, 0.0
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise KeyPathError((*path, "warmup_iters"), f"must be a whole number not below 0, got {steps!r}")
    start = 0.0 if start is None else start
    if isinstance(start, bool) or not isinstance(start, (int, float)) or start < 0:
        raise KeyPathError((*path, "warmup_start_lr"), f"must be a number not below 0, got {kind_of(start)}: {start!r}")
    rate = arguments.get("learning_rate")
    if isinstance(rate, (int, float)) and start >= rate:
        raise KeyPathError((*path, "warmup_start_lr"), f"{start} must be below learning_rate, {rate}")
    return steps, float(start)


def _set_defaults(name: str, arguments: dict[str, Any], steps: int | None, path: KeyPath) -> None:
    length = LENGTHS.get(name)
    if length is not None and arguments.get(length) is None:
        if steps is None:
            raise KeyPathError(path, f"{name} needs '{length}', or 'iters' or 'epochs' at the top of the file")
        arguments[length] = steps
    if name == "PolynomialDecay":
        arguments.setdefault("end_lr", 0)
        arguments.setdefault("power", 0.9)


def _class(name: str) -> type:
    return OURS.get(name) or getattr(lr, name)


__all__ = ["WARMUP_KEYS", "Constant", "build_scheduler", "check_scheduler", "scheduler_names"]
