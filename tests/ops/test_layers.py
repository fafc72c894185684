"""The oneDNN layers against Paddle's own, forward and backward."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import paddle
import pytest
from paddle import nn

from medicalseg import ops
from medicalseg.errors import UserError
from medicalseg.ops import primitives
from medicalseg.ops.accelerated import Accelerated

pytestmark = pytest.mark.skipif(not ops.is_available(), reason="this Paddle ships no usable oneDNN library")

CASES = {
    "plain": (lambda: nn.Conv3D(3, 8, 3, padding=1), (2, 3, 9, 8, 7)),
    "pointwise": (lambda: nn.Conv3D(3, 5, 1), (1, 3, 4, 5, 6)),
    "strided grouped dilated": (
        lambda: nn.Conv3D(4, 8, (1, 3, 3), (1, 2, 2), (0, 1, 1), (1, 2, 1), groups=2, bias_attr=False),
        (2, 4, 9, 8, 7),
    ),
    "spine kernel": (lambda: nn.Conv3D(4, 8, (2, 2, 4), stride=(2, 2, 1)), (1, 4, 8, 8, 7)),
    "five": (lambda: nn.Conv3D(1, 16, 5, padding=2), (1, 1, 12, 8, 8)),
    "smaller than its kernel": (lambda: nn.Conv3D(32, 32, 5, padding=2), (2, 32, 4, 3, 2)),
    "two voxels wide": (lambda: nn.Conv3D(32, 32, 3, padding=1), (2, 32, 2, 2, 2)),
    "transposed": (lambda: nn.Conv3DTranspose(8, 4, 2, stride=2), (2, 8, 5, 4, 3)),
    "transposed spine": (lambda: nn.Conv3DTranspose(8, 4, (2, 2, 4), stride=(2, 2, 1)), (2, 8, 5, 4, 3)),
    "transposed output padding": (
        lambda: nn.Conv3DTranspose(8, 4, 3, stride=2, padding=1, output_padding=1, groups=2, bias_attr=False),
        (2, 8, 5, 4, 3),
    ),
    "2d": (lambda: nn.Conv2D(8, 4, 3, stride=2, padding=1), (2, 8, 5, 4)),
    "2d depthwise": (lambda: nn.Conv2D(8, 8, 3, padding=1, groups=8), (2, 8, 6, 5)),
    "2d transposed": (lambda: nn.Conv2DTranspose(8, 4, 2, stride=2), (2, 8, 5, 4)),
}


def _results(layer: nn.Layer, x: np.ndarray) -> list[np.ndarray]:
    layer.clear_gradients()
    data = paddle.to_tensor(x, stop_gradient=False)
    output = layer(data)
    weights = paddle.to_tensor(np.random.default_rng(7).random(output.shape, dtype="float32"))
    (output * weights).sum().backward()
    return [output.numpy(), data.grad.numpy(), *(p.grad.numpy() for p in layer.parameters())]


def _relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / (np.abs(theirs).max() + 1e-12))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_values_and_gradients_equal_paddles(name: str, bf16: bool) -> None:
    if bf16 and not ops.supports_bf16():
        pytest.skip("this processor has no bfloat16 arithmetic")
    make, shape = CASES[name]
    paddle.seed(1)
    layer = make()
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    expected = _results(layer, x)
    ops.accelerate(layer, "auto", bf16=bf16)
    assert layer._primitives(paddle.to_tensor(x)) is not None
    for ours, theirs in zip(_results(layer, x), expected, strict=True):
        assert _relative_difference(ours, theirs) < (1e-2 if bf16 else 5e-6)


def test_gradient_matches_finite_differences() -> None:
    layer = ops.accelerate(nn.Conv3D(1, 2, 3, padding=1), "auto")
    x = np.random.default_rng(3).normal(size=(1, 1, 4, 4, 4)).astype("float32")
    analytic = _results(layer, x)[1][0, 0, 1, 2, 3]
    ends = []
    for step in (0.5, -0.5):
        moved = x.copy()
        moved[0, 0, 1, 2, 3] += step
        output = layer(paddle.to_tensor(moved)).numpy().astype("float64")
        ends.append(float((output * np.random.default_rng(7).random(output.shape, dtype="float32")).sum()))
    assert ends[0] - ends[1] == pytest.approx(analytic, rel=1e-3)


def test_same_bits_every_time() -> None:
    layer = ops.accelerate(nn.Conv3D(4, 8, 3, padding=1), "auto")
    x = np.random.default_rng(0).normal(size=(2, 4, 12, 10, 8)).astype("float32")
    for first, second in zip(_results(layer, x), _results(layer, x), strict=True):
        np.testing.assert_array_equal(first, second)


def test_switching_keeps_parameters_and_can_be_undone() -> None:
    model = nn.Sequential(nn.Conv3D(1, 2, 3), nn.BatchNorm3D(2), nn.Conv3DTranspose(2, 1, 2, stride=2))
    before = {key: (id(value), value.name) for key, value in model.state_dict().items()}
    ops.accelerate(model, "auto")
    assert isinstance(model[0], Accelerated)
    assert isinstance(model[2], Accelerated)
    assert {key: (id(value), value.name) for key, value in model.state_dict().items()} == before
    ops.accelerate(model, "off")
    assert [type(layer) for layer in model] == [nn.Conv3D, nn.BatchNorm3D, nn.Conv3DTranspose]


def test_environment_variable_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDICALSEG_CPU_ACCEL", "off")
    assert type(ops.accelerate(nn.Conv3D(1, 1, 3))) is nn.Conv3D


def test_unknown_mode_is_an_error() -> None:
    with pytest.raises(UserError, match="auto, off"):
        ops.accelerate(nn.Conv3D(1, 1, 3), "on")


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.Conv3D(2, 3, 3, padding="SAME"),
        lambda: nn.Conv3D(2, 3, 3, padding=1, padding_mode="replicate"),
        lambda: nn.Conv3D(2, 3, 3, padding=1, data_format="NDHWC"),
    ],
    ids=["padding by name", "replicate", "channels last"],
)
def test_what_onednn_is_not_asked_for_is_paddles(layer) -> None:  # type: ignore[no-untyped-def]
    paddle.seed(0)
    module = layer()
    shape = (1, 5, 5, 5, 2) if module._data_format == "NDHWC" else (1, 2, 5, 5, 5)
    x = paddle.randn(shape)
    expected = module(x).numpy()
    ops.accelerate(module, "auto")
    assert module._primitives(x) is None
    np.testing.assert_allclose(module(x).numpy(), expected, rtol=1e-6, atol=1e-6)


def test_wrong_channel_count_is_paddles_error() -> None:
    with pytest.raises(ValueError, match=r"(?i)channel|input"):
        ops.accelerate(nn.Conv3D(2, 3, 3), "auto")(paddle.randn([1, 4, 5, 5, 5]))


def test_changing_shapes_do_not_leak() -> None:
    layer = ops.accelerate(nn.Conv3D(2, 4, 3, padding=1), "auto")

    def resident() -> int:
        with open("/proc/self/statm") as handle:
            return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def steps(count: int) -> None:
        for index in range(count):
            if index % 4 == 0:
                primitives.clear_caches()  # so that primitives are made and destroyed all the time
            size = 4 + index % 8
            layer(paddle.ones([1, 2, size, size, size])).sum().backward()
            layer.clear_gradients()

    steps(50)
    before = resident()
    steps(400)
    assert resident() - before < 20 * 2**20


FORKED = """
import os, signal, threading
import numpy as np, paddle
from medicalseg import ops
from medicalseg.ops import primitives

