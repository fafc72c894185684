"""The parent's side of one contender's process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from benchmarks.frame import THREADS_VARIABLE, Contender
from benchmarks.machine import process_megabytes

ROOT = Path(__file__).resolve().parents[1]
THREAD_VARIABLES = (
    THREADS_VARIABLE,
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "BLOSC_NTHREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


class ContenderError(Exception):
    """A contender's process failed; the message is its last line."""


def child_environment(contender: Contender, threads: int) -> dict[str, str]:
    """Environment of the child: threads the same for all, the project importable, then the contender's own."""
    environment = dict(os.environ)
    environment.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    paths = [str(ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    for name, value in contender.environment.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment


class ContenderProcess:
    """A running contender.

    Args:
        contender: what to run.
        threads: threads it may use.

    Raises:
        ContenderError: setting up failed or took too long.
    """

    def __init__(self, contender: Contender, threads: int) -> None:
        self._contender = contender
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._pending = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=child_environment(contender, threads),
            start_new_session=True,
        )
        self._ask({"factory": contender.factory, "arguments": dict(contender.arguments)})

    def round(self, count: int = 1) -> tuple[float, float]:
        """Seconds and processor seconds of one repetition, the mean over `count`.

        Raises:
            ContenderError: it failed or took too long.
        """
        answer = self._ask({"command": "round", "count": count})
        return float(answer["seconds"]), float(answer["cpu_seconds"])

    def quit(self) -> dict[str, Any]:
        """End the process; its memory, extra and versions.

        Raises:
            ContenderError: it failed.
        """
        answer = self._ask({"command": "quit"})
        self._process.wait(timeout=self._contender.timeout)
        self.close()
        return answer

    def megabytes(self, key: str) -> float:
        """A memory field of the process, VmRSS or VmHWM, in MiB; 0 where the system does not tell."""
        return process_megabytes(key, self._process.pid) or 0.0

    def close(self) -> None:
        """End the process, and those it started, whatever they do."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._send(message)
            return json.loads(self._line())
        except ContenderError:
            self.close()
            raise

    def _send(self, message: Mapping[str, Any]) -> None:
        stream = self._process.stdin
        try:
            stream.write(json.dumps(message).encode() + b"\n")  # type: ignore[union-attr]
            stream.flush()  # type: ignore[union-attr]
        except (BrokenPipeError, OSError) as error:
            raise ContenderError(self._last_line()) from error

    def _line(self) -> bytes:
        stream = self._process.stdout
        descriptor = stream.fileno()  # type: ignore[union-attr]
        deadline = time.monotonic() + self._contender.timeout
        while b"\n" not in self._pending:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise ContenderError(f"no answer within {self._contender.timeout:g} s")
            chunk = os.read(descriptor, 65536)
            if not chunk:
                raise ContenderError(self._last_line())
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _last_line(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        if code < 0:
            return f"killed by {signal.Signals(-code).name}" + (f", after: {lines[-1].strip()}" if lines else "")
        return lines[-1].strip() if lines else f"the process ended with code {code}"
