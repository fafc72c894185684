"""Contenders that need no package."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

from benchmarks.frame import Outcome


def steady(log: str, name: str, seconds: float = 0.25) -> Callable[[], object]:
    """Writes its name into a file each time it runs, and prints what must not disturb the answers."""
    print("noise while setting up")

    def run() -> Outcome:
        print("noise while running")
        with Path(log).open("a") as stream:
            stream.write(name + "\n")
        time.sleep(seconds)
        return Outcome({"threads": os.environ["MEDICALSEG_NUM_THREADS"], "omp": os.environ.get("OMP_NUM_THREADS")})

    return run


def broken() -> Callable[[], object]:
    """Fails while setting up."""
    raise ValueError("no such network")


def crashing(calls: int) -> Callable[[], object]:
    """Fails at call number `calls`."""
    left = [calls]

    def run() -> None:
        left[0] -= 1
        if not left[0]:
            raise MemoryError("out of memory at last")

    return run


def killed() -> Callable[[], object]:
    """Ends without a word."""
    return lambda: os.kill(os.getpid(), 9)


def slow() -> Callable[[], object]:
    """Takes too long."""
    return lambda: time.sleep(30)


def hungry(megabytes: int) -> Callable[[], object]:
    """Needs memory while it runs."""

    def run() -> None:
        block = bytearray(megabytes * 2**20)
        block[::4096] = b"x" * len(block[::4096])

    return run


def with_worker(log: str) -> Callable[[], object]:
    """Starts a process that would outlive it, and writes its number into a file."""
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(log).write_text(str(worker.pid))
    return lambda: None


def both_frameworks() -> Callable[[], object]:
    """Imports what must not be imported together."""
    for name in ("paddle", "torch"):
        sys.modules[name] = types.ModuleType(name)
    return lambda: None
