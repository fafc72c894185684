"""Export: a trained network becomes files that Paddle Inference runs, with everything a prediction needs beside them.

`deploy.yaml` names the files that were written and holds the task (preprocessing, classes, groups), the input shape,
the kind of output, versions and SHA-256 sums. After writing, the model is loaded with Paddle Inference and compared
with the network it came from.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn

from medicalseg import __version__
from medicalseg.errors import RunError, UserError
from medicalseg.inference.static_network import StaticNetwork
from medicalseg.inference.task import TaskSpec
from medicalseg.utils.files import output_folder, sha256, write_text
from medicalseg.utils.logger import logger

OUTPUT_OPS = ("argmax", "softmax", "none")
LOGIT_TOLERANCE = 1e-3
SMALLEST_CHECK = 16


class _Deployed(nn.Layer):
    """The main head of a network with the output operation that deployment wants."""

    def __init__(self, model: nn.Layer, output_op: str) -> None:
        super().__init__()
        self.model = model
        self.output_op = output_op

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Labels (N, X, Y, Z) int32, or probabilities or logits (N, K, X, Y, Z) float32."""
        logits = self.model(x)[0]
        if self.output_op == "argmax":
            return paddle.argmax(logits, axis=1, dtype="int32")
        if self.output_op == "softmax":
            return nn.functional.softmax(logits, axis=1)
        return logits


def export(
    model: nn.Layer,
    task: TaskSpec,
    save_dir: str | Path,
    *,
    output_op: str = "argmax",
    input_shape: Sequence[int | None] | None = None,
    transforms: Sequence[Mapping[str, Any]] | None = None,
    inference_helper: Mapping[str, Any] | None = None,
) -> Path:
    """Write `model` for Paddle Inference, check it, and return the path of its deploy.yaml.

    Args:
        model: a network whose forward returns a list of logits, the main head first.
        task: what goes into deploy.yaml so that a prediction needs nothing else.
        save_dir: receives the model files and deploy.yaml.
        output_op: "argmax" (int32 labels), "softmax" or "none" (logits).
        input_shape: (N, C, X, Y, Z); None or -1 where any size is accepted. By default all but the channels.
        transforms: the `export.transforms` of the configuration, kept for PaddleSeg's tools.
        inference_helper: the `export.inference_helper` of the configuration, kept likewise.

    Raises:
        UserError: if the output operation, the input shape or `save_dir` is wrong.
        RunError: if the exported model does not compute what the network computes.
    """
    shape = _checked_shape(input_shape, task.in_channels)
    if output_op not in OUTPUT_OPS:
        raise UserError(f"--output_op is one of {', '.join(OUTPUT_OPS)}, not '{output_op}'")
    inputs = check_shape(model, task, shape)
    if hasattr(model, "check_input_shape"):
        model.check_input_shape(inputs)
    save_dir = output_folder(save_dir)
    save_dir.mkdir(parents=True, exist_ok=True)
    with _main_head(model), tempfile.TemporaryDirectory(dir=save_dir, prefix=".tmp-export-") as name:
        folder = Path(name)
        files = _write_model(_Deployed(model, output_op), shape, folder)
        content = _describe(files, task, shape, output_op)
        content["inference_helper"] = dict(inference_helper) if inference_helper else None
        content["transforms"] = [dict(item) for item in transforms] if transforms else [{}]
        write_text(
            folder / "deploy.yaml",
            yaml.safe_dump({"Deploy": content}, sort_keys=False, allow_unicode=True, default_flow_style=None),
        )
        check(model, folder / "deploy.yaml", inputs)
        for file in (*files, folder / "deploy.yaml"):
            os.replace(file, save_dir / file.name)
    return save_dir / "deploy.yaml"


@contextlib.contextmanager
def _main_head(model: nn.Layer) -> Iterator[None]:
    """Evaluation mode with the main head alone, put back afterwards."""
    training, alone = model.training, getattr(model, "main_head_only", None)
    model.eval()
    if alone is not None:
        model.main_head_only = True
    try:
        yield
    finally:
        if alone is not None:
            model.main_head_only = alone
        if training:
            model.train()


