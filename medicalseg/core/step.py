"""One optimisation step, in PaddleSeg's order: forward, loss, backward, optimizer, schedule, clear."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle

from medicalseg.losses import compute
from medicalseg.losses.base import as_floats
from medicalseg.losses.class_sums import class_sums
from medicalseg.losses.mask_target import target_of
from medicalseg.losses.rows import overlap_rows
from medicalseg.losses.sharing import sharing
from medicalseg.optimizers import ReduceOnPlateau
from medicalseg.utils import distributed, seeding
from medicalseg.utils.ema import ExponentialMovingAverage

EPSILON = 1e-6


@dataclass(frozen=True)
class StepResult:
    """What a step reports; over all ranks.

    Attributes:
        losses: value of each loss component; their sum is the loss.
        dsc: PaddleSeg's soft Dice of the main head on this batch, percent, mean over classes.
        lr: learning rate of the step.
        finite: whether this rank's own loss was finite.
    """

    losses: tuple[float, ...]
    dsc: float
    lr: float
    finite: bool

    @property
    def loss(self) -> float:
        """Total loss."""
        return sum(self.losses)


@dataclass(frozen=True)
class Precision:
    """Arithmetic of the forward pass on a GPU; the CPU's bf16 is a matter of its layers.

    Attributes:
        name: fp32, fp16 or bf16.
        level: O1 or O2 of `paddle.amp`.
        cast: whether `auto_cast` is used.
    """

    name: str = "fp32"
    level: str = "O1"
    cast: bool = False

    @property
    def dtype(self) -> str:
        """Paddle's name of the half-precision type."""
        return "bfloat16" if self.name == "bf16" else "float16"

    def forward(self) -> contextlib.AbstractContextManager[Any]:
        """Context of the forward pass."""
        if not self.cast:
            return contextlib.nullcontext()
        return paddle.amp.auto_cast(enable=True, level=self.level, dtype=self.dtype)

    def scaler(self) -> Any:
        """Loss scaler for float16, else None."""
        return paddle.amp.GradScaler(init_loss_scaling=1024) if self.cast and self.name == "fp16" else None


class Stepper:
    """Takes training steps.

    Args:
        model: network in training mode.
        losses: `{"types": [...], "coef": [...]}`.
        optimizer: optimizer of the model.
        precision: arithmetic of the forward pass.
        seed: Paddle is seeded from (seed, iteration, rank) before each step, so dropout does not depend on resumes.
        ignore_index: label id that the reported Dice leaves out.
        ema: average to update after each step.
        position: where the schedule stands after a step, in its iterations; None = one further than before.
    """

    def __init__(
        self,
        model: paddle.nn.Layer,
        losses: Mapping[str, Sequence[Any]],
        optimizer: Any,
        precision: Precision,
        seed: int = 0,
        ignore_index: int | None = 255,
        ema: ExponentialMovingAverage | None = None,
        position: Callable[[], float] | None = None,
    ) -> None:
        self._position = position
        self._model, self._losses, self._optimizer = model, losses, optimizer
        self._precision, self._seed, self._ignore_index, self._ema = precision, seed, ignore_index, ema
        self._parameters = model.parameters()
        self.scaler = precision.scaler()

    def __call__(self, iteration: int, images: np.ndarray, labels: np.ndarray) -> StepResult:
        """Step number `iteration` (from 0); the weights are left alone if the loss is not finite.

        Args:
            iteration: iteration from 0.
            images: (N, C, X, Y, Z) float32, or (N, C, H, W).
            labels: (N, X, Y, Z) integer class ids, or (N, K, X, Y, Z) masks of structures; two axes for images.
        """
        paddle.seed(seeding.derive(self._seed, iteration, distributed.rank()))
        target = paddle.to_tensor(labels)
        with self._precision.forward():
            outputs = self._model(paddle.to_tensor(images))
        with sharing():
            with self._precision.forward():
                parts = compute(outputs, target, self._losses)
            result = self._report(outputs[0], target, parts)
        del outputs
        if np.isfinite(result.loss):
            self._update(sum(parts[1:], parts[0]), result.loss, iteration)
        return result

    def _update(self, total: paddle.Tensor, loss: float, iteration: int) -> None:
        (self.scaler.scale(total) if self.scaler else total).backward()
        distributed.average_gradients(self._parameters)
        if self.scaler:
            self.scaler.step(self._optimizer)
            self.scaler.update()
        else:
            self._optimizer.step()
        step_schedule(self._optimizer, loss, None if self._position is None else self._position())
        self._optimizer.clear_grad(set_to_zero=False)
        if self._ema is not None:
            self._ema.update(iteration)

    def _report(self, logits: paddle.Tensor, target: paddle.Tensor, parts: Sequence[paddle.Tensor]) -> StepResult:
        with paddle.no_grad():
            own = paddle.concat([part.detach().astype("float32").reshape([1]) for part in parts])
            sums = soft_dice_sums(logits, target, self._ignore_index)
            together = distributed.all_reduce_sum(paddle.concat([own / distributed.world_size(), sums.flatten()]))
        values = np.asarray(together.numpy(), dtype=np.float64)
        overlap, squares = values[len(parts) :].reshape(2, -1)
        dice = 2 * overlap / np.maximum(squares, EPSILON)
        return StepResult(
            losses=tuple(float(value) for value in values[: len(parts)]),
            dsc=100 * float(dice.mean()),
            lr=float(self._optimizer.get_lr()),
            finite=bool(np.isfinite(own.numpy()).all()),
        )


def step_schedule(optimizer: Any, loss: float, position: float | None = None) -> None:
    """Move the learning-rate schedule on, if there is one: by one iteration, or to `position`."""
    schedule = optimizer._learning_rate
    if isinstance(schedule, ReduceOnPlateau):
        schedule.step(position)
        if schedule.metric == "train_loss":
            schedule.observe(loss)
    elif isinstance(schedule, paddle.optimizer.lr.ReduceOnPlateau):
        schedule.step(loss)
    elif isinstance(schedule, paddle.optimizer.lr.LRScheduler):
        schedule.step(position)


def place_schedule(optimizer: Any, position: float) -> None:
    """Put a learning-rate schedule at a place of its course, in its iterations."""
    schedule = optimizer._learning_rate
    if isinstance(schedule, paddle.optimizer.lr.LRScheduler):
        schedule.step(position)


def soft_dice_sums(logits: paddle.Tensor, label: paddle.Tensor, ignore_index: int | None) -> paddle.Tensor:
    """Per class, over a batch: Σ p t and Σ p² + Σ t, with p the sigmoid of the logits and t the one-hot label, or mask.

    Args:
        logits: (N, K, ...).
        label: (N, ...) integer class ids, or (N, K, ...) masks.
        ignore_index: voxels with this id are left out.

    Returns:
        (2, K) float32.
    """
    labels = target_of(logits, label, ignore_index)
    joint, squares = overlap_rows(sigmoid=True, squared=True)
    sums = class_sums(as_floats(logits), labels, (joint, squares))
    return paddle.stack([sums[joint], sums[squares] + labels.class_counts(sums[squares].dtype)]).astype("float32")
