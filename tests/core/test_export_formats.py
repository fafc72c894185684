"""Export: batch norm folded, ONNX, the check of every backend."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from paddle import nn

from medicalseg.core import export_check, export_onnx
from medicalseg.core.export import export
from medicalseg.core.export_graph import ComposedGroupNorm, compose_group_norms, fold_batch_norms
from medicalseg.errors import MissingDependencyError, RunError, UserError
from medicalseg.inference.static_network import StaticNetwork
from medicalseg.inference.task import TaskSpec
from medicalseg.models.unet3d import UNet3D

TASK = TaskSpec(num_classes=3)


class Layers(nn.Layer):
    """Convolution, batch norm, transposed convolution without bias, batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv3D(1, 4, 3, padding=1, groups=1), nn.BatchNorm3D(4)
        self.up, self.up_norm = nn.Conv3DTranspose(4, 2, 2, stride=2, bias_attr=False), nn.BatchNorm3D(2)
        for norm in (self.norm, self.up_norm):
            generator = np.random.default_rng(0)
            size = norm._mean.shape
            norm._mean.set_value(generator.normal(size=size).astype(np.float32))
            norm._variance.set_value(generator.uniform(0.5, 2, size).astype(np.float32))
            norm.weight.set_value(generator.uniform(0.5, 2, size).astype(np.float32))
            norm.bias.set_value(generator.normal(size=size).astype(np.float32))
        self.eval()

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.up_norm(self.up(nn.functional.relu(self.norm(self.conv(x)))))]


class Shared(Layers):
    """As Layers, and the convolution's result is used a second time."""

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        found = self.conv(x)
        return [self.norm(found) + found]


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).random((1, 1, 4, 6, 4), dtype=np.float32)


def test_folded_layers_compute_the_same_and_the_network_is_not_touched(x: np.ndarray) -> None:
    model = Layers()
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    folded = fold_batch_norms(model, x)
    assert not any(isinstance(layer, nn.BatchNorm3D) for layer in folded.sublayers())
    np.testing.assert_allclose(folded(paddle.to_tensor(x))[0].numpy(), model(paddle.to_tensor(x))[0].numpy(), atol=1e-5)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_a_result_used_twice_is_not_folded(x: np.ndarray) -> None:
    model = Shared()
    folded = fold_batch_norms(model, x)
    assert any(isinstance(layer, nn.BatchNorm3D) for layer in folded.sublayers())
    np.testing.assert_array_equal(folded(paddle.to_tensor(x))[0].numpy(), model(paddle.to_tensor(x))[0].numpy())


class PartlyShared(Layers):
    """As Layers, and the first convolution's result is added to what its norm gives."""

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        found = self.conv(x)
        return [self.up_norm(self.up(self.norm(found) + found))]


def test_what_is_used_once_is_folded_beside_what_is_used_twice(x: np.ndarray) -> None:
    model = PartlyShared()
    folded = fold_batch_norms(model, x)
    assert isinstance(folded.norm, nn.BatchNorm3D)
    assert isinstance(folded.up_norm, nn.Identity)
    np.testing.assert_allclose(folded(paddle.to_tensor(x))[0].numpy(), model(paddle.to_tensor(x))[0].numpy(), atol=1e-5)


def test_group_norm_composed_of_instance_norm() -> None:
    x = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 6, 3, 4, 5)).astype(np.float32))
    model = nn.Sequential(nn.GroupNorm(3, 6))
    model[0].weight.set_value(np.linspace(0.5, 2, 6, dtype=np.float32))
    model[0].bias.set_value(np.linspace(-1, 1, 6, dtype=np.float32))
    groups = x.numpy().reshape(2, 3, -1)
    normal = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-5)
    along = (1, 6, 1, 1, 1)
    expected = normal.reshape(x.shape) * np.linspace(0.5, 2, 6).reshape(along) + np.linspace(-1, 1, 6).reshape(along)
    composed = compose_group_norms(model)
    assert isinstance(composed[0], ComposedGroupNorm)
    np.testing.assert_allclose(composed(x).numpy(), expected, atol=1e-5)


