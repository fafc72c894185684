"""Several ranks on the CPU: the same loss curve as one process, no hanging, an end when a rank dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tiny_training import command, environment, make_config, run

# Sums over ranks are added in another order than sums over one batch; float32 keeps about 1e-6 of that.
TOLERANCE = 1e-4


def launch(config: Path, folder: Path, *flags: str, ranks: str = "2") -> subprocess.Popen[str]:
    script = command(config, folder, *flags)[1:]
    launcher = ["-m", "paddle.distributed.launch", "--log_dir", str(folder.with_name(folder.name + "_log"))]
    many = ["--nproc_per_node", ranks] if ranks else []
    return subprocess.Popen(
        [sys.executable, *launcher, *many, *script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        cwd=folder.parent,
    )


def finished(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    return output


def test_two_ranks_give_the_curve_of_one_process(tmp_path):
    config = make_config(tmp_path, arguments="base_channels: 2\n  depth: 2\n  norm: instance")
    flags = ["--iters", "6", "--log_iters", "1", "--do_eval", "--is_save_data", "False"]
    alone = run(config, tmp_path / "one", *flags, "--batch_size", "2")
    assert alone.returncode == 0, alone.stderr
    finished(launch(config, tmp_path / "two", *flags, "--batch_size", "1", "--backend", "gloo"))
    one, two = (json.loads((tmp_path / name / "history.json").read_text()) for name in ("one", "two"))
    assert one["iter"] == two["iter"] == [1, 2, 3, 4, 5, 6]
    for column in ("loss", "dsc", "eval_dice", "eval_loss"):
        np.testing.assert_allclose(two[column], one[column], rtol=TOLERANCE, err_msg=column)


def test_launched_as_written_with_one_process(tmp_path):
    config = make_config(tmp_path)
    finished(launch(config, tmp_path / "out", "--iters", "2", ranks=""))
    assert (tmp_path / "out/iter_2/model.pdparams").is_file()


def test_unused_parameters_and_per_rank_statistics(tmp_path):
    strides = "[[4, 4, 4], [2, 2, 2], [1, 1, 1], [1, 1, 1]]"
    config = make_config(tmp_path, "VNetDeepSup", f"kernel_size: {strides}\n  stride_size: {strides}", "1, 1, 1, 1")
    out = tmp_path / "out"
    flags = ["--iters", "1", "--batch_size", "1", "--nproc_per_node", "2"]
    result = run(config, out, *flags)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Batch-norm statistics are per rank" in (out / "train.log").read_text()


def test_a_dead_rank_ends_the_job(tmp_path):
    config = make_config(tmp_path)
    process = launch(config, tmp_path / "out", "--iters", "100000", "--save_interval", "5", "--batch_size", "1")
    while process.poll() is None and not (tmp_path / "out/iter_5").exists():
        time.sleep(0.05)
    os.kill(trainer(process.pid, rank=1), signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Container failed" in output


def trainer(launcher: int, rank: int) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            variables = (folder / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        if parent == launcher and f"PADDLE_TRAINER_ID={rank}".encode() in variables:
            return int(folder.name)
    raise LookupError(f"no rank {rank} below process {launcher}")
