"""What a training run evaluates on its way: whole validation cases, patches in between, and the time that takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import paddle

from medicalseg.core.evaluation_limit import EvaluationLimit, TooLong
from medicalseg.core.evaluation_options import without_pictures
from medicalseg.core.pseudo_dice import PATCHES, TITLE, PseudoDice, pseudo_dice
from medicalseg.core.time_budget import TimeBudget
from medicalseg.core.trainer_state import TrainerState
from medicalseg.errors import ConfigError
from medicalseg.metrics import Summary
from medicalseg.utils import distributed
from medicalseg.utils.logger import logger
from medicalseg.utils.progress import clock as clock_text

Evaluate = Callable[..., Summary]
SHARE = 0.2
PSEUDO_SHARE = 0.05
DEFAULT_PSEUDO_INTERVAL = "5%"


class Validation:
    """Evaluates a network; with a wall-clock budget evaluations take at most a fifth of it, patches a twentieth.

    Args:
        evaluate: `medicalseg.core.val.evaluate`, or what stands for it.
        model: the network.
        dataset: validation data.
        arguments: keyword arguments of `evaluate`.
        pseudo_patches: patches of a pseudo-Dice; None: 16.
        seed: which patches.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        model: paddle.nn.Layer,
        dataset: Any,
        arguments: dict[str, Any],
        pseudo_patches: int | None = None,
        seed: int = 0,
    ) -> None:
        self._evaluate, self._model, self._dataset, self._arguments = evaluate, model, dataset, arguments
        self._patches, self._seed = pseudo_patches or PATCHES, seed
        self._last: float | None = None
        self._last_pseudo = self._all_pseudo = 0.0
        self._told = False

    @staticmethod
    def has_patches(dataset: Any) -> bool:
        """Whether a dataset gives patches for a pseudo-Dice."""
        return hasattr(dataset, "validation_patches") and bool(getattr(dataset, "patch_size", True))

    def cases(self, state: TrainerState, clock: TimeBudget | None = None, last: bool = True) -> Summary | None:
        """The whole cases; the time it takes is added to the state's.

        Args:
            state: of the run.
            clock: a budget that a first evaluation, of which nothing is known, must stay within; None = none.
            last: whether it may be the last one, so that pictures and label maps are written.

        Returns:
            The figures; None if the first cases told that all of them would take too long.
        """
        logger.info("Start evaluating at iteration %d...", state.iteration)
        started = time.monotonic()
        more: dict[str, Any] = {} if last else without_pictures(self._arguments)
        if clock is not None and clock.seconds is not None and self._last is None:
            more["limit"] = EvaluationLimit(min(SHARE * clock.seconds - state.evaluation_seconds, clock.left))
        self._model.eval()
        try:
            summary = self._evaluate(self._model, self._dataset, **{**self._arguments, **more})
            self._last = time.monotonic() - started
            return summary
        except TooLong as stop:
            self._last = stop.expected
            self._tell_left_out(stop.expected)
            return None
        finally:
            self._model.train()
            state.evaluation_seconds += time.monotonic() - started

    def is_last_within(self, clock: TimeBudget) -> bool:
        """Whether after one more evaluation the budget has no time for another."""
        return clock.seconds is not None and distributed.from_main(clock.left - 2 * (self._last or 0.0)) <= 0

    def patches(self, state: TrainerState) -> PseudoDice:
        """The patches; the same ones every time."""
        started = time.monotonic()
        result = pseudo_dice(self._model, self._dataset, self._patches, self._seed)
        self._last_pseudo = time.monotonic() - started
        self._all_pseudo += self._last_pseudo
        state.evaluation_seconds += self._last_pseudo
        logger.info("[EVAL] %s: %.4f (%d patches of validation cases)", TITLE, result.mean, result.patches)
        return result

    def affordable_patches(self, clock: TimeBudget) -> bool:
        """Whether another pseudo-Dice stays within a twentieth of the time used of a budget."""
        if clock.seconds is None or not self._all_pseudo:
            return True
        return distributed.from_main(self._all_pseudo + self._last_pseudo) <= PSEUDO_SHARE * clock.used

    def tell_time(self, state: TrainerState, clock: TimeBudget) -> None:
        """Log how long the last evaluation took, and what all of them took of the run."""
        clock.tick()
        share = 100 * state.evaluation_seconds / max(clock.used, 1e-9)
        logger.info(
            "[EVAL] took %s; evaluations have taken %.0f%% of the run so far.", clock_text(self._last or 0.0), share
        )

    def affordable(self, state: TrainerState, clock: TimeBudget) -> bool:
        """Whether another evaluation, judged by the last, stays within what a budget has for them."""
        if clock.seconds is None:
            return True
        expected = distributed.from_main(self._last or 0.0)
        spent = distributed.from_main(state.evaluation_seconds)
        fits = spent + expected <= SHARE * clock.seconds and expected <= clock.left
        if not fits:
            self._tell_left_out(expected)
        return fits

    def _tell_left_out(self, expected: float) -> None:
        if self._told:
            return
        logger.info(
            "Evaluations in between are left out from here on: one takes %s, and they may have %.0f%% of max_time; "
            "the final one is made in any case.",
            *(clock_text(expected), 100 * SHARE),
        )
        self._told = True


def pseudo_interval_of(given: Any, dataset: Any) -> Any:
    """The interval of the pseudo-Dice: as given, else by default where the data give patches; None = never.

    Raises:
        ConfigError: it is asked for and the data give none.
    """
    if dataset is None:
        return None
    if Validation.has_patches(dataset):
        return given if given is not None else DEFAULT_PSEUDO_INTERVAL
    if given is not None:
        raise ConfigError(
            f"pseudo_interval: {type(dataset).__name__} gives no validation patches; use PatchDataset or leave it out"
        )
    return None