def test_the_check_is_noted_in_deploy_yaml(tmp_path: Path) -> None:
    paddle.seed(0)
    deploy = export(UNet3D(num_classes=3, base_channels=2, depth=2), TASK, tmp_path)
    (check,) = yaml.safe_load(deploy.read_text(encoding="utf-8"))["Deploy"]["checks"]
    assert (check["backend"], check["precision"], check["accepted"]) == ("paddle", "fp32", True)
    assert check["agreement"] == 1


def test_too_many_other_labels_are_an_error_that_names_the_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = StaticNetwork.labels
    monkeypatch.setattr(StaticNetwork, "labels", lambda self, x: 2 - genuine(self, x))
    with pytest.raises(RunError, match=r"backend paddle, fp32.*99\.5 %"):
        export(UNet3D(num_classes=3, base_channels=2, depth=2), TASK, tmp_path)


@pytest.mark.parametrize("required", [True, False])
def test_bf16_that_differs_is_noted_or_an_error_if_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    logits = np.zeros((1, 2, 10, 10, 10), np.float32)
    logits[:, 0] = 1

    class Other:
        output_op, backend, gives_labels, task = "none", "openvino", False, TaskSpec(2)

        def __init__(self, deploy: Path, options: object) -> None:
            self.options = options

        def logits(self, x: np.ndarray) -> np.ndarray:
            wrong = logits.copy()
            wrong[:, 1, 0] = 2
            return wrong

        def decide(self, logits: np.ndarray) -> np.ndarray:
            return self.task.decision.labels(logits)

    monkeypatch.setattr(export_check, "StaticNetwork", Other)
    arguments = ("openvino", "bf16", logits, np.zeros((1, 1, 10, 10, 10), np.float32), tmp_path, required)
    if required:
        with pytest.raises(RunError, match=r"openvino, bf16.* 90\.00 %"):
            export_check._check(*arguments)
    else:
        assert export_check._check(*arguments).as_dict() == {
            "backend": "openvino", "precision": "bf16", "agreement": 0.9, "difference": 2.0, "bound": 0.995,
            "accepted": False,
        }  # fmt: skip


def test_the_input_of_the_check_is_smooth_and_reproducible() -> None:
    image = export_check.image_like((1, 2, 24, 24, 12))
    np.testing.assert_array_equal(image, export_check.image_like((1, 2, 24, 24, 12)))
    assert (image.min(), image.max(), image.dtype) == (0, 1, np.float32)
    neighbours = np.corrcoef(image[0, 0, :-1].ravel(), image[0, 0, 1:].ravel())[0, 1]
    assert neighbours > 0.7


def test_formats_and_packages_are_checked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = UNet3D(num_classes=3, base_channels=2, depth=2)
    with pytest.raises(UserError, match="--format is one of"):
        export(model, TASK, tmp_path / "a", model_format="tflite")
    with pytest.raises(UserError, match="--precision is one of"):
        export(model, TASK, tmp_path / "a", precision="int8")
    monkeypatch.setattr(export_onnx.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"paddle2onnx.*-e '\.\[onnx\]'"):
        export(model, TASK, tmp_path / "a", model_format="onnx")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os; os.abort()", "ended with code -6"),
        ("print('[ERROR][Paddle2ONNX] [OP: pd_op.x] no'); raise SystemExit(1)", "cannot convert.* no;"),
        ("pass", "ended with code 0"),
    ],
)
def test_a_converter_that_dies_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    genuine = export_onnx.subprocess.run
    monkeypatch.setattr(
        export_onnx.subprocess, "run", lambda command, **options: genuine([sys.executable, "-c", program], **options)
    )
    with pytest.raises(RunError, match=message):
        export_onnx.write_onnx(tmp_path / "a", tmp_path / "b", tmp_path / "c")
