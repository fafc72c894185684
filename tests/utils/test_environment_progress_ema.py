"""Devices, precisions, the live line, averaged weights."""

from __future__ import annotations

import io
import sys

import numpy as np
import paddle
import pytest

from medicalseg.errors import ConfigError, UserError
from medicalseg.utils import environment
from medicalseg.utils.ema import ExponentialMovingAverage
from medicalseg.utils.logger import logger
from medicalseg.utils.progress import Progress, ProgressLine, clock

CPU_ONLY = pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="for a CPU build")


def test_device_by_default_and_by_name():
    assert environment.choose_device("cpu") == "cpu"


@CPU_ONLY
@pytest.mark.parametrize("name", ["gpu", "gpu:1", "xpu", "cuda", "cpu:0", "gpu:x"])
def test_devices_that_are_not_there(name):
    with pytest.raises(UserError, match=f"--device {name}"):
        environment.choose_device(name)


def test_precision_that_a_cpu_cannot_compute(monkeypatch):
    from medicalseg import ops

    environment.check_precision("fp32", "O1", "cpu")
    with pytest.raises(UserError, match="fp16"):
        environment.check_precision("fp16", "O1", "cpu")
    with pytest.raises(UserError, match="cpu_accel"):
        environment.check_precision("bf16", "O1", "cpu", "off")
    monkeypatch.setattr(ops, "supports_bf16", lambda: False)
    with pytest.raises(UserError, match="AVX512-BF16"):
        environment.check_precision("bf16", "O1", "cpu")
    monkeypatch.setattr(ops, "supports_bf16", lambda: True)
    environment.check_precision("bf16", "O1", "cpu")
    with pytest.raises(UserError, match="O2"):
        environment.check_precision("bf16", "O2", "cpu")
    with pytest.raises(UserError, match="fp64"):
        environment.check_precision("fp64", "O1", "cpu")


def test_environment_block():
    block = environment.describe("cpu")
    assert block["PaddlePaddle"] == paddle.__version__
    assert block["cores"] >= 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_live_line_makes_room_for_log_lines(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with ProgressLine(10, "training") as line:
        line.update(3, "loss 1.0")
        assert "3/10 loss 1.0" in sys.stderr.getvalue()
        logger.warning("a line")
        assert sys.stderr.getvalue().endswith("\r\x1b[K")


def test_no_live_line_in_a_file(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with ProgressLine(10) as line:
        line.update(10)
    assert sys.stderr.getvalue() == ""


def test_counted_steps_in_a_terminal_and_in_a_file(monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = Progress(3_000_000, "file", "B", done=1_000_000)
    progress.step(2_000_000)
    assert "file: 3.0/3.0 MB" in sys.stderr.getvalue()
    progress.close()
    assert sys.stderr.getvalue().endswith("\r\x1b[K")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr("medicalseg.utils.progress.SECONDS_BETWEEN_LOG_LINES", -1.0)
    with caplog.at_level("INFO", "medicalseg"):
        Progress(0, "cases").step()
    assert "cases: 1" in caplog.messages
    assert sys.stderr.getvalue() == ""


def test_time_left_counts_this_run_only():
    progress = Progress(100, "cases", done=80)
    progress.step(10)
    assert progress._text(progress._start + 5).endswith("90/100, 5 s left")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00:00"), (3725.4, "01:02:05"), (-3, "00:00:00"), (360000, "100:00:00")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_average_by_formula():
    layer = paddle.nn.Linear(2, 1)
    ema = ExponentialMovingAverage(layer, decay=0.9)
    expected = layer.weight.numpy().copy()
    for k in range(3):
        layer.weight.set_value(paddle.full([2, 1], float(k)))
        ema.update(1000 + k)
        expected = 0.9 * expected + 0.1 * k
    np.testing.assert_allclose(ema.state_dict()["weight"].numpy(), expected, rtol=1e-6)
    with ema.applied():
        np.testing.assert_allclose(layer.weight.numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(layer.weight.numpy(), 2)


def test_the_first_weights_do_not_stay_in_the_average():
    layer = paddle.nn.Linear(1, 1)
    layer.weight.set_value(paddle.full([1, 1], 1e6))
    ema = ExponentialMovingAverage(layer, decay=0.999)
    layer.weight.set_value(paddle.full([1, 1], 2.0))
    ema.update(0)
    np.testing.assert_array_equal(ema.state_dict()["weight"].numpy(), 2)
    layer.weight.set_value(paddle.full([1, 1], 13.0))
    ema.update(1)
    np.testing.assert_allclose(ema.state_dict()["weight"].numpy(), (1 * 2 + 10 * 13) / 11, rtol=1e-6)


def test_large_weights_are_averaged_block_by_block(monkeypatch):
    monkeypatch.setattr("medicalseg.utils.ema.BLOCK", 10)
    layer = paddle.nn.Linear(7, 9)
    ema = ExponentialMovingAverage(layer, decay=0.75)
    before = layer.weight.numpy()
    layer.weight.set_value(paddle.randn([7, 9]))
    ema.update(1000)
    expected = 0.75 * before + 0.25 * layer.weight.numpy()
    np.testing.assert_allclose(ema.state_dict()["weight"].numpy(), expected, rtol=1e-6)
    monkeypatch.setattr("medicalseg.utils.ema.is_host_array", lambda tensor: False)
    again = ExponentialMovingAverage(layer, decay=0.75)
    again.set_state_dict({"weight": before, "bias": layer.bias.numpy()})
    again.update(1000)
    np.testing.assert_array_equal(again.state_dict()["weight"].numpy(), ema.state_dict()["weight"].numpy())


def test_running_statistics_are_copied():
    norm = paddle.nn.BatchNorm1D(2)
    ema = ExponentialMovingAverage(norm, decay=0.9)
    norm._mean.set_value(paddle.full([2], 5.0))
    ema.update(0)
    np.testing.assert_array_equal(ema.state_dict()["_mean"].numpy(), 5)


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_decay_out_of_range(decay):
    with pytest.raises(ConfigError, match="decay"):
        ExponentialMovingAverage(paddle.nn.Linear(1, 1), decay)
