"""One line at the bottom of a terminal that tells how far a run is; nothing where there is no terminal."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from types import TracebackType

from medicalseg.utils.logger import logger

INTERVAL = 0.2
BAR = 24


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
        now = time.monotonic()
        if not self._enabled or (now - self._last < INTERVAL and done < self._total):
            return
        self._last = now
        filled = min(BAR, BAR * done // self._total)
        line = f"{self._title} [{'#' * filled}{'.' * (BAR - filled)}] {done}/{self._total} {text}".strip()
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
