"""The contender's side: sets up what the parent's first line asks for, then answers commands, one JSON line each.

Whatever the contender prints goes to the standard error stream, so that the answers stay readable.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, TextIO

from benchmarks.machine import process_megabytes, session_seconds

FRAMEWORKS = ("paddle", "torch")


def forget_peak() -> None:
    """Make the peak (VmHWM) start again from what is held now."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as stream:
        stream.write("5")


def versions() -> dict[str, str]:
    """Installed distributions behind the imported packages."""
    owners = metadata.packages_distributions()
    names = {name for module in {key.partition(".")[0] for key in sys.modules} for name in owners.get(module, ())}
    return {name: metadata.version(name) for name in sorted(names)}


def check_frameworks() -> None:
    """Refuse Paddle and PyTorch in one process: they would share threads and memory.

    Raises:
        RuntimeError: both are imported.
    """
    if all(name in sys.modules for name in FRAMEWORKS):
        raise RuntimeError("this contender imports both Paddle and PyTorch; each needs a process of its own")


def load_factory(name: str) -> Callable[..., Callable[[], object]]:
    """The function behind "module:function"."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Child:
    """Answers the parent's commands.

    Args:
        stream: where the answers go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._run: Callable[[], object] | None = None
        self._baseline: float | None = None
        self._extra: dict[str, Any] = {}

    def set_up(self, order: Mapping[str, Any]) -> None:
        """Call the factory; `order` holds `factory` and `arguments`."""
        start = time.perf_counter()
        self._run = load_factory(order["factory"])(**order["arguments"])
        check_frameworks()
        forget_peak()
        self._baseline = process_megabytes("VmRSS")
        self._answer(ready=True, seconds=time.perf_counter() - start)

    def obey(self, command: Mapping[str, Any]) -> bool:
        """Carry out one command; False once it was to quit."""
        if command["command"] == "round":
            self._answer(**self._round(int(command.get("count", 1))))
            return True
        self._answer(
            baseline_rss_mb=self._baseline,
            peak_rss_mb=process_megabytes("VmHWM"),
            extra=self._extra,
            versions=versions(),
        )
        return False

    def _round(self, count: int) -> dict[str, float]:
        if self._run is None:
            raise RuntimeError("a round before setting up")
        start, cpu_start = time.perf_counter(), session_seconds()
        for _ in range(count):
            result = self._run()
        seconds, cpu_seconds = time.perf_counter() - start, session_seconds() - cpu_start
        self._extra.update(getattr(result, "extra", None) or {})
        return {"seconds": seconds / count, "cpu_seconds": cpu_seconds / count}

    def _answer(self, **content: Any) -> None:
        self._stream.write(json.dumps(content) + "\n")
        self._stream.flush()


def main() -> None:
    """Obey until told to quit or the parent is gone, then end together with processes of the contender's own."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    child = Child(answers)
    child.set_up(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        if not child.obey(json.loads(line)):
            break
    answers.close()
    sys.stderr.flush()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main()
