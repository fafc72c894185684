"""How long a training runs and when it saves, evaluates and looks at patches."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from medicalseg.core.due import Due
from medicalseg.core.time_budget import COUNTED, TimeBudget
from medicalseg.core.train_options import TrainOptions
from medicalseg.core.validation import pseudo_interval_of
from medicalseg.utils.interval import Interval
from medicalseg.utils.progress import clock as clock_text

SAVE_INTERVAL = 1000
TIMED_SAVE_INTERVAL = "10%"


@dataclass(frozen=True)
class RunLength:
    """The end of a run and the length of its schedule.

    Attributes:
        iters: iterations after which it ends; very many where only the clock ends it.
        schedule: iterations that the learning rate counts with.
        max_time: seconds after which it ends; None = no limit.
    """

    iters: int
    schedule: int
    max_time: float | None = None

    @classmethod
    def of(cls, config: Any, options: TrainOptions) -> RunLength:
        """Of a configuration; with `max_time` its iterations end the run only if a flag asked for them."""
        limited = config.max_time is None or options.limit_iters
        return cls(config.iters if limited else sys.maxsize, config.iters, config.max_time)

    def to_dict(self) -> dict[str, Any]:
        """For `run.json` and `trainer.json`."""
        return {
            "iters": None if self.iters == sys.maxsize else self.iters,
            "schedule_iters": self.schedule,
            "max_time": self.max_time,
        }

    def text(self, used: float) -> str:
        """A sentence about a wall-clock budget; empty without one."""
        if self.max_time is None:
            return ""
        most = "" if self.iters == sys.maxsize else f", and at most {self.iters} iterations"
        before = f" ({clock_text(used)} of it used before)" if used else ""
        return (
            f"Wall-clock budget {clock_text(self.max_time)}{before}{most}. It counts {COUNTED}. The schedule of "
            f"{self.schedule} iterations is spread over it, so a run on another machine, or one that is resumed, "
            "is not the same bit by bit."
        )


@dataclass
class Occasions:
    """When to save, to evaluate whole cases, and to look at patches."""

    save: Due
    validate: Due
    pseudo: Due

    @classmethod
    def of(
        cls, config: Any, options: TrainOptions, length: RunLength, clock: TimeBudget, val_dataset: Any
    ) -> Occasions:
        """From flags, else keys of the file, else the defaults."""

        def due(value: Any) -> Due:
            return Due(None if value is None else Interval.parse(value), length.schedule, clock)

        def given(name: str) -> Any:
            flag = getattr(options, name)
            return config.dic.get(name) if flag is None else flag

        regular = config.iters_per_epoch if config.epochs else SAVE_INTERVAL
        save = given("save_interval") or (TIMED_SAVE_INTERVAL if length.max_time is not None else regular)
        pseudo = pseudo_interval_of(given("pseudo_interval"), val_dataset)
        return cls(due(save), due(given("val_interval") or save), due(pseudo))
