"""Backends: each computes what the network computes, says what is missing, refuses what it cannot do."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import paddle
import pytest
import scipy.special
import yaml

from medicalseg.core.export import export
from medicalseg.errors import CheckpointError, MissingDependencyError, RunError, UserError
from medicalseg.inference.backends import BACKENDS, ModelFiles, RuntimeOptions, choice, start
from medicalseg.inference.static_network import StaticNetwork
from medicalseg.inference.task import TaskSpec
from medicalseg.models.unet3d import UNet3D
from medicalseg.models.vnet import VNet
from tests.extras import needs_onnx

TASK = TaskSpec(num_classes=3)
NETWORKS = {
    "unet-batch": lambda: UNet3D(num_classes=3, base_channels=2, depth=2),
    "unet-instance": lambda: UNet3D(num_classes=3, base_channels=2, depth=2, norm="instance"),
    "unet-group": lambda: UNet3D(num_classes=3, base_channels=4, depth=2, norm="group"),
    "vnet-thin": lambda: VNet(
        num_classes=3,
        kernel_size=[[2, 2, 4]] + [[2, 2, 2]] * 3,
        stride_size=[[2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2]],
    ),
}
SHAPES = {"vnet-thin": ((1, 1, 16, 16, 12), (1, 1, 32, 16, 12))}


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")


def built(name: str) -> paddle.nn.Layer:
    """A network with running statistics that are not 0 and 1."""
    paddle.seed(0)
    model = NETWORKS[name]()
    generator = np.random.default_rng(0)
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm3D):
            layer._mean.set_value(generator.normal(0, 0.2, layer._mean.shape).astype(np.float32))
            layer._variance.set_value(generator.uniform(0.5, 2, layer._variance.shape).astype(np.float32))
    model.eval()
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small U-Net in both formats, with logits."""
    folder = tmp_path_factory.mktemp("exported")
    export(built("unet-batch"), TASK, folder, output_op="none", model_format="all")
    return folder


