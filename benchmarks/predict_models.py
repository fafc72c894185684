"""The networks whose predictions are timed: trained for a minute on one volume, exported, weights kept for the twin.

`python -m benchmarks.predict_models FOLDER NAME` writes NAME-argmax/, NAME-none/ (deployed models) and NAME.npz (the
weights under PyTorch's names). A network with random weights would make noise of 20 classes, which no network does.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import spine_files, trained_models

CLASSES = 20
INTENSITY = ({"type": "percentile", "low": 0.5, "high": 99.5},)


@dataclass(frozen=True)
class Model:
    """A network and what it is fed with.

    Attributes:
        net: function of `torch_nets`, lower-case name of the network.
        arguments: its arguments, beside channels and classes.
        size: grid that a volume is resized to.
        training_size: grid that it is trained on.
        steps: training steps.
    """

    net: str
    arguments: Mapping[str, Any]
    size: tuple[int, int, int]
    training_size: tuple[int, int, int]
    steps: int
    full: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "full", {"in_channels": 1, "num_classes": CLASSES, **self.arguments})


UNET = {"base_channels": 8, "depth": 5, "norm": "instance", "pool_size": [[2, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 1]]}
VNET = {
    "kernel_size": [[2, 2, 4], [2, 2, 2], [2, 2, 2], [2, 2, 2]],
    "stride_size": [[2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2]],
}
MODELS = {
    "unet3d": Model("unet3d", UNET, (128, 160, 16), (128, 160, 16), 60),
    "vnet": Model("vnet", VNET, (512, 512, 12), (128, 128, 12), 30),
}


def prepared(name: str) -> Path:
    """The folder with everything of a network; made by a process of its own where it is missing."""
    return trained_models.prepared("predict_models", name)


def write(folder: Path, name: str) -> None:
    """Train, export and save the weights; the weights last, because they mean that all is there."""

    from medicalseg.core.export import export
    from medicalseg.inference import Preprocessing, TaskSpec
    from medicalseg.io import read_volume

    model = MODELS[name]
    network = _trained(model)
    whole = Preprocessing(orientation="PIL", intensity=INTENSITY, size=model.size, normalize="zscore")
    task = TaskSpec(CLASSES, preprocessing=whole)
    network.eval()
    every = "all" if all(importlib.util.find_spec(package) for package in ("onnx", "paddle2onnx")) else "paddle"
    image = whole.apply(read_volume(spine_files.image()))[0][None]
    export(network, task, folder / f"{name}-argmax", output_op="argmax", model_format=every, check_image=image)
    windows = replace(task, preprocessing=replace(whole, size=None))
    export(network, windows, folder / f"{name}-none", output_op="none", model_format=every, check_image=image)
    trained_models.save_weights(network, folder, name)


def _trained(model: Model) -> Any:
    import paddle

    from benchmarks.train_ours import network as build
    from medicalseg import ops
    from medicalseg.inference import Preprocessing
    from medicalseg.io import read_label, read_volume

    ops.configure_process()
    paddle.seed(0)
    network = build(model.net, model.full)
    ops.accelerate(network)
    steps = Preprocessing(orientation="PIL", intensity=INTENSITY, size=model.training_size, normalize="zscore")
    image = paddle.to_tensor(steps.apply(read_volume(spine_files.image()))[0][None])
    label = paddle.to_tensor(steps.apply_label(read_label(spine_files.label()))[None].astype("int64"))
    optimizer = paddle.optimizer.AdamW(2e-3, parameters=network.parameters())
    network.train()
    for _ in range(model.steps):
        loss = paddle.nn.functional.cross_entropy(network(image)[0], label, axis=1)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    print(f"cross-entropy after {model.steps} steps: {float(loss):.3f}", file=sys.stderr)
    return network


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2])
