"""Exit codes and messages of every verb."""

from __future__ import annotations

import sys

import pytest

from medicalseg.cli import config, run_verb
from medicalseg.errors import RunError, UserError


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
