"""Which weights of a training are the best."""

from __future__ import annotations

from medicalseg.core.trainer_state import TrainerState
from medicalseg.errors import ConfigError
from medicalseg.metrics import Summary


def score_of(summary: Summary, best_by: str) -> float:
    """What decides: the foreground mean Dice, or the loss.

    Raises:
        ConfigError: the loss decides, but was not computed for every case.
    """
    if best_by == "dice":
        return float(summary.foreground_mean)
    if summary.loss is None:
        raise ConfigError("test_config.best: loss needs the loss of the evaluation, which was not computed")
    return float(summary.loss)


def text(state: TrainerState, dice: str = "Dice") -> str:
    """A sentence about the best weights so far, with a blank in front; nothing before the first evaluation.

    Args:
        state: of the run.
        dice: what the score is called; PaddleSeg's line after an evaluation says mDice.
    """
    if not state.best_iteration:
        reason = "no foreground class could be scored" if state.best_by == "dice" else "the loss is not a number"
        return f" No model is the best yet: {reason}." if state.evaluated else ""
    name = dice if state.best_by == "dice" else "loss"
    return (
        f" The model with the best validation {name} ({state.best_score:.4f}) was saved at iter {state.best_iteration}."
    )