layer = ops.accelerate(paddle.nn.Conv3D(1, 2, 3, padding=1), "auto")
x = paddle.ones([1, 1, 5, 5, 5])
expected = layer(x).numpy()
held = threading.Event()
def hold():
    with primitives._lock:
        held.set()
        threading.Event().wait(60)
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(30)
    os._exit(0 if np.array_equal(layer(x).numpy(), expected) else 1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255)
"""


def test_a_lock_held_elsewhere_does_not_stop_a_forked_child() -> None:
    """One thread: an OpenMP team does not survive a fork, with or without these layers."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MEDICALSEG_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


APART = """
import os, signal
import numpy as np, paddle
from medicalseg import ops

layer = ops.accelerate(paddle.nn.Conv3D(1, 8, 3, padding=1), "auto")
layer.chained = True
paddle.seed(0)
x = paddle.randn([1, 1, 40, 40, 40])
expected = layer(x).numpy()  # leaves an idle block in the pool
wait, go = os.pipe()
child = os.fork()
if child == 0:
    signal.alarm(30)
    os.read(wait, 1)
    others = layer(x * 0)
    os._exit(0)
again = layer(x)
os.write(go, b"!")
outcome = os.waitpid(child, 0)[1]
os._exit(0 if outcome == 0 and np.array_equal(again.numpy(), expected) else 1)
"""


def test_a_forked_child_has_activations_of_its_own() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MEDICALSEG_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", APART], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_export_sees_paddles_layers(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = ops.accelerate(nn.Sequential(nn.Conv3D(1, 2, 3, padding=1), nn.ReLU()), "auto")
    model.eval()
    x = paddle.randn([1, 1, 6, 6, 6])
    expected = model(x).numpy()
    spec = [paddle.static.InputSpec([None, 1, None, None, None], "float32")]
    paddle.jit.save(paddle.jit.to_static(model, input_spec=spec), str(tmp_path / "model"))
    np.testing.assert_allclose(paddle.jit.load(str(tmp_path / "model"))(x).numpy(), expected, atol=1e-5)
