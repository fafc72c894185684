"""One forward pass of a network by medicalseg."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.frame import Outcome, threads
from benchmarks.infer_models import AGREEMENT, MODELS, prepared, rounds


def exported(name: str, backend: str, precision: str) -> Callable[[], Outcome]:
    """A function that computes logits with the exported model.

    Args:
        name: of `infer_models.MODELS`.
        backend: of `medicalseg.inference.backends`.
        precision: "fp32" or "bf16".
    """
    folder = prepared(name)

    from medicalseg.inference.static_network import RuntimeOptions, StaticNetwork

    options = RuntimeOptions(backend=backend, precision=precision, cpu_threads=threads())
    return _timed(name, StaticNetwork(folder / name, options))


def with_options(name: str, calls: Sequence[tuple[str, list[Any]]]) -> Callable[[], Outcome]:
    """A function that computes logits with Paddle Inference, configured by hand.

    Args:
        name: of `infer_models.MODELS`.
        calls: methods of `paddle.inference.Config` and their arguments, made after the threads are set.
    """
    folder = prepared(name) / name

    from medicalseg import ops

    ops.configure_process(threads())
    from paddle import inference

    (graph,) = [file for file in folder.iterdir() if file.name in ("model.json", "model.pdmodel")]
    config = inference.Config(str(graph), str(folder / "model.pdiparams"))
    config.disable_gpu()
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(threads())
    for method, arguments in calls:
        getattr(config, method)(*arguments)
    return _timed(name, Configured(inference.create_predictor(config)), bound=None)


class Configured:
    """A predictor with the method that networks have."""

    def __init__(self, predictor: Any) -> None:
        self.predictor = predictor

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(N, K, X, Y, Z) float32."""
        handle = self.predictor.get_input_handle(self.predictor.get_input_names()[0])
        handle.reshape(list(x.shape))
        handle.copy_from_cpu(x)
        self.predictor.run()
        return self.predictor.get_output_handle(self.predictor.get_output_names()[0]).copy_to_cpu()


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


def _timed(name: str, network: Any, bound: float | None = AGREEMENT) -> Callable[[], Outcome]:
    image = np.load(prepared(name) / f"{name}-image.npy")
    return rounds(name, lambda: network.logits(image), bound)
