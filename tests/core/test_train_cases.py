"""Names of training cases beside weights, and what reports say of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_folds import make_cubes

from medicalseg.core.run_checkpoint import write_meta
from medicalseg.core.train import TrainOptions, train
from medicalseg.core.train_cases import (
    TrainCases,
    names_of,
    recorded,
    seen_note,
    together,
    train_cases_of,
    train_cases_of_export,
)
from medicalseg.cvlibs import Config


@dataclass
class Deployed:
    description: dict[str, Any]
    members: tuple[Deployed, ...] = ()
    previous: Deployed | None = None


def test_names_are_recorded(tmp_path: Path) -> None:
    dataset = SimpleNamespace(cases=[SimpleNamespace(name="b"), SimpleNamespace(name="a")])
    write_meta(tmp_path, dataset, SimpleNamespace(dic={}), 1)
    assert train_cases_of(tmp_path) == {"a", "b"}
    assert train_cases_of(tmp_path / "model.pdparams") == {"a", "b"}
    assert names_of(object()) is None
    write_meta(tmp_path, object(), SimpleNamespace(dic={}), 1)
    assert train_cases_of(tmp_path) is None
    assert train_cases_of(tmp_path / "no") is None


def test_any_member_counts() -> None:
    assert together([None, None]) is None
    assert together([None, frozenset("a"), frozenset("b")]) == {"a", "b"}
    first, second = Deployed({"train_cases": ["a"]}), Deployed({})
    cascade = Deployed({"train_cases": ["c"]}, previous=Deployed({"train_cases": ["d"]}))
    assert train_cases_of_export(Deployed({}, (first, second, cascade))) == {"a", "c", "d"}
    assert recorded({"train_cases": None}) is None


@pytest.mark.parametrize(
    ("names", "trained", "seen"),
    [
        (["case_1", "case_2"], {"case_1", "case_3"}, 1),
        (["sub/case_1", "case_3.mha"], {"case_1", "case_3"}, 2),
        (["case_1_0000"], {"case_1"}, 1),
        (["case_0001"], {"case_0002"}, 0),
        (["sub-1_T2w", "sub-2_T2w"], {"sub-1"}, 1),
        (["sub-1_ses-2"], {"sub-1_ses-1"}, 0),
        (["case_1"], set(), 0),
    ],
)
def test_which_names_are_the_same_case(names: list[str], trained: set[str], seen: int) -> None:
    found = seen_note(names, frozenset(trained))
    assert [note.split(" scored")[0] for note in found] == ([f"{seen} of {len(names)}"] if seen else [])


@pytest.mark.parametrize("trained", [None, frozenset[str]()])
def test_nothing_known_nothing_said(trained: TrainCases) -> None:
    assert seen_note(["a"], trained) == ()


def learned(config_file: Path, folder: Path, fold: int, iters: int, *opts: str, **more: Any) -> TrainCases:
    """Names recorded with the final weights of a run."""
    options = TrainOptions(save_dir=str(folder), device="cpu", **more)
    train(Config(config_file, fold=fold, iters=iters, opts=opts), options)
    return train_cases_of(folder / "final_model")


def test_cases_of_earlier_weights_are_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medicalseg.reports.write_progress_png", lambda path, history: None)
    config = make_cubes(tmp_path)
    every = {"c0", "c1", "c2", "c3"}
    assert learned(config, tmp_path / "a", 0, 1) == {"c2", "c3"}
    assert learned(config, tmp_path / "b", 1, 2, resume=str(tmp_path / "a/iter_1")) == every
    assert learned(config, tmp_path / "b", 1, 3, resume="auto", do_eval=True, save_predictions=True) == every
    (note,) = json.loads((tmp_path / "b/eval/metrics.json").read_text())["notes"]
    assert note.startswith("2 of 2 scored cases have the names of cases that the network was trained on: c2, c3")
    (tmp_path / "b/iter_3/meta.json").unlink()
    assert learned(config, tmp_path / "b", 1, 4, resume="auto") == every
    weights = tmp_path / "a/final_model/model.pdparams"
    assert learned(config, tmp_path / "c", 1, 1, f"model.pretrained={weights}") == every
    assert learned(config, tmp_path / "c", 1, 2, f"model.pretrained={weights}", resume="auto") == every
    elsewhere = tmp_path / "no_meta.pdparams"
    elsewhere.write_bytes(weights.read_bytes())
    assert learned(config, tmp_path / "d", 1, 1, f"model.pretrained={elsewhere}") == {"c0", "c1"}
