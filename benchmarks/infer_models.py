"""The networks whose inference is timed: trained for a short while on a volume, exported, weights kept for the twin.

`python -m benchmarks.infer_models FOLDER NAME` writes NAME/ (the exported model, logits), NAME.npz (weights under
PyTorch's names), NAME-image.npy and NAME-labels.npy (input, and the network's labels in fp32).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import spine_files, trained_models
from benchmarks.frame import Outcome
from benchmarks.predict_models import CLASSES, INTENSITY, VNET, Model

AGREEMENT = 0.995
RATE = 2e-3
MODELS = {
    "vnet": Model("vnet", VNET, (512, 512, 12), (128, 128, 12), 60),
    "unet3d": Model("unet3d", {"base_channels": 32, "depth": 4}, (128, 128, 128), (64, 64, 64), 40),
    "vnet-small": Model("vnet", VNET, (128, 128, 12), (64, 64, 12), 40),
    "unet3d-small": Model("unet3d", {"base_channels": 32, "depth": 4}, (64, 64, 64), (32, 32, 32), 30),
}


def prepared(name: str) -> Path:
    """The folder with everything of a network; made by a process of its own where it is missing."""
    return trained_models.prepared("infer_models", name)


def rounds(name: str, logits: Callable[[], np.ndarray], bound: float | None) -> Callable[[], Outcome]:
    """A function of one round; its first call, which warms up, also compares the labels.

    Args:
        name: of `MODELS`.
        logits: computes (1, K, X, Y, Z).
        bound: share of the labels that have to agree; None only reports it. That call raises a ValueError if fewer do.
    """
    labels = np.load(prepared(name) / f"{name}-labels.npy")
    extra: dict[str, float] = {}

    def run() -> Outcome:
        output = logits()
        if not extra:
            agreement = float((output.argmax(axis=1) == labels).mean())
            if bound is not None and agreement < bound:
                raise ValueError(f"labels agree in {agreement:.5f} of the voxels, less than {bound}: no result")
            extra["label agreement"] = round(agreement, 5)
        return Outcome(extra)

    return run


def write(folder: Path, name: str) -> None:
    """Train, export and save the weights; the weights last, because they mean that all is there."""
    from medicalseg import ops

    ops.configure_process()
    import paddle

    from benchmarks.train_ours import network as build
    from medicalseg.core.export import export
    from medicalseg.inference import EagerNetwork, TaskSpec
    from medicalseg.io import read_label, read_volume

    model = MODELS[name]
    paddle.seed(0)
    network = ops.accelerate(build(model.net, model.full))
    small, large = _preprocessing(model.training_size), _preprocessing(model.size)
    volume, reference = read_volume(spine_files.image()), read_label(spine_files.label())
    _train(network, small.apply(volume)[0][None], small.apply_label(reference)[None], model.steps)
    network.eval()
    image = large.apply(volume)[0][None]
    found = all(importlib.util.find_spec(package) for package in ("onnx", "paddle2onnx"))
    export(
        network,
        TaskSpec(CLASSES, preprocessing=large),
        folder / name,
        output_op="none",
        model_format="all" if found else "paddle",
        check_image=image,
    )
    np.save(folder / f"{name}-image.npy", image)
    np.save(folder / f"{name}-labels.npy", EagerNetwork(network).labels(image).astype(np.uint8))
    trained_models.save_weights(network, folder, name)


def _preprocessing(size: tuple[int, int, int]) -> Any:
    from medicalseg.inference import Preprocessing

    return Preprocessing(orientation="PIL", intensity=INTENSITY, size=size, normalize="zscore")


def _train(network: Any, image: np.ndarray, label: np.ndarray, steps: int) -> None:
    import paddle

    optimizer = paddle.optimizer.AdamW(RATE, parameters=network.parameters())
    x, y = paddle.to_tensor(image), paddle.to_tensor(label.astype("int64"))
    network.train()
    for _ in range(steps):
        loss = paddle.nn.functional.cross_entropy(network(x)[0], y, axis=1)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    print(f"cross-entropy after {steps} steps: {float(loss):.3f}", file=sys.stderr)


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2])
