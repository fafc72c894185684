"""What a training run has to remember besides weights: iteration, best score, curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from medicalseg.errors import CheckpointError

TRAIN_COLUMNS = ("iter", "loss", "dsc", "lr", "batch_cost", "reader_cost")
EVAL_COLUMNS = ("eval_iter", "eval_dice", "eval_loss")
PSEUDO_COLUMNS = ("pseudo_iter", "pseudo_dice")


def empty_history() -> dict[str, list[float]]:
    """Curves of a run without a step: one list per column."""
    return {name: [] for name in TRAIN_COLUMNS + EVAL_COLUMNS + PSEUDO_COLUMNS}


@dataclass
class TrainerState:
    """State of a run; a checkpoint's `trainer.json`.

    Attributes:
        started: when the run was started, anew or from a checkpoint that was named, in UTC (ISO 8601); runs of one
            folder are told apart by it.
        iteration: steps done.
        best_score: foreground mean of the best weights so far, or their loss; -1 before the first evaluation.
        best_iteration: when it was reached; 0 before.
        evaluations_since_best: for early stopping: since the score last rose by what counts as an improvement.
        stop_score: the score that it rose to then; None before.
        best_by: what decides which weights are the best: "dice" or "loss".
        evaluated: whether `iteration` was evaluated already.
        saved: iterations of this run's checkpoints that are kept, oldest first.
        seed: seed of the run.
        global_batch: samples per step over all ranks.
        schedule: state of a learning-rate schedule that follows the evaluations.
        history: curves, equally long lists: `iter`, `loss`, `dsc`, `lr`, ... and `eval_iter`, `eval_dice`, ... and
            `pseudo_iter`, `pseudo_dice`.
        elapsed: seconds of training so far, evaluations in between counted; what `max_time` is compared with.
        evaluation_seconds: those of them that evaluations took.
        ended: how the run ended: `{"iters": …, "max_time": …, "early": whether it stopped early, "plateau": the metric
            that the learning rate followed, or None}`; None before.
        earlier_cases: names of cases that the weights have seen and this run does not train on: of a run that was
            resumed with others, or of pretrained weights.
        files: hash by case of what the run was started with, so that files that change later are told.
    """

    started: str = ""
    iteration: int = 0
    best_score: float = -1.0
    best_iteration: int = 0
    evaluations_since_best: int = 0
    stop_score: float | None = None
    best_by: str = "dice"
    evaluated: bool = False
    saved: list[int] = field(default_factory=list)
    seed: int = 0
    global_batch: int = 0
    schedule: dict[str, Any] | None = None
    history: dict[str, list[float]] = field(default_factory=empty_history)
    elapsed: float = 0.0
    evaluation_seconds: float = 0.0
    ended: dict[str, Any] | None = None
    earlier_cases: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TrainerState:
        """Inverse of `to_dict`; keys of newer versions are ignored.

        Raises:
            CheckpointError: a value is of the wrong kind.
        """
        known = {item.name for item in fields(cls)}
        state = cls(**{key: value for key, value in content.items() if key in known})
        if not isinstance(state.iteration, int) or not isinstance(state.history, dict):
            raise CheckpointError("trainer.json is damaged: 'iteration' or 'history' is of the wrong kind")
        state.history = {**empty_history(), **state.history}
        if "stop_score" not in content and state.best_iteration:
            state.stop_score = state.best_score
        return state

    def improves(self, score: float) -> bool:
        """Whether a score is better than the best; one that is not a number never is."""
        return self._beats(score, self.best_score if self.best_iteration or self.best_by == "dice" else None)

    def progresses(self, score: float, by: float) -> bool:
        """Whether a score is better by more than `by` than the one of the last progress, for early stopping."""
        return self._beats(score, self.stop_score, by)

    def _beats(self, score: float, other: float | None, by: float = 0.0) -> bool:
        if other is None or not math.isfinite(score):
            return math.isfinite(score)
        return (other - score if self.best_by == "loss" else score - other) > by

    def forget_best(self, best_by: str) -> None:
        """Start anew with what decides."""
        self.best_by, self.best_score, self.best_iteration = best_by, -1.0, 0
        self.stop_score, self.evaluations_since_best = None, 0

    def record(self, columns: Mapping[str, float]) -> None:
        """Append one value to each named curve."""
        for name, value in columns.items():
            self.history.setdefault(name, []).append(value)
