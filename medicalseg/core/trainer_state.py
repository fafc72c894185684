"""What a training run has to remember besides weights: iteration, best score, curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from medicalseg.errors import CheckpointError

TRAIN_COLUMNS = ("iter", "loss", "dsc", "lr", "batch_cost", "reader_cost")
EVAL_COLUMNS = ("eval_iter", "eval_dice", "eval_loss")


def empty_history() -> dict[str, list[float]]:
    """Curves of a run without a step: one list per column."""
    return {name: [] for name in TRAIN_COLUMNS + EVAL_COLUMNS}


@dataclass
class TrainerState:
    """State of a run; a checkpoint's `trainer.json`.

    Attributes:
        iteration: steps done.
        best_score: best foreground mean so far; -1 before the first evaluation.
        best_iteration: when it was reached; 0 before.
        evaluations_since_best: for early stopping.
        evaluated: whether `iteration` was evaluated already.
        saved: iterations of this run's checkpoints that are kept, oldest first.
        seed: seed of the run.
        global_batch: samples per step over all ranks.
        history: curves, equally long lists: `iter`, `loss`, `dsc`, `lr`, ... and `eval_iter`, `eval_dice`, ...
    """

    iteration: int = 0
    best_score: float = -1.0
    best_iteration: int = 0
    evaluations_since_best: int = 0
    evaluated: bool = False
    saved: list[int] = field(default_factory=list)
    seed: int = 0
    global_batch: int = 0
    history: dict[str, list[float]] = field(default_factory=empty_history)

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
        return state

    def record(self, columns: Mapping[str, float]) -> None:
        """Append one value to each named curve."""
        for name, value in columns.items():
            self.history.setdefault(name, []).append(value)
