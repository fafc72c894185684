"""Ending a training whose evaluations no longer get better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medicalseg.core.trainer_state import TrainerState
from medicalseg.utils.logger import logger

if TYPE_CHECKING:
    from medicalseg.core.train_options import TrainOptions


@dataclass(frozen=True)
class EarlyStop:
    """The rule of Keras' EarlyStopping: a score counts if it beats that of the last progress by more than `min_delta`.

    Attributes:
        patience: evaluations without progress that end the run; None = any number.
        min_delta: what a score must gain to count.
    """

    patience: int | None = None
    min_delta: float = 0.0

    @classmethod
    def of(cls, config: Any, options: TrainOptions) -> EarlyStop:
        """As the flags say, else the configuration."""
        block, flag = config.early_stop or {}, options.early_stop_min_delta
        patience = options.early_stop_intervals or block.get("intervals")
        return cls(patience, float(block.get("min_delta", 0.0)) if flag is None else flag)

    def look(self, state: TrainerState, score: float) -> None:
        """Take a score into account."""
        if state.progresses(score, self.min_delta):
            state.stop_score, state.evaluations_since_best = score, 0
        else:
            state.evaluations_since_best += 1

    def may_end_next(self, state: TrainerState) -> bool:
        """Whether the next evaluation may end the run."""
        return self.patience is not None and state.evaluations_since_best + 1 >= self.patience

    def ends(self, state: TrainerState) -> bool:
        """Whether the run ends here; says so."""
        if self.patience is None or state.evaluations_since_best < self.patience:
            return False
        logger.info(
            "Early stopping: no better validation %s%s in the last %d evaluations.",
            "loss" if state.best_by == "loss" else "Dice",
            f" (by more than {self.min_delta:g})" if self.min_delta else "",
            self.patience,
        )
        return True
