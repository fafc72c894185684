"""The end of an evaluation whose first cases tell that all of them would take too long."""

from __future__ import annotations

import time

from medicalseg.utils import distributed

LOOKS = (1, 2)


class TooLong(Exception):  # noqa: N818
    """An evaluation was given up.

    Attributes:
        expected: seconds that all cases would take.
    """

    def __init__(self, expected: float) -> None:
        super().__init__(f"all cases would take {expected:.0f} s")
        self.expected = expected


class EvaluationLimit:
    """Seconds that an evaluation may take; rank 0 judges for all after its first and its second case.

    The first case also pays for what is done once: it ends an evaluation only if a second one like it would not fit.
    The second tells what each further one takes. What is complete is never given up.

    Args:
        seconds: the limit.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._started = time.monotonic()
        self._first, self._looks = 0.0, 0

    def case_done(self, done: int, total: int) -> None:
        """Take in that `done` of this rank's `total` cases are done.

        Raises:
            TooLong: all of them would take longer.
        """
        if done not in LOOKS:
            return
        used = time.monotonic() - self._started
        if done == total:
            self._look(0.0)
        elif done == 1:
            self._first = used
            self._look(total * used if 2 * used > self.seconds else 0.0)
        else:
            self._look(used + (total - done) * (used - self._first))

    def all_done(self) -> None:
        """Take part in what other ranks still have to judge; for a rank with fewer cases than looks.

        Raises:
            TooLong: another rank found so.
        """
        while self._looks < len(LOOKS):
            self._look(0.0)

    def _look(self, expected: float) -> None:
        self._looks += 1
        expected = distributed.from_main(expected)
        if expected > self.seconds:
            raise TooLong(expected)
