"""Killed and resumed, bit for bit, in real processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_training import command, environment, make_config, run

from medicalseg.utils.checkpoint import load_state

FILES = ("iter_{n}/model.pdparams", "iter_{n}/model.pdopt", "iter_{n}/ema.pdparams", "best_model/model.pdparams")


def equal(left: object, right: object) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return bool(np.array_equal(left, right))


def flags(iters: int) -> list[str]:
    return [
        *("--iters", str(iters), "--save_interval", "3", "--keep_checkpoint_max", "2", "--log_iters", "3"),
        *("--num_workers", "1", "--do_eval", "--use_ema", "--is_save_data", "False", "--resume", "auto"),
    ]


def writing(folder: Path) -> bool:
    names = os.listdir(folder) if folder.is_dir() else []
    return any(name.startswith((".tmp-iter", ".tmp-best", ".tmp-remove", ".old")) for name in names)


def kill_once(config: Path, folder: Path, iters: int, rng: random.Random, while_writing: bool) -> bool:
    """Start the run, kill it some time after the first checkpoint (or during a write); False if it ended before."""
    process = subprocess.Popen(
        command(config, folder, *flags(iters)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    before = set(folder.glob("iter_*"))
    while process.poll() is None and set(folder.glob("iter_*")) == before:
        time.sleep(0.005)
    patience = time.monotonic() + rng.uniform(0, 0.6)
    while process.poll() is None and time.monotonic() < patience and not (while_writing and writing(folder)):
        pass
    process.kill()
    return process.wait() == -signal.SIGKILL


def compare(config: Path, folder: Path, iters: int, kills: int) -> None:
    whole = run(config, folder / "whole", *flags(iters))
    assert whole.returncode == 0, whole.stderr
    rng = random.Random(7)
    killed = sum(kill_once(config, folder / "cut", iters, rng, while_writing=k % 2 == 0) for k in range(kills))
    assert killed > 0
    rest = run(config, folder / "cut", *flags(iters))
    assert rest.returncode == 0, rest.stderr
    for name in FILES:
        one, two = (load_state(folder / part / name.format(n=iters)) for part in ("whole", "cut"))
        assert equal(one, two), name
    states = [json.loads((folder / part / f"iter_{iters}/trainer.json").read_text()) for part in ("whole", "cut")]
    for state in states:
        for column in ("batch_cost", "reader_cost"):
            del state["history"][column]
        for measured in ("elapsed", "evaluation_seconds"):
            assert state.pop(measured) > 0
        assert state.pop("started") > "2025"
    assert states[0] == states[1]
    assert not [name for name in os.listdir(folder / "cut") if name.startswith(".")]


def test_killed_and_resumed(tmp_path):
    compare(make_config(tmp_path), tmp_path, iters=24, kills=2)


@pytest.mark.slow
def test_killed_many_times(tmp_path):
    compare(make_config(tmp_path), tmp_path, iters=120, kills=12)


def test_sigterm_ends_the_run_with_a_message(tmp_path):
    config = make_config(tmp_path)
    process = subprocess.Popen(
        command(config, tmp_path / "out", *flags(100000)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    while process.poll() is None and not (tmp_path / "out/iter_3").exists():
        time.sleep(0.01)
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "error: stopped by SIGTERM" in errors
