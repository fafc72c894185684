"""A learning rate that falls when a score stops improving."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from paddle.optimizer import lr

from medicalseg.errors import ConfigError
from medicalseg.utils.logger import logger

METRICS = ("val_loss", "val_dice", "train_loss")
MODES = {"val_loss": "min", "val_dice": "max", "train_loss": "min"}


class ReduceOnPlateau(lr.LRScheduler):
    """Multiply the learning rate by `factor` when the metric has not improved for more than `patience` looks at it.

    The rule is that of `paddle.optimizer.lr.ReduceOnPlateau` (and PyTorch's). The metrics of validation are looked at
    once per evaluation, the training loss, as by PaddleSeg, at every iteration.

    Args:
        learning_rate: at the start.
        metric: "val_loss", "val_dice" (the foreground mean Dice) or "train_loss"; null: `val_loss` where the training
            evaluates, else `train_loss`.
        mode: "min" or "max"; null: what improves the metric.
        factor: between 0 and 1.
        patience: looks without improvement that are let pass.
        threshold: what is less of an improvement counts as none.
        threshold_mode: "rel" (of the best) or "abs".
        cooldown: looks after a reduction that do not count.
        min_lr: lowest learning rate.
        epsilon: a smaller change of the learning rate is not made.
        warmup_iters: iterations of a linear warm-up, during which nothing is looked at.
        warmup_start_lr: where it starts.

    Raises:
        ConfigError: an argument is wrong.
    """

    def __init__(
        self,
        learning_rate: float,
        metric: str | None = None,
        mode: str | None = None,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        epsilon: float = 1e-8,
        warmup_iters: int = 0,
        warmup_start_lr: float = 0.0,
    ) -> None:
        numbers = {"factor": factor, "threshold": threshold, "min_lr": min_lr, "epsilon": epsilon}
        counts = {"patience": patience, "cooldown": cooldown}
        _check_numbers(numbers, counts)
        _check_choice("metric", metric, METRICS)
        _check_choice("mode", mode, ("min", "max"))
        _check_choice("threshold_mode", threshold_mode, ("rel", "abs"))
        self.metric = metric
        self._warmup, self._start = warmup_iters, warmup_start_lr
        self._plateau = lr.ReduceOnPlateau(
            learning_rate,
            mode=mode or MODES.get(metric or "", "min"),
            threshold_mode=threshold_mode or "rel",
            **numbers,
            **counts,
        )
        super().__init__(learning_rate)

    def get_lr(self) -> float:
        """The learning rate."""
        if self.last_epoch < self._warmup:
            return float(self._start + (self.base_lr - self._start) * self.last_epoch / self._warmup)
        return float(self._plateau.last_lr)

    def observe(self, value: float | None) -> None:
        """Look at the metric; one that is not finite, or not known, is passed over."""
        if self.last_epoch < self._warmup:
            return
        if value is None or not math.isfinite(value):
            logger.warning(
                "lr_scheduler: %s is %s at this evaluation; the schedule passes it over.", self.metric, value
            )
            return
        before = self._plateau.last_lr
        self._plateau.step(float(value))
        self.last_lr = self.get_lr()
        if self._plateau.last_lr < before:
            logger.info(
                "Learning rate reduced from %g to %g: %s has not improved on %g.",
                *(before, self._plateau.last_lr, self.metric, self._plateau.best),
            )

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs."""
        return {**super().state_dict(), "plateau": dict(self._plateau.state_dict())}

    def set_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`; that of Paddle's own class works too."""
        if "plateau" in state_dict:
            super().set_state_dict({key: value for key, value in state_dict.items() if key != "plateau"})
            self._plateau.set_state_dict(dict(state_dict["plateau"]))
        else:
            self._plateau.set_state_dict(state_dict)
            self.last_epoch, self.last_lr = state_dict["last_epoch"], state_dict["last_lr"]


def _check_numbers(numbers: Mapping[str, Any], counts: Mapping[str, Any]) -> None:
    for name, value in {**numbers, **counts}.items():
        kind, title = (int, "whole number") if name in counts else ((int, float), "number")
        if isinstance(value, bool) or not isinstance(value, kind) or value < 0:
            raise ConfigError(f"{name}: expected a {title} not below 0, got {value!r}")
    if not 0 < numbers["factor"] < 1:
        raise ConfigError(f"factor: expected a number between 0 and 1, got {numbers['factor']!r}")


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise ConfigError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")
