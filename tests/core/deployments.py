"""Tiny checkpoints as plans make them, and the verbs that deploy them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml

from medicalseg.cli.main import main
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume, write_volume
from medicalseg.utils.checkpoint import MODEL_FILE, save_state

VOLUMES = """\
model: {{type: PlainConvUNet, in_channels: {channels}, num_classes: 3, features: [4, 8, 12], strides: [1, [2, 2, 1], 2],
  kernel_size: [[3, 3, 1], 3, 3]}}
"""
SLICES = """\
model: {{type: PlainConvUNet2D, in_channels: {channels}, num_classes: 3, features: [4, 8], strides: [1, 2]}}
"""
STEPS = ({"type": "RemoveSmallComponents", "min_volume_mm3": 8.0}, {"type": "KeepLargestComponent", "classes": [2]})


def planned_task(**changes: Any) -> TaskSpec:
    """As the task of a planned PatchDataset is."""
    values: dict[str, Any] = {
        "num_classes": 3,
        "preprocessing": Preprocessing.from_dict(
            {"orientation": "RAS", "spacing": [1.2, 0.9, 1.5], "intensity": [{"type": "zscore"}], "image_order": 3}
        ),
        "sliding": {"window": [16, 16, 8], "overlap": 0.5, "mirror_axes": [0, 2]},
        "restoring": "scores",
        "postprocessing": STEPS,
    }
    return TaskSpec(**{**values, **changes})


def checkpoint(folder: Path, task: TaskSpec, seed: int, more: str = "") -> Path:
    """Weights of a network that decides clearly, with meta.json and a configuration, `more` in it, beside them."""
    folder.mkdir(parents=True)
    config = folder / "config.yml"
    model = VOLUMES if task.slices is None else SLICES
    config.write_text(model.format(channels=task.network_channels) + more)
    from medicalseg.core.trained import open_untrained

    paddle.seed(seed)
    model = open_untrained(config).model
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    last = [key for key in state if state[key].shape[:1] == (3,)]
    for key in last:
        state[key] = state[key] * 20
    save_state(folder / MODEL_FILE, state)
    (folder / "meta.json").write_text(json.dumps({"task": task.to_dict()}))
    return config


def scan(path: Path, shape: tuple[int, int, int] = (20, 27, 9)) -> Path:
    array = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    array[4:14, 6:18, 2:7] += 3
    return write_volume(Volume(array, np.diag([-1.0, 1.1, 1.4, 1])), path)


def run(*words: str | Path) -> None:
    assert main([str(word) for word in words]) == 0


def described(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "deploy.yaml").read_text(encoding="utf-8"))["Deploy"]
