"""Training steps of a configuration on random data in a process of their own: what memory and time they take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medicalseg.errors import RunError

STEPS = 3
TIMEOUT = 900.0


@dataclass(frozen=True)
class DryRun:
    """What the steps took.

    Attributes:
        peak_bytes: highest memory of the process (CPU: resident; GPU: allocated on it).
        baseline_bytes: before the network was built.
        seconds: of the fastest step but the first; data loading not counted.
        busy: other processes wanted the cores meanwhile.
    """

    peak_bytes: int
    baseline_bytes: int
    seconds: float
    busy: bool = False


def dry_run(
    config: Path, shape: Sequence[int], *, precision: str = "fp32", device: str = "cpu", regions: bool = False
) -> DryRun | None:
    """Take a few training steps in a child process.

    Args:
        config: the configuration; its datasets are not opened.
        shape: of a batch (N, C, X, Y, Z) or (N, C, H, W).
        precision: fp32, bf16 or fp16.
        device: cpu or gpu.
        regions: labels are masks.

    Returns:
        What it took; None if the memory was not enough.

    Raises:
        RunError: it failed for another reason.
    """
    task = {"config": str(config), "shape": list(shape), "precision": precision, "device": device, "regions": regions}
    command = [sys.executable, "-m", "medicalseg.planning.dry_run", json.dumps(task)]
    environment = os.environ | {"GLOG_minloglevel": "2"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        raise RunError(f"the dry run took more than {TIMEOUT / 60:g} minutes; plan with --no_dry_run") from error
    if done.returncode == 0:
        return DryRun(**json.loads(done.stdout.strip().splitlines()[-1]))
    lines = done.stderr.strip().splitlines()
    if done.returncode in (-9, 137) or any(_is_out_of_memory(line) for line in lines):
        return None
    reason = next((line for line in reversed(lines) if line.strip()), f"exit code {done.returncode}")
    raise RunError(f"the dry run of {config.name} failed: {reason.strip()}; plan with --no_dry_run to skip it")


def _is_out_of_memory(line: str) -> bool:
    words = line.lower()
    return "memoryerror" in words or "out of memory" in words or "resourceexhausted" in words


def peak_resident() -> int:
    """Highest resident memory of this process so far, in bytes."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="ignore") as handle:
            for line in handle:
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import psutil

    memory = psutil.Process().memory_info()
    return int(getattr(memory, "peak_wset", memory.rss))


def run(task: dict[str, Any]) -> dict[str, Any]:
    """The steps themselves, in this process."""
    from medicalseg import ops

    ops.configure_process()
    import numpy as np
    import paddle

    from medicalseg.core.step import Precision, Stepper
    from medicalseg.cvlibs import Config
    from medicalseg.utils import environment
    from medicalseg.utils.ema import ExponentialMovingAverage

    device = environment.choose_device(task["device"])
    on_cpu = device == "cpu"
    config = Config(task["config"], log_notes=False)
    before = peak_resident() if on_cpu else 0
    model, precision = config.model, task["precision"]
    if on_cpu:
        ops.accelerate(model, "auto", bf16=precision == "bf16")
    model.train()
    ema = None if config.ema is None else ExponentialMovingAverage(model, **config.ema)
    stepper = Stepper(model, config.loss, config.optimizer, Precision(precision, "O1", not on_cpu), ema=ema)
    rng = np.random.default_rng(0)
    batch, _, *grid = task["shape"]
    classes = model.num_classes
    seconds = []
    for step in range(STEPS):
        images = rng.standard_normal(task["shape"], dtype=np.float32)
        size = (batch, classes, *grid) if task["regions"] else (batch, *grid)
        labels = rng.integers(0, 2 if task["regions"] else classes, size)
        started = time.perf_counter()
        stepper(step, images, labels.astype(np.uint8 if task["regions"] else np.int64))
        seconds.append(time.perf_counter() - started)
    peak = peak_resident() if on_cpu else int(paddle.device.cuda.max_memory_allocated())
    return {"peak_bytes": peak, "baseline_bytes": before, "seconds": min(seconds[1:]), "busy": on_cpu and is_busy()}


def is_busy() -> bool:
    """Whether more processes want to run than there are cores for, this one included."""
    try:
        return os.getloadavg()[0] > (os.cpu_count() or 1) + 1
    except (AttributeError, OSError):
        return False


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.loads(sys.argv[1]))) + "\n")
