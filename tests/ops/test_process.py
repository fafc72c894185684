"""Threads and allocator."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from medicalseg.errors import UserError
from medicalseg.ops import process
from medicalseg.ops.process import choose_threads


def test_cores_are_shared_among_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "available_cores", lambda: 8)
    monkeypatch.setattr(process, "_users_threads", "")
    monkeypatch.delenv("MEDICALSEG_NUM_THREADS", raising=False)
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "4")
    assert process.default_threads() == 2
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "16")
    assert process.default_threads() == 1


def test_users_choice_is_obeyed_but_not_the_launchers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "available_cores", lambda: 8)
    monkeypatch.setattr(process, "_users_threads", "3")
    monkeypatch.delenv("PADDLE_TRAINER_ID", raising=False)
    monkeypatch.delenv("PADDLE_LOCAL_SIZE", raising=False)
    assert process.default_threads() == 3
    monkeypatch.setenv("PADDLE_TRAINER_ID", "0")
    assert process.default_threads() == 8
    monkeypatch.setenv("MEDICALSEG_NUM_THREADS", "5")
    assert process.default_threads() == 5


def test_threads_are_really_set() -> None:
    code = (
        "from medicalseg import ops; ops.configure_process(2); import ctypes;"
        "print(ctypes.CDLL('libgomp.so.1').omp_get_max_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("2")


def test_paddles_own_convolutions_get_paddles_own_thread_count() -> None:
    code = "\n".join(
        [
            "import ctypes",
            "from medicalseg import ops",
            "from medicalseg.ops.library import paddle_libraries",
            "ops.configure_process(2)",
            "from paddle import nn",
            "lib = ctypes.CDLL(str(paddle_libraries() / 'libiomp5.so'))",
            "seen = []",
            "for mode in ('auto', 'off'):",
            "    ops.accelerate(nn.Conv3D(1, 1, 3), mode)",
            "    seen.append(lib.omp_get_max_threads())",
            "print(seen)",
        ]
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment["MEDICALSEG_NUM_THREADS"] = "2"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip().endswith("[2, 1]")


def test_threads_that_are_asked_for_stay() -> None:
    """Over the environment, and beyond `accelerate`."""
    code = "\n".join(
        [
            "from medicalseg import ops",
            "ops.configure_process(2)",
            "from paddle import nn",
            "ops.accelerate(nn.Conv3D(1, 1, 3), 'auto')",
            "print(ops.process.openmp_threads(), ops.process.default_threads())",
        ]
    )
    environment = {**os.environ, "MEDICALSEG_NUM_THREADS": "3"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.strip().splitlines()[-1] == "2 2"


def test_less_than_one_thread_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1"):
        choose_threads(0)
