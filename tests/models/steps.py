"""Steps of training for the tests of networks: with and without random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

from medicalseg.models import SegmentationModel
from medicalseg.models.layers.drop_path import DropPath
from medicalseg.models.layers.matrix_decomposition import NMF2D

Step = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def total(heads: list[paddle.Tensor]) -> paddle.Tensor:
    """A loss of all heads."""
    return sum((head.square().mean() for head in heads), paddle.zeros([]))


def train_without_chance(model: SegmentationModel) -> None:
    """Training mode, but for what draws random numbers: accelerated layers may draw theirs in another order."""
    model.train()
    for layer in model.sublayers():
        if isinstance(layer, (nn.Dropout, nn.Dropout2D, nn.Dropout3D, DropPath, NMF2D)):
            layer.eval()


def step(model: SegmentationModel, run: Any, x: paddle.Tensor) -> Step:
    """Every head of `run`, which is the network or its graph, and every gradient of a step of training."""
    paddle.seed(21)
    model.clear_gradients()
    heads = run(x)
    total(heads).backward()
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    model.clear_gradients()
    return {str(number): head.numpy() for number, head in enumerate(heads)}, gradients


def check_step(found: Step, expected: Step, tolerance: float = 1e-4) -> None:
    """Heads, and gradients, agree but for `tolerance` of the largest of them."""
    for got, wanted in zip(found, expected, strict=True):
        assert got.keys() == wanted.keys()
        largest = max(float(np.abs(values).max()) for values in wanted.values())
        for key, values in wanted.items():
            np.testing.assert_allclose(got[key], values, rtol=0, atol=tolerance * largest, err_msg=key)
