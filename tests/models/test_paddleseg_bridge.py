"""Networks of paddleseg: a stand-in package for the rules, the real one where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg.cvlibs.components import build, check
from medicalseg.cvlibs.tree import KeyPathError
from medicalseg.errors import ConfigError, MissingDependencyError, UserError
from medicalseg.models.paddleseg_bridge import PaddleSegNetwork
from medicalseg.utils.checkpoint import save_state
from tests.models.base import image
from tests.models.predictor import run_exported

REGISTRIES = """
class Registry(dict):
    components_dict = property(lambda self: self)
MODELS, BACKBONES = Registry(), Registry()
"""
NETWORKS = """
from paddle import nn
from paddleseg.cvlibs import manager

class Encoder(nn.Layer):
    def __init__(self, in_channels=3, pretrained=None):
        super().__init__()
        assert pretrained is None
        self.conv = nn.Conv2D(in_channels, 4, 3, padding=1)
    def forward(self, x):
        return self.conv(x)

class Two(nn.Layer):
    def __init__(self, num_classes, in_channels=3, pretrained=None):
        super().__init__()
        assert pretrained is None
        self.conv = nn.Conv2D(in_channels, num_classes, 3, padding=1)
    def forward(self, x):
        y = self.conv(x)
        return [y, y * 2] if self.training else [y]

class OnEncoder(nn.Layer):
    def __init__(self, num_classes, backbone):
        super().__init__()
        self.backbone, self.head = backbone, nn.Conv2D(4, num_classes, 1)
    def forward(self, x):
        return [self.head(self.backbone(x))]

