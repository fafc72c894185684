"""Export: what is written, what it computes, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from medicalseg.core.export import export
from medicalseg.errors import CheckpointError, RunError, UserError
from medicalseg.inference.backends.paddle_inference import PaddleInference
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.inference.static_network import RuntimeOptions, StaticNetwork
from medicalseg.inference.task import TaskSpec
from medicalseg.models.unet3d import UNet3D

TASK = TaskSpec(
    num_classes=3,
    labels={0: "background", 1: "bone", 2: "椎间盘"},
    class_groups={"both": (1, 2)},
    preprocessing=Preprocessing(size=(8, 8, 8), normalize="max"),
)


@pytest.fixture(scope="module")
def model() -> UNet3D:
    paddle.seed(0)
    network = UNet3D(in_channels=1, num_classes=3, base_channels=2, depth=2)
    network.eval()
    return network


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).random((2, 1, 8, 12, 4), dtype=np.float32)


@pytest.mark.parametrize("mkldnn", [True, False])
@pytest.mark.parametrize("output_op", ["argmax", "softmax", "none"])
def test_the_exported_model_computes_the_same(
    model: UNet3D, x: np.ndarray, tmp_path: Path, output_op: str, mkldnn: bool
) -> None:
    export(model, TASK, tmp_path, output_op=output_op)
    network = StaticNetwork(tmp_path, RuntimeOptions(enable_mkldnn=mkldnn))
    logits = model(paddle.to_tensor(x))[0]
    assert (network.labels(x) == logits.argmax(axis=1).numpy()).mean() > 0.999
    if output_op == "softmax":
        np.testing.assert_allclose(network.logits(x), paddle.nn.functional.softmax(logits, axis=1).numpy(), atol=1e-4)
    if output_op == "none":
        np.testing.assert_allclose(network.logits(x), logits.numpy(), atol=1e-4)


def test_deploy_yaml_names_what_is_there(model: UNet3D, tmp_path: Path) -> None:
    content = yaml.safe_load(export(model, TASK, tmp_path).read_text(encoding="utf-8"))["Deploy"]
    assert (tmp_path / content["model"]).is_file()
    assert (tmp_path / content["params"]).is_file()
    assert content["input_shape"] == [-1, 1, -1, -1, -1]
    assert content["transforms"] == [{}]
    assert TaskSpec.from_dict(content["task"]) == TASK
    assert not list(tmp_path.glob(".tmp*"))


def test_labels_only_model_has_no_logits(model: UNet3D, x: np.ndarray, tmp_path: Path) -> None:
    export(model, TASK, tmp_path)
    with pytest.raises(UserError, match="argmax"):
        StaticNetwork(tmp_path).logits(x)


def test_fixed_shape_is_enforced(model: UNet3D, x: np.ndarray, tmp_path: Path) -> None:
    export(model, TASK, tmp_path, input_shape=[1, 1, 8, 8, 8])
    with pytest.raises(UserError, match=r"\[1, 1, 8, 8, 8\]"):
        StaticNetwork(tmp_path).labels(x)


def test_shape_that_does_not_fit_the_network(model: UNet3D, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"9.*10"):
        export(model, TASK, tmp_path / "new", input_shape=[1, 1, 9, 8, 8])
    assert not (tmp_path / "new").exists()


def test_save_dir_is_a_file(model: UNet3D, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="is a file"):
        export(model, TASK, tmp_path / "file")


@pytest.mark.parametrize("shape", [[1, 1, 8], [1, 2, 8, 8, 8], [1, 1, 0, 8, 8]])
def test_wrong_shapes_are_refused(model: UNet3D, tmp_path: Path, shape: list[int]) -> None:
    with pytest.raises(UserError, match="--input_shape"):
        export(model, TASK, tmp_path, input_shape=shape)


def test_a_wrong_export_is_an_error_and_leaves_nothing(
    model: UNet3D, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = StaticNetwork.labels
    monkeypatch.setattr(StaticNetwork, "labels", lambda self, x: 2 - genuine(self, x))
    with pytest.raises(RunError, match="differs"):
        export(model, TASK, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_altered_or_missing_files_are_found(model: UNet3D, tmp_path: Path) -> None:
    export(model, TASK, tmp_path)
    params = tmp_path / "model.pdiparams"
    data = bytearray(params.read_bytes())
    data[100] ^= 1
    params.write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256"):
        StaticNetwork(tmp_path)
    params.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        StaticNetwork(tmp_path)


@pytest.mark.parametrize("text", ["", "Deploy: {model: a}", "[1", "Deploy: {model: a, params: b}"])
def test_a_broken_deploy_yaml_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "deploy.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"deploy\.yaml") as caught:
        StaticNetwork(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"device": "tpu"}, "--device"), ({"use_trt": True}, "--use_trt"), ({"precision": "fp16"}, "--use_trt")],
)
def test_options_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        RuntimeOptions(**options)


def test_a_model_of_paddle_3_is_refused_by_paddle_2(
    model: UNet3D, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(model, TASK, tmp_path)
    text = (tmp_path / "deploy.yaml").read_text(encoding="utf-8")
    (tmp_path / "deploy.yaml").write_text(text.replace("model.pdmodel", "model.json"), encoding="utf-8")
    if (tmp_path / "model.pdmodel").exists():
        (tmp_path / "model.pdmodel").rename(tmp_path / "model.json")
    monkeypatch.setattr(paddle, "__version__", "2.6.2")
    with pytest.raises(CheckpointError, match=r"exported by Paddle 3.*2\.6\.2"):
        StaticNetwork(tmp_path)


def test_where_onednn_fails_paddles_own_kernels_take_over(
    model: UNet3D, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(model, TASK, tmp_path)
    network = StaticNetwork(tmp_path)
    expected = network.labels(x)
    genuine = PaddleInference._execute

    with_onednn = network._runtime._predictor

    def without_onednn(self: PaddleInference, predictor: object, x: np.ndarray) -> np.ndarray:
        if predictor is with_onednn:
            raise RuntimeError("UnimplementedError: no oneDNN kernel")
        return genuine(self, predictor, x)

    with monkeypatch.context() as both_fail:
        both_fail.setattr(PaddleInference, "_execute", lambda self, predictor, x: 1 / 0)
        with pytest.raises(RunError, match="division by zero"):
            network.labels(x)
    assert network._runtime._predictor is with_onednn
    monkeypatch.setattr(PaddleInference, "_execute", without_onednn)
    assert (network.labels(x) == expected).mean() > 0.999
    assert network._runtime._predictor is not with_onednn
