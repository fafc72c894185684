"""How far a run is: one line at the bottom of a terminal; elsewhere nothing, or a log line now and then."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from types import TracebackType

from medicalseg.utils.logger import logger

INTERVAL = 0.2
BAR = 24
SECONDS_BETWEEN_LOG_LINES = 10.0


def clock(seconds: float) -> str:
    """hh:mm:ss."""
    total = max(0, round(seconds))
    return f"{total // 3600:02d}:{total % 3600 // 60:02d}:{total % 60:02d}"


class ProgressLine:
    """A live line on standard error, out of the way of log lines.

    Args:
        total: steps of the whole task.
        title: word before the bar.
        enabled: draw it; None draws when standard error is a terminal.

    Example:
        >>> with ProgressLine(3, "cases", enabled=False) as line:
        ...     line.update(1, "case_a")
    """

    def __init__(self, total: int, title: str = "", enabled: bool | None = None) -> None:
        self._total = max(1, total)
        self._title = title
        self._enabled = sys.stderr.isatty() if enabled is None else enabled
        self._drawn = False
        self._last = 0.0

    def __enter__(self) -> ProgressLine:
        if self._enabled:
            logger.addFilter(self._make_room)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
        logger.removeFilter(self._make_room)

    def update(self, done: int, text: str = "") -> None:
        """Redraw with `done` steps and a note."""
        filled = min(BAR, BAR * done // self._total)
        bar = f"{self._title} [{'#' * filled}{'.' * (BAR - filled)}] {done}/{self._total} {text}"
        self.show(bar.strip(), done >= self._total)

    def show(self, line: str, last: bool = False) -> None:
        """Redraw with a text, unless it was redrawn a moment ago; the `last` one is always drawn."""
        now = time.monotonic()
        if not self._enabled or (now - self._last < INTERVAL and not last):
            return
        self._last = now
        width = shutil.get_terminal_size().columns
        sys.stderr.write("\r\x1b[K" + line[: width - 1])
        sys.stderr.flush()
        self._drawn = True

    def clear(self) -> None:
        """Remove the line."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False

    def _make_room(self, record: logging.LogRecord) -> bool:
        self.clear()
        return True


class Progress:
    """Counts steps: a live line in a terminal, a log line now and then elsewhere.

    Args:
        total: number of steps, or bytes; 0 = unknown.
        title: what is counted.
        unit: "" or "B"; bytes are shown in MB.
        done: what was done before, by an earlier run.
    """

    def __init__(self, total: int, title: str, unit: str = "", done: int = 0) -> None:
        self.total, self.done, self._before = total, done, done
        self._title, self._unit = title, unit
        self._start = self._logged = time.monotonic()
        self._line = ProgressLine(total, title)
        self._live = sys.stderr.isatty()
        self._line.__enter__()

    def step(self, count: int = 1) -> None:
        """Count and show."""
        self.done += count
        now = time.monotonic()
        if self._live:
            self._line.show(self._text(now), self.done == self.total)
        elif now - self._logged > SECONDS_BETWEEN_LOG_LINES:
            logger.info(self._text(now))
            self._logged = now

    def close(self) -> None:
        """Remove the live line."""
        self._line.__exit__(None, None, None)

    def _text(self, now: float) -> str:
        scale, unit, digits = (1e6, " MB", 1) if self._unit == "B" else (1.0, "", 0)
        whole = f"/{self.total / scale:.{digits}f}" if self.total else ""
        text = f"{self._title}: {self.done / scale:.{digits}f}{whole}{unit}"
        spent, own = now - self._start, self.done - self._before
        if own > 0 and self.done < self.total and spent > 1:
            text += f", {spent / own * (self.total - self.done):.0f} s left"
        return text
