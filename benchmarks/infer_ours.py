"""One forward pass of a network by medicalseg."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.frame import Outcome, threads
from benchmarks.infer_models import MODELS, prepared


def exported(name: str, backend: str, precision: str) -> Callable[[], Outcome]:
    """A function that computes logits with the exported model.

    Args:
        name: of `infer_models.MODELS`.
        backend: of `medicalseg.inference.backends`.
        precision: "fp32" or "bf16".
    """
    folder = prepared(name)

    from medicalseg.inference.static_network import RuntimeOptions, StaticNetwork
    from medicalseg.ops.process import keep_large_blocks

    keep_large_blocks()
    options = RuntimeOptions(backend=backend, precision=precision, cpu_threads=threads())
    return _timed(name, StaticNetwork(folder / name, options))


def eager(name: str, bf16: bool) -> Callable[[], Outcome]:
    """A function that computes logits with the network as `medicalseg predict` runs a checkpoint."""
    folder = prepared(name)

    from medicalseg import ops

    ops.configure_process(threads())
    import paddle

    from benchmarks.train_ours import network as build
    from medicalseg.inference import EagerNetwork

    model = build(MODELS[name].net, MODELS[name].full)
    kept = np.load(folder / f"{name}.npz")
    state = model.state_dict()
    for key, value in zip(state, kept.files, strict=True):
        state[key].set_value(paddle.to_tensor(kept[value]))
    model.eval()
    return _timed(name, EagerNetwork(ops.accelerate(model, "auto", bf16=bf16)))


def _timed(name: str, network: Any) -> Callable[[], Outcome]:
    folder = prepared(name)
    image = np.load(folder / f"{name}-image.npy")
    labels = np.load(folder / f"{name}-labels.npy")
    agreement = float((network.logits(image).argmax(axis=1) == labels).mean())

    def run() -> Outcome:
        network.logits(image)
        return Outcome({"label agreement": round(agreement, 5)})

    return run
