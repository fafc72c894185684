"""What a report says about the process that made it, so that runs can be compared later."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicalseg.utils.environment import processor_name

if TYPE_CHECKING:
    from medicalseg.inference.task import TaskSpec


def run_facts(task: TaskSpec, network: Any = None, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The block `run` of metrics.json.

    Args:
        task: of the network; gives the grid it sees.
        network: a `paddle.nn.Layer`, or anything else.
        known: what the caller knows besides, such as `config` and `model`.
    """
    from medicalseg.ops.process import available_cores

    return {
        "program": program(),
        "network": type(network).__name__ if hasattr(network, "parameters") else None,
        "parameters": _trainable(network),
        "size": None if task.preprocessing.size is None else list(task.preprocessing.size),
        "slices": None if task.slices is None else task.slices.to_dict(),
        "channels": task.network_channels,
        "outputs": task.num_classes,
        **(known or {}),
        "processor": processor_name(),
        "cores": available_cores(),
        "peak_memory_mb": peak_memory_mb(),
        "peak_gpu_memory_mb": _peak_gpu_memory_mb(),
    }


def program(words: list[str] | None = None) -> str:
    """The verb of a command line: val, infer, ...; "train" where an evaluation ran within a training."""
    words = sys.argv if words is None else words
    name = Path(words[0]).stem if words and words[0] else "python"
    return words[1] if name == "medicalseg" and len(words) > 1 else name


def peak_memory_mb() -> float | None:
    """Largest resident memory this process had, in units of 2**20 bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


def _trainable(network: Any) -> int | None:
    if not hasattr(network, "parameters"):
        return None
    return sum(int(p.size) for p in network.parameters() if not p.stop_gradient)


def _peak_gpu_memory_mb() -> float | None:
    paddle = sys.modules.get("paddle")
    if paddle is None or not paddle.is_compiled_with_cuda() or not paddle.get_device().startswith("gpu"):
        return None
    return round(paddle.device.cuda.max_memory_allocated() / 2**20, 1)