manager.MODELS.update(Two=Two, OnEncoder=OnEncoder)
manager.BACKBONES.update(Encoder=Encoder)
"""


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "paddleseg"]:
        del sys.modules[name]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = tmp_path / "site" / "paddleseg"
    for part, text in (("", ""), ("cvlibs", "from . import manager"), ("models", NETWORKS)):
        (root / part).mkdir(parents=True)
        (root / part / "__init__.py").write_text(text)
    (root / "cvlibs" / "manager.py").write_text(REGISTRIES)
    monkeypatch.syspath_prepend(str(root.parent))
    forget()
    yield root
    forget()


def network(**block: Any) -> PaddleSegNetwork:
    return build(block, "model")


def test_heads_and_channels(package: Path) -> None:
    model = network(type="paddleseg.Two", num_classes=3, in_channels=2)
    assert (model.in_channels, model.num_classes, model.spatial_axes) == (2, 3, 2)
    x = paddle.to_tensor(image((1, 2, 40, 33)))
    assert [list(y.shape) for y in model(x)] == [[1, 3, 40, 33]] * 2
    model.eval()
    assert len(model(x)) == len(model.inference_forward(x)) == 1
    assert list(model(x[:, :, :5])[0].shape) == [1, 3, 5, 33]
    with pytest.raises(UserError, match="in_channels 2, got 3"):
        model(paddle.zeros([1, 3, 40, 33]))
    assert next(iter(model.state_dict())) == "network.conv.weight"


def test_export(package: Path, tmp_path: Path) -> None:
    model = network(type="paddleseg.Two", num_classes=2)
    model.eval()
    x = image((1, 3, 36, 48))
    expected = model(paddle.to_tensor(x))[0].numpy()
    spec = paddle.static.InputSpec([None, 3, None, None], "float32", "x")
    paddle.jit.save(model, str(tmp_path / "m"), input_spec=[spec])
    for onednn in (False, True):
        np.testing.assert_allclose(run_exported(tmp_path / "m", x, onednn)[0], expected, atol=1e-5)


def test_with_an_encoder(package: Path) -> None:
    encoder = {"type": "paddleseg.Encoder", "in_channels": 5}
    model = network(type="paddleseg.OnEncoder", num_classes=2, backbone=encoder)
    assert model.in_channels == 5
    assert network(type="paddleseg.OnEncoder", num_classes=2, backbone=encoder, in_channels=5).in_channels == 5
    with pytest.raises(ConfigError, match="in_channels is 1, but the first convolution takes 5"):
        network(type="paddleseg.OnEncoder", num_classes=2, backbone=encoder, in_channels=1)


def test_weights_are_read_by_us(package: Path, tmp_path: Path) -> None:
    source = network(type="paddleseg.Two", num_classes=2)
    save_state(tmp_path / "m.pdparams", source.network.state_dict())
    model = network(type="paddleseg.Two", num_classes=2, in_channels=1, pretrained=str(tmp_path / "m.pdparams"))
    summed = source.network.conv.weight.numpy().sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.network.conv.weight.numpy(), summed, rtol=1e-5, atol=1e-7)


def test_names_and_arguments_are_checked(package: Path) -> None:
    with pytest.raises(KeyPathError, match=r"not among the networks of paddleseg: .*; did you mean 'paddleseg.Two'"):
        check({"type": "paddleseg.Twoo"}, ("model",))
    with pytest.raises(KeyPathError, match=r"unknown argument of paddleseg\.Two; allowed: num_classes, in_channels"):
        check({"type": "paddleseg.Two", "num_classes": 2, "depth": 3}, ("model",))
    with pytest.raises(KeyPathError, match="not among the networks"):
        check({"type": "paddleseg.Encoder", "num_classes": 2}, ("model",))
    with pytest.raises(KeyPathError, match="only networks and backbones"):
        check({"type": "paddleseg.DiceLoss"}, ("loss", "types", 0))


def test_paddleseg_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    monkeypatch.setitem(sys.modules, "paddleseg", None)
    told = r"type 'paddleseg\.UNet' needs the package paddleseg: pip install -e '\.\[paddleseg\]' in the checkout"
    with pytest.raises(MissingDependencyError, match=told):
        check({"type": "paddleseg.UNet"}, ("model",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise ImportError('numpy.core.multiarray failed to import')", "too old for NumPy 2.*opencv-python-headless"),
        ("raise AttributeError('_ARRAY_API not found')", "too old for NumPy 2"),
        ("import a_package_that_nobody_has", "paddleseg needs the package a_package_that_nobody_has"),
        ("raise ImportError('libGL.so.1: no such file')", "libGL.so.1.*install it again"),
    ],
)
def test_paddleseg_cannot_be_imported(package: Path, text: str, told: str) -> None:
    (package / "__init__.py").write_text(text)
    with pytest.raises(MissingDependencyError, match=told):
        check({"type": "paddleseg.Two"}, ("model",))


@pytest.mark.skipif(importlib.util.find_spec("paddleseg") is None, reason="paddleseg is not installed")
@pytest.mark.parametrize(
    "block",
    [
        {"type": "paddleseg.UNet", "in_channels": 2},
        {"type": "paddleseg.BiSeNetV2", "in_channels": 1},
        {"type": "paddleseg.SegFormer", "embedding_dim": 32, "backbone": {"type": "paddleseg.MixVisionTransformer_B0"}},
    ],
    ids=lambda block: block["type"],
)
def test_the_real_package(block: dict[str, Any], tmp_path: Path) -> None:
    model = network(num_classes=3, **block)
    x = image((2, model.in_channels, 64, 96))
    outputs = model(paddle.to_tensor(x))
    sum((output.square().mean() for output in outputs), paddle.zeros([])).backward()
    model.eval()
    with paddle.no_grad():
        expected = model(paddle.to_tensor(x))[0].numpy()
    assert expected.shape == (2, 3, 64, 96)
    spec = paddle.static.InputSpec([None, model.in_channels, None, None], "float32", "x")
    paddle.jit.save(model, str(tmp_path / "m"), input_spec=[spec])
    np.testing.assert_allclose(run_exported(tmp_path / "m", x)[0], expected, atol=1e-4)
