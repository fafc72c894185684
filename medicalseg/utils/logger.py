"""Log lines in PaddleSeg's form: `YYYY-MM-DD HH:MM:SS [LEVEL]<tab>message`, on standard output, from rank 0 only."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

FORMAT = logging.Formatter("%(asctime)s [%(levelname)s]\t%(message)s", "%Y-%m-%d %H:%M:%S")

logger = logging.getLogger("medicalseg")
debug, info, warning, error = logger.debug, logger.info, logger.warning, logger.error  # PaddleSeg's functions


class _StandardOutput(logging.StreamHandler):  # type: ignore[type-arg]
    """Looks `sys.stdout` up at every line, so redirection and capture work."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(FORMAT)

    @property
    def stream(self):  # type: ignore[no-untyped-def, override]
        return sys.stdout


def setup(log_file: str | os.PathLike[str] | None = None, level: int = logging.INFO) -> logging.Logger:
    """Make the package's logger print; ranks other than 0 print errors only.

    Args:
        log_file: also append every line to this file (rank 0 only).
        level: threshold for rank 0.
    """
    rank = int(os.environ.get("PADDLE_TRAINER_ID", "0"))
    logger.propagate = False
    logger.setLevel(level if rank == 0 else logging.ERROR)
    if not any(isinstance(handler, _StandardOutput) for handler in logger.handlers):
        logger.addHandler(_StandardOutput())
    if log_file is not None and rank == 0:
        _log_to_file(Path(log_file))
    return logger


def _log_to_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in [h for h in logger.handlers if isinstance(h, logging.FileHandler)]:
        logger.removeHandler(old)
        old.close()
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(FORMAT)
    logger.addHandler(handler)


def to_file(message: str) -> None:
    """Write an error to the log file only; the command line prints it itself."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.emit(logging.LogRecord(logger.name, logging.ERROR, __file__, 0, message, None, None))