def edited(source: Path, target: Path, **changes: object) -> Path:
    """A copy of an export with other values in deploy.yaml; None removes a key."""
    target.mkdir(exist_ok=True)
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    content = yaml.safe_load((target / "deploy.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        content["Deploy"].pop(key, None)
        if value is not None:
            content["Deploy"][key] = value
    (target / "deploy.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return target


@needs_onnx
@pytest.mark.parametrize(
    ("name", "output_op"), [*((name, "none") for name in NETWORKS), ("unet-batch", "argmax"), ("unet-group", "softmax")]
)
def test_each_backend_computes_what_the_network_computes(name: str, output_op: str, tmp_path: Path) -> None:
    model = built(name)
    export(model, TASK, tmp_path, output_op=output_op, model_format="all")
    for shape in SHAPES.get(name, ((1, 1, 8, 8, 8), (2, 1, 8, 12, 4))):
        x = np.random.default_rng(1).random(shape, dtype=np.float32)
        expected = model(paddle.to_tensor(x))[0].numpy()
        for backend in (name for name in BACKENDS if importlib.util.find_spec(name)):
            network = StaticNetwork(tmp_path, RuntimeOptions(backend=backend, cpu_threads=1))
            assert network.backend == backend
            labels = network.labels(x)
            assert labels.dtype == np.int32
            assert (labels == expected.argmax(axis=1)).mean() > 0.999
            if output_op == "none":
                np.testing.assert_allclose(network.logits(x), expected, atol=2e-4 * max(1, np.abs(expected).max()))
            if output_op == "softmax":
                np.testing.assert_allclose(network.logits(x), scipy.special.softmax(expected, axis=1), atol=1e-4)


@needs_onnx
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_answers_do_not_change_afterwards(exported: Path, backend: str) -> None:
    needs(backend)
    network = StaticNetwork(exported, RuntimeOptions(backend=backend))
    generator = np.random.default_rng(2)
    first = network.logits(generator.random((1, 1, 8, 8, 8), dtype=np.float32))
    kept = first.copy()
    network.logits(generator.random((1, 1, 8, 8, 8), dtype=np.float32))
    np.testing.assert_array_equal(first, kept)


@needs_onnx
def test_onnx_alone_needs_no_paddle_model(tmp_path: Path) -> None:
    needs("onnxruntime")
    (tmp_path / "notes.txt").write_text("mine")
    export(built("unet-batch"), TASK, tmp_path)  # whose files the next one removes
    export(built("unet-batch"), TASK, tmp_path, model_format="onnx")
    assert {file.name for file in tmp_path.iterdir()} == {"deploy.yaml", "model.onnx", "notes.txt"}
    StaticNetwork(tmp_path, RuntimeOptions(backend="onnxruntime"))
    with pytest.raises(UserError, match=r"no Paddle model.*--format all"):
        StaticNetwork(tmp_path)


@needs_onnx
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_damaged_onnx_file(exported: Path, tmp_path: Path, backend: str) -> None:
    needs(backend)
    folder = edited(exported, tmp_path / "damaged")
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 255
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.onnx: SHA-256"):
        StaticNetwork(folder, RuntimeOptions(backend=backend))
    folder = edited(exported, tmp_path / "cut", sha256=None)
    (folder / "model.onnx").write_bytes(data[: len(data) // 2])
    with pytest.raises(RunError, match=r"model\.onnx: .* cannot load"):
        StaticNetwork(folder, RuntimeOptions(backend=backend))


@needs_onnx
def test_bf16_is_close_to_fp32(exported: Path) -> None:
    needs("openvino")
    if not choice.has_bf16():
        pytest.skip("this processor has no bfloat16")
    x = np.random.default_rng(1).random((1, 1, 16, 16, 16), dtype=np.float32)
    folder = edited(exported, exported.parent / "unchecked", checks=None)
    bf16, fp32 = (
        StaticNetwork(folder, RuntimeOptions(backend="openvino", precision=name)).logits(x) for name in ("bf16", "fp32")
    )
    scale = np.abs(fp32).max()
    assert 0 < np.abs(bf16 - fp32).max() / scale < 0.05


def test_bf16_without_hardware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "cpu_flags", lambda: frozenset({"avx512f"}))
    files = ModelFiles(tmp_path / "deploy.yaml", {"onnx": "model.onnx"})
    with pytest.raises(UserError, match="--precision bf16 needs a processor"):
        start(files, RuntimeOptions(backend="auto", precision="bf16"))


@pytest.mark.parametrize("backend", ["paddle", "onnxruntime"])
def test_bf16_where_the_backend_has_none(tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    files = ModelFiles(tmp_path / "deploy.yaml", {"onnx": "a", "model": "b", "params": "c"})
    with pytest.raises(UserError, match=rf"--backend {backend} computes in fp32 only; .* needs openvino"):
        start(files, RuntimeOptions(backend=backend, precision="bf16"))


def test_a_precision_that_failed_its_check_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "cpu_flags", lambda: frozenset({"amx_bf16"}))
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: True)
    check = {"backend": "openvino", "precision": "bf16", "agreement": 0.91, "bound": 0.995, "accepted": False}
    files = ModelFiles(tmp_path / "deploy.yaml", {"onnx": "a", "checks": [check]})
    with pytest.raises(UserError, match=r"refused.*91\.00 %.*99\.5 %"):
        start(files, RuntimeOptions(backend="openvino", precision="bf16"))
    assert choice.available(files) == ["openvino", "onnxruntime"]


@pytest.mark.parametrize(("backend", "extra"), [("onnxruntime", "onnx"), ("openvino", "openvino")])
def test_a_package_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, extra: str
) -> None:
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None)
    files = ModelFiles(tmp_path / "deploy.yaml", {"onnx": "model.onnx"})
    with pytest.raises(MissingDependencyError, match=rf"{backend}.*-e .\.\[{extra}\]"):
        start(files, RuntimeOptions(backend=backend))


def test_an_export_without_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: True)
    files = ModelFiles(tmp_path / "deploy.yaml", {"model": "a", "params": "b"})
    with pytest.raises(UserError, match=r"no ONNX file.*--format all"):
        start(files, RuntimeOptions(backend="openvino"))


