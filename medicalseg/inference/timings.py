"""Where the time of a prediction goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

STAGES = ("read", "pre", "run", "post", "write")


class Timings:
    """Seconds per stage (read, pre, run, post, write), one value per case."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes to `stage`; nothing if it raises."""
        start = time.perf_counter()
        yield
        self.seconds.setdefault(stage, []).append(time.perf_counter() - start)

    def add(self, other: Timings) -> None:
        """Take over the values of another case."""
        for stage, seconds in other.seconds.items():
            self.seconds.setdefault(stage, []).extend(seconds)

    def mean(self) -> dict[str, float]:
        """Mean seconds per stage, in the order of the stages."""
        order = [stage for stage in STAGES if stage in self.seconds]
        order += [stage for stage in self.seconds if stage not in STAGES]
        return {stage: sum(self.seconds[stage]) / len(self.seconds[stage]) for stage in order}

    def total(self, *stages: str) -> float:
        """Mean seconds per case that some stages take together."""
        return sum(seconds for stage, seconds in self.mean().items() if stage in stages)

    def line(self) -> str:
        """One line for the log, milliseconds per case."""
        means = self.mean()
        parts = [f"{stage} {1000 * seconds:.0f}" for stage, seconds in means.items()]
        return f"ms per case: {', '.join(parts)}, total {1000 * sum(means.values()):.0f}"
