"""When something that happens at intervals is due."""

from __future__ import annotations

from medicalseg.core.time_budget import TimeBudget
from medicalseg.utils.interval import Interval


class Due:
    """Asked once after every iteration.

    A share of the run is one of its iterations, or with a wall-clock budget of its time.

    Args:
        interval: the period; None = never.
        iters: iterations of the run.
        clock: its time.
    """

    def __init__(self, interval: Interval | None, iters: int, clock: TimeBudget) -> None:
        self._clock = clock
        self._share = interval.share if interval is not None and clock.limited else None
        self.period: int | None = None
        if interval is not None and self._share is None:
            self.period = interval.iterations or max(1, round((interval.share or 1) * iters))
        self._passed = self._count()

    def _count(self) -> int:
        return 0 if self._share is None else int(self._clock.progress / self._share + 1e-9)

    def __call__(self, iteration: int) -> bool:
        """Whether it is due after this iteration (from 1)."""
        if self._share is None:
            return self.at(iteration)
        before, self._passed = self._passed, self._count()
        return self._passed > before

    def at(self, iteration: int) -> bool:
        """Whether this iteration is one of the regular ones; unknown, so false, where the clock decides."""
        return self.period is not None and iteration % self.period == 0