class Fake:
    def __init__(self, name: str) -> None:
        self.name = name


def fake_kinds(failing: tuple[str, ...] = ()) -> dict[str, choice.Kind]:
    def create(name: str) -> Fake:
        if name in failing:
            raise ImportError(f"{name} is broken") if name == "openvino" else RunError(f"{name} is broken")
        return Fake(name)

    return {
        name: choice.Kind(kind.package, kind.files, kind.extra, lambda *_, name=name: create(name), kind.precisions)
        for name, kind in choice.KINDS.items()
    }


@pytest.mark.parametrize(
    ("installed", "files", "failing", "expected"),
    [
        (("openvino", "paddle", "onnxruntime"), ("model", "params", "onnx"), (), "openvino"),
        (("openvino", "paddle", "onnxruntime"), ("model", "params"), (), "paddle"),
        (("paddle", "onnxruntime"), ("model", "params", "onnx"), (), "paddle"),
        (("paddle", "onnxruntime"), ("onnx",), (), "onnxruntime"),
        (("openvino", "paddle"), ("model", "params", "onnx"), ("openvino",), "paddle"),
        (("openvino", "paddle", "onnxruntime"), ("model", "params", "onnx"), ("openvino", "paddle"), "onnxruntime"),
    ],
)
def test_auto_takes_the_fastest_there_is_and_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    installed: tuple[str, ...],
    files: tuple[str, ...],
    failing: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.setattr(choice, "KINDS", fake_kinds(failing))
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr(choice.logger, "propagate", True)
    description = dict.fromkeys(files, "file")
    with caplog.at_level(logging.INFO):
        runtime = start(ModelFiles(tmp_path / "deploy.yaml", description), RuntimeOptions(backend="auto"))
    assert runtime.name == expected
    assert len(set(caplog.messages)) == 1
    assert f"Backend: {expected}, fp32" in caplog.text


@pytest.mark.parametrize("backend", ["paddle", "auto"])
def test_a_gpu_needs_the_paddle_model(tmp_path: Path, backend: str) -> None:
    with pytest.raises(UserError, match="has no Paddle model"):
        start(ModelFiles(tmp_path / "deploy.yaml", {"onnx": "a"}), RuntimeOptions(device="gpu", backend=backend))


WITHOUT_PADDLE = """
import sys
sys.modules["paddle"] = None
from medicalseg.cli import run_verb
sys.exit(run_verb(sys.argv[1], sys.argv[2:]))
"""


@needs_onnx
@pytest.mark.parametrize("verb", ["infer", "predict"])
def test_onnx_runs_where_there_is_no_paddle(exported: Path, tmp_path: Path, verb: str) -> None:
    needs("onnxruntime")
    scan = np.random.default_rng(3).random((8, 8, 8), dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(scan, np.eye(4)), tmp_path / "scan.nii.gz")
    given = ["--config", exported, "--image_path", tmp_path / "scan.nii.gz", "--save_dir", tmp_path / "labels"]
    command = [sys.executable, "-c", WITHOUT_PADDLE, verb, *map(str, given), "--backend", "onnxruntime"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    network = StaticNetwork(exported, RuntimeOptions(cpu_threads=1))
    expected = network.labels(scan[None, None])[0]
    written = np.asarray(nibabel.load(tmp_path / "labels/scan.nii.gz").dataobj)
    assert (written == expected).mean() > 0.99


def test_auto_with_nothing_to_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"no backend can run it.*openvino.*paddle.*onnxruntime"):
        start(ModelFiles(tmp_path / "deploy.yaml", {"onnx": "a"}), RuntimeOptions(backend="auto"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tvm"}, "--backend"),
        ({"precision": "fp8"}, "--precision"),
        ({"cpu_threads": 0}, "--cpu_threads"),
        ({"device": "gpu", "backend": "openvino"}, "--backend openvino"),
        ({"device": "gpu", "precision": "bf16"}, "bf16"),
        ({"device": "gpu:x"}, "--device"),
        ({"device": "cpu:0"}, "--device"),
    ],
)
def test_options_that_make_no_sense(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        RuntimeOptions(**options)
