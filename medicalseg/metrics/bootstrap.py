"""How far a mean would move with other cases: percentile intervals of the bootstrap over cases (Efron 1979)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medicalseg.errors import UserError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A confidence interval; `low` and `high` are NaN where there are fewer than two cases."""

    low: float
    high: float

    def to_list(self) -> list[float]:
        """Low and high."""
        return [self.low, self.high]


class Bootstrap:
    """Cases drawn anew with replacement, the same draws for every figure.

    Args:
        cases: how many there are.
        draws: how often; 0 gives no interval.
        seed: of the draws.
        confidence: share of the draws within the interval.

    Raises:
        UserError: if a value is wrong.
    """

    def __init__(self, cases: int, draws: int = 1000, seed: int = 0, confidence: float = CONFIDENCE) -> None:
        if draws < 0 or not 0 < confidence < 1:
            raise UserError(
                f"bootstrap: expected draws from 0 on and a confidence between 0 and 1, got {draws}, {confidence}"
            )
        self.cases, self.draws, self.seed, self.confidence = cases, draws, seed, confidence
        random = np.random.default_rng(seed)
        even = np.full(cases, 1.0 / max(cases, 1))
        self._counts = random.multinomial(cases, even, size=draws) if cases > 1 else np.zeros((0, cases), np.int64)

    def __str__(self) -> str:
        return (
            f"{self.confidence:.0%} percentile bootstrap over {self.cases} cases, {self.draws} draws, seed {self.seed}"
        )

    def means(self, values: np.ndarray) -> np.ndarray:
        """Means over the drawn cases.

        Args:
            values: (cases,) or (cases, classes); NaN = not applicable, left out.

        Returns:
            (draws,) or (draws, classes); NaN where no drawn case is applicable.
        """
        present = ~np.isnan(values)
        sums = self._counts @ np.where(present, values, 0.0)
        numbers = self._counts @ present.astype(float)
        return np.divide(sums, numbers, out=np.full(sums.shape, np.nan), where=numbers > 0)

    def interval(self, means: np.ndarray) -> Interval:
        """The interval of (draws,) means; draws without a mean are left out."""
        present = means[~np.isnan(means)]
        if not present.size:
            return Interval(float("nan"), float("nan"))
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(present, (tail, 1 - tail))
        return Interval(float(low), float(high))
