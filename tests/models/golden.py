"""Comparison with the numbers and key lists of PaddleSeg3D."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from medicalseg.cvlibs.components import build


def wave(count: int, phase: float, step: float) -> np.ndarray:
    """sin(step k + phase), k = 0 .. count - 1."""
    return np.sin(step * np.arange(count) + phase)


def weight(index: int, key: str, shape: list[int], seed: float) -> np.ndarray:
    """Value of entry `index` of the state dict, as `compat/golden_formula.py` defines it."""
    w = wave(int(np.prod(shape)), 0.31 * index + seed, 0.7 + seed / 10)
    if len(shape) > 1:
        w = w * np.sqrt(2 / np.prod(shape[1:]))
    elif key.endswith("_variance"):
        w = 1 + 0.3 * w
    elif key.endswith("._weight"):
        w = 0.25 + 0.1 * w
    elif key.endswith((".weight", ".scale")):
        w = 1 + 0.1 * w
    else:
        w = 0.1 * w
    return w.reshape(shape).astype(np.float32)


def check_golden(path: Path, tolerance: float = 1e-5) -> Any:
    """Build the network of a golden file, fill it by the formula and compare keys, types, shapes and outputs.

    Buffers, such as tables of positions and masks, stay as the network has made them. Returns the network.
    """
    golden = json.loads(path.read_text())
    model = build(golden["model"], "model")
    state = model.state_dict()
    seed = golden["seed"]
    found = [[key, list(value.shape), str(value.dtype).rpartition(".")[2]] for key, value in state.items()]
    assert found == golden["state_dict"]
    buffers = {key for key, _ in model.named_buffers()}
    for i, (key, value) in enumerate(state.items()):
        if key not in buffers:
            value.set_value(weight(i, key, list(value.shape), seed))
    model.eval()
    shape = golden["input_shape"]
    x = wave(int(np.prod(shape)), 0.2 + seed, 0.013 + seed / 100).reshape(shape).astype(np.float32)
    with paddle.no_grad():
        outputs = model(paddle.to_tensor(x))
    assert len(outputs) == len(golden["outputs"])
    for output, expected in zip(outputs, golden["outputs"], strict=True):
        check_output(output.numpy().astype(np.float64), expected, tolerance)
    return model


def check_output(output: np.ndarray, expected: dict[str, Any], tolerance: float) -> None:
    """Compare an output with what `digest` of `compat/golden_formula.py` kept of another implementation's."""
    assert list(output.shape) == expected["shape"]
    np.testing.assert_allclose(output.reshape(-1)[expected["at"]], expected["values"], rtol=0, atol=tolerance)
    np.testing.assert_allclose([output.mean(), output.std()], [expected["mean"], expected["std"]], atol=tolerance)
