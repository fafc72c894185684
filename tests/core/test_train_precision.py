"""Which arithmetic a training takes: the flag's, else the configuration's."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from tiny_training import make_config

from medicalseg import ops
from medicalseg.core.arithmetic import with_precision
from medicalseg.core.train import TrainOptions, train
from medicalseg.cvlibs import Config
from medicalseg.errors import ConfigError, UserError


def settled(flag: str | None, key: str | None, static: bool = False) -> str | None:
    config = SimpleNamespace(precision=key, to_static_training=static)
    return with_precision(TrainOptions(precision=flag), config, "cpu").precision


def test_the_flag_goes_before_the_key(monkeypatch):
    monkeypatch.setattr(ops, "supports_bf16", lambda: True)
    assert settled(None, None) == "fp32"
    assert settled(None, "bf16") == "bf16"
    assert settled("fp32", "bf16") == "fp32"
    assert settled("bf16", "fp32") == "bf16"


def test_a_key_that_cannot_be_followed_is_a_warning_and_a_flag_an_error(monkeypatch, caplog):
    monkeypatch.setattr(ops, "supports_bf16", lambda: False)
    assert settled(None, "bf16") == "fp32"
    assert "precision: bf16 of the configuration is left out, training in fp32: " in caplog.text
    assert settled(None, "fp16") == "fp32"
    with pytest.raises(UserError, match="--precision bf16 on the CPU needs"):
        settled("bf16", None)


def test_a_static_graph_has_no_bf16_on_the_cpu(monkeypatch):
    monkeypatch.setattr(ops, "supports_bf16", lambda: True)
    assert settled(None, "bf16", static=True) == "fp32"
    with pytest.raises(UserError, match="to_static_training"):
        settled("bf16", None, static=True)


def test_a_run_falls_back_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ops, "supports_bf16", lambda: False)
    monkeypatch.setattr("medicalseg.reports.write_progress_png", lambda path, history: None)
    file = make_config(tmp_path)
    train(Config(file, iters=1, opts=["precision=bf16"]), TrainOptions(save_dir=str(tmp_path / "run"), device="cpu"))
    assert "training in fp32" in (tmp_path / "run/train.log").read_text()
    assert json.loads((tmp_path / "run/run.json").read_text())["options"]["precision"] == "fp32"
    with pytest.raises(ConfigError, match="precision: must be one of fp32, fp16, bf16, got 'half'"):
        Config(file, opts=["precision=half"])
