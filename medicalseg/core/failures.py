"""Failures of the machine, told in one line."""

from __future__ import annotations

import errno

from medicalseg.errors import RunError
from medicalseg.utils import distributed

STOPPED = "stopped by SIGTERM; checkpoints written so far are kept (--resume auto continues)"
_CONNECTION = ("gloo", "Connection", "nccl", "NCCL", "TCPStore", "tcp_utils", "tcp_store", "bkcl", "ProcessGroup")
_MEMORY = ("ResourceExhausted", "Out of memory", "out of memory", "Cannot allocate")


class StoppedError(RunError):
    """The run was asked to stop by a signal."""


def as_run_error(error: BaseException) -> RunError | None:
    """The RunError for a failure whose cause is known, else None."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"the disk is full: {error}; checkpoints written before are kept (--resume auto continues)")
    text = str(error)
    if STOPPED in text:  # raised within a layer's Python code, which Paddle reports as an error of its own
        return StoppedError(STOPPED)
    if isinstance(error, MemoryError) or any(word in text for word in _MEMORY):
        return RunError(f"out of memory: {_line(text, _MEMORY)}; use a smaller batch_size or smaller volumes")
    if distributed.is_active() and any(word in text for word in _CONNECTION):
        return RunError(
            f"rank {distributed.rank()} lost the other ranks: {_line(text, _CONNECTION)}; one of them probably died, "
            "see the launcher's log/workerlog.N"
        )
    return None


def _line(text: str, words: tuple[str, ...]) -> str:
    lines = [line.strip() for line in text.splitlines() if any(word in line for word in words)]
    return lines[0] if lines else "no further message"