def _describe(files: Sequence[Path], task: TaskSpec, shape: Sequence[int | None], output_op: str) -> dict[str, Any]:
    names = [file.name for file in files]
    return {
        "model": next(name for name in names if name.endswith((".json", ".pdmodel"))),
        "params": next(name for name in names if name.endswith(".pdiparams")),
        "input_shape": [-1 if size is None else size for size in shape],
        "output_op": output_op,
        "output_dtype": "int32" if output_op == "argmax" else "float32",
        "task": task.to_dict(),
        "versions": {"medicalseg": __version__, "paddle": paddle.__version__},
        "sha256": {file.name: sha256(file) for file in files},
    }


def check(model: nn.Layer, deploy_yaml: Path, shape: Sequence[int]) -> None:
    """Compare the exported model with the network on one input; a difference over tolerance is an error.

    Args:
        model: the network, in evaluation mode.
        deploy_yaml: what `export` wrote.
        shape: (N, C, X, Y, Z) of the input.

    Raises:
        RunError: naming the difference. Logits may differ by 1e-3 of their largest magnitude; a label may differ only
            where the two logits are that close.
    """
    x = np.random.default_rng(0).random(tuple(shape), dtype=np.float32)
    with paddle.no_grad():
        logits = model(paddle.to_tensor(x))[0].numpy()
    network = StaticNetwork(deploy_yaml)
    tolerance = LOGIT_TOLERANCE * max(1.0, float(np.abs(logits).max()))
    if network.output_op == "argmax":
        labels = network.labels(x)
        chosen = np.take_along_axis(logits, labels[:, None].astype(np.int64), axis=1)[:, 0]
        difference = float((logits.max(axis=1) - chosen).max())
        agreement = float((labels == logits.argmax(axis=1)).mean())
        logger.info("Export check on %s: %.4f %% of the labels agree.", "x".join(map(str, shape)), 100 * agreement)
    else:
        output = network.logits(x)
        expected = _softmax(logits) if network.output_op == "softmax" else logits
        difference = float(np.abs(output - expected).max())
        logger.info("Export check on %s: largest difference %.2e.", "x".join(map(str, shape)), difference)
    if not difference <= tolerance:
        raise RunError(
            f"the exported model differs from the network by {difference:.3g} in its logits "
            f"(allowed {tolerance:.3g}); do not deploy it"
        )


def check_shape(model: nn.Layer, task: TaskSpec, shape: Sequence[int | None]) -> tuple[int, ...]:
    """A concrete input (1, C, X, Y, Z) for `check`: the task's grid, or the smallest the network takes."""
    spatial = [size if size and size > 0 else None for size in shape[2:]]
    known = task.preprocessing.size or (SMALLEST_CHECK,) * len(spatial)
    fitting = getattr(model, "next_input_shape", tuple)(known)
    wanted = [size or default for size, default in zip(spatial, fitting, strict=True)]
    batch = shape[0] if shape[0] and shape[0] > 0 else 1
    return (batch, task.in_channels, *wanted)


def _checked_shape(shape: Sequence[int | None] | None, channels: int) -> list[int | None]:
    if shape is None:
        return [None, channels, None, None, None]
    sizes = [None if size is None or size == -1 else int(size) for size in shape]
    if len(sizes) != 5 or any(size is not None and size < 1 for size in sizes):
        raise UserError(f"--input_shape needs five sizes N C X Y Z (-1 = any), got {list(shape)}")
    if sizes[1] is not None and sizes[1] != channels:
        raise UserError(f"--input_shape has {sizes[1]} channels, the network takes {channels}")
    return [sizes[0], channels, *sizes[2:]]


def _write_model(deployed: nn.Layer, shape: Sequence[int | None], folder: Path) -> list[Path]:
    deployed.eval()
    spec = [paddle.static.InputSpec(list(shape), "float32", name="x")]
    static = paddle.jit.to_static(deployed, input_spec=spec, full_graph=True)
    paddle.jit.save(static, str(folder / "model"))
    return sorted(folder.iterdir())


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
