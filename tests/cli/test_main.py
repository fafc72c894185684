"""Exit codes and messages of every verb."""

from __future__ import annotations

import runpy
import sys

import pytest

from medicalseg import __version__
from medicalseg.cli import config, run_verb
from medicalseg.cli.main import VERBS, main
from medicalseg.errors import RunError, UserError


def test_the_package_runs_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["medicalseg", "--version"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("medicalseg", run_name="__main__")
    assert stopped.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(("error", "code"), [(UserError("a: wrong"), 2), (RunError("a: wrong"), 1)])
def test_an_error_of_ours_is_its_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    monkeypatch.setattr(config, "run", lambda args: (_ for _ in ()).throw(error))
    assert run_verb("config", ["c.yml"]) == code
    assert capsys.readouterr().err == "error: a: wrong\n"


def test_an_unexpected_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("(InvalidArgument) sizes differ\n  [Hint: 32 != 33.]\n\n")
    monkeypatch.setattr(config, "run", lambda args: (_ for _ in ()).throw(error))
    assert run_verb("config", ["c.yml"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: ValueError: (InvalidArgument) sizes differ [Hint: 32 != 33.] (run again")
    assert len(shown.splitlines()) == 1
    assert run_verb("config", ["c.yml", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_requirement_names_the_interpreter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ModuleNotFoundError("No module named 'numpy'", name="numpy")
    monkeypatch.setattr(config, "run", lambda args: (_ for _ in ()).throw(error))
    assert run_verb("config", ["c.yml"]) == 2
    assert f"numpy is not installed for {sys.executable}: activate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "--config", "a.yml", "--val_intervall", "3"],
            "unknown flag --val_intervall; did you mean '--val_interval'?",
        ),
        (["train", "--conf", "a.yml"], "the following arguments are required: --config"),
        (["train", "--config", "a.yml", "--use_em"], "unknown flag --use_em; did you mean '--use_ema'?"),
        (["train", "--config", "a.yml", "more"], "what is more?"),
        (["train", "--config", "a.yml", "--iters", "many"], "argument --iters: invalid int value: 'many'"),
        (["trian"], "unknown verb 'trian'; did you mean 'train'?; there are: prepare, "),
    ],
)
def test_what_is_not_known_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {message}")
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_no_doubled_percent(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "%%" not in shown
    assert ("none" in shown.partition("--folds ")[2][:30]) == (verb == "train")
