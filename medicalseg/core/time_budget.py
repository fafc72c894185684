"""The wall-clock time of a training: what is used, and with `max_time` how far the run is."""

from __future__ import annotations

import time

from medicalseg.utils import distributed

COUNTED = "training and what happens in between (evaluations, checkpoints); not preparation, nor the final evaluation"


class TimeBudget:
    """Seconds of a run over all its resumes; `start` sets it going, `tick` reads the clock.

    Between two ticks the figures stand still, and with a budget all ranks have those of rank 0, so that all take the
    same decisions.

    Args:
        seconds: the budget; None = no limit.
        used: seconds that earlier parts of the run took.
    """

    def __init__(self, seconds: float | None = None, used: float = 0.0) -> None:
        self.seconds, self.used = seconds, used
        self._before = used
        self._started = time.monotonic()

    def start(self) -> None:
        """Begin to count, on top of what was used before."""
        self._before, self._started = self.used, time.monotonic()

    def tick(self) -> float:
        """Read the clock; returns `progress`."""
        used = self._before + time.monotonic() - self._started
        self.used = used if self.seconds is None else distributed.from_main(used)
        return self.progress

    @property
    def limited(self) -> bool:
        """Whether there is a budget."""
        return self.seconds is not None

    @property
    def progress(self) -> float:
        """Used share of the budget, 0 to 1; 0 without one."""
        return 0.0 if self.seconds is None else min(1.0, self.used / self.seconds)

    @property
    def left(self) -> float:
        """Seconds until the budget is used; infinite without one."""
        return float("inf") if self.seconds is None else max(0.0, self.seconds - self.used)

    @property
    def spent(self) -> bool:
        """Whether the budget is used."""
        return self.left <= 0
