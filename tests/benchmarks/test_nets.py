"""PyTorch's twins are the same networks: parameters, outputs, loss and gradients."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import paddle
import pytest

from benchmarks.batches import batch
from benchmarks.train import NETS
from benchmarks.train_ours import network
from medicalseg.losses import DiceCELoss

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed (extra 'bench')"
)
SHAPES = {"VNet": (2, 1, 16, 16, 12), "UNet3D": (2, 1, 16, 8, 8), "nnU-Net-shaped": (2, 1, 16, 8, 24)}
RENAMED = {"_mean": "running_mean", "_variance": "running_var", "_weight": "weight", "scale": "weight"}


def torch_name(key: str) -> str:
    head, _, last = key.rpartition(".")
    return f"{head}.{RENAMED.get(last, last)}"


def set_norms(model: paddle.nn.Layer) -> None:
    """Statistics as after some training: random weights alone would let the last layers see next to nothing."""
    generator = np.random.default_rng(1)
    for key, value in model.state_dict().items():
        if key.endswith("_variance"):
            value.set_value(generator.uniform(0.02, 0.1, value.shape).astype(np.float32))
        elif key.endswith((".scale", "bn1.weight", "norm.weight")):
            value.set_value(generator.uniform(0.5, 1.5, value.shape).astype(np.float32))


@needs_torch
@pytest.mark.parametrize("name", NETS)
def test_twins(name, root, tmp_path):
    net, arguments, _ = NETS[name]
    if net == "unet3d":
        arguments = {**arguments, "base_channels": 8}
    paddle.seed(0)
    model = network(net, arguments)
    set_norms(model)
    model.eval()
    image, label = batch(SHAPES[name], arguments["num_classes"])
    weights = {torch_name(key): value.numpy() for key, value in model.state_dict().items()}
    asked, answered = tmp_path / "asked.npz", tmp_path / "answered.npz"
    np.savez(asked, network=json.dumps([net, arguments]), image=image, label=label, **weights)
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.benchmarks.twins", str(asked), str(answered)]
    subprocess.run(command, env=environment, cwd=root, check=True)
    (logits,) = model(paddle.to_tensor(image))
    loss = DiceCELoss()(logits, paddle.to_tensor(label))
    loss.backward()
    theirs = np.load(answered)
    assert not theirs["strangers"].tolist()
    assert theirs["parameters"] == sum(value.size for value in model.parameters() if not value.stop_gradient)
    scale = float(np.abs(logits.numpy()).max())
    np.testing.assert_allclose(theirs["logits"], logits.numpy(), atol=2e-4 * scale)
    np.testing.assert_allclose(theirs["loss"], loss.item(), rtol=1e-4)
    trained = [(key, value) for key, value in model.named_parameters() if not value.stop_gradient]
    for key, value in trained:
        found, expected = theirs[f"gradient.{torch_name(key)}"], value.grad.numpy()
        assert np.linalg.norm(found - expected) <= 1e-2 * np.linalg.norm(expected) + 1e-6, key


def test_the_batch_has_every_class():
    image, label = batch((2, 1, 40, 8, 4), 20)
    assert image.dtype == np.float32
    assert label.dtype == np.int64
    assert sorted(np.unique(label)) == list(range(20))


def test_nnunet_shape():
    model = network("nnunet", {"in_channels": 2, "num_classes": 5, "widths": [4, 8]})
    (logits,) = model(paddle.zeros([1, 2, 8, 4, 6]))
    assert logits.shape == [1, 5, 8, 4, 6]
