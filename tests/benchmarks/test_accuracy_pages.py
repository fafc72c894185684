"""The pages of accuracy figures: names of studies, tables of made-up results."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy import levels
from benchmarks.accuracy.page import group_mean, write_result
from benchmarks.accuracy.studies import DISCS, STUDIES, VERTEBRAE


def stage(dices: dict[int, float | None], neighbours: float = 0.25) -> dict[str, Any]:
    known = [value for value in dices.values() if value is not None]
    return {
        "foreground_mean": {"dice": sum(known) / len(known)},
        "classes": [{"id": 0, "name": "background", "dice": 0.99, "cases_with_reference": 2}]
        + [{"id": k, "name": f"c{k}", "dice": value, "cases_with_reference": 2} for k, value in dices.items()],
        "cases": [{"case": "a", "foreground_mean": 0.5}, {"case": "b", "foreground_mean": None}],
        "levels": [{"names": ["L5", "L4"], "neighbour_share": neighbours, "farther_share": math.nan}],
    }


def result(study: str, seed: int, dices: dict[int, float | None]) -> dict[str, Any]:
    return {
        "study": study,
        "label": "",
        "date": "2000-01-01",
        "machine": {"cpu": "a processor"},
        "commit": "abc",
        "seed": seed,
        "precision": "fp32",
        "max_time": "1m",
        "opts": [],
        "threads": 1,
        "iterations": {"fold_0": 17},
        "summary": {"headline": "network", "stages": {"network": stage(dices)}},
    }


def test_studies_are_named_after_dataset_and_description() -> None:
    assert STUDIES["spider_levels"].name == "spider_t2space_levels"
    assert STUDIES["hippocampus_crossval"].name == "hippocampus"


def test_a_page_has_all_runs_groups_and_missing_numbers(tmp_path: Path) -> None:
    dices = {VERTEBRAE[0]: 0.5, VERTEBRAE[1]: 0.75, DISCS[0]: 0.25, DISCS[1]: None}
    write_result(tmp_path, "spider_levels_seed0", result("spider_levels", 0, dices))
    write_result(tmp_path, "spider_levels_seed1", result("spider_levels", 1, {VERTEBRAE[0]: 1.0}))
    text = (tmp_path / "accuracy.md").read_text(encoding="utf-8")
    assert "| as planned, seed 0 | 0.5000 | 0.6250 | 0.2500 |" in text
    assert "| as planned, seed 1 | 1.0000 | 1.0000 | n/a |" in text
    assert "| c12 |" not in text
    assert "| a | 0.5000 |\n| b | n/a |" in text
    assert "1 thread," in text
    assert "commit abc, 2000-01-01; steps of fold_0: 17" in text
    later = {**result("spider_tissue", 0, {1: 0.5}), "trained_by": "aaa"}
    write_result(tmp_path, "spider_tissue_seed0", later)
    assert "trained by commit aaa, scored by abc" in (tmp_path / "accuracy.md").read_text(encoding="utf-8")


def test_a_group_without_references_has_no_mean() -> None:
    assert group_mean(stage({2: 0.5}), (11, 12)) is None
    assert group_mean(stage({2: 0.5, 3: 1.0}), (2, 3, 4)) == pytest.approx(0.75)


def test_the_table_of_levels() -> None:
    rows = [
        {"patch": "p", "labels": labels, "iterations": 9, **levels.numbers(stage({2: value, 11: value / 2}, share))}
        for labels, value, share in (("as they are", 0.5, 0.5), ("ordered", 1.0, 0.125))
    ]
    machine = {"cpu": "a processor"}
    facts = {
        "max_time": "1m",
        "seed": 3,
        "machine": machine,
        "precision": "fp32",
        "commit": "abc",
        "date": "2000-01-01",
    }
    text = levels.page({**facts, "rows": rows})
    assert "--max_time 1m --seed 3" in text
    assert "| p | as they are | 9 | 0.5000 | 0.2500 |" in text
    assert "| 0.1250 | n/a |" in text


def test_endings_of_the_ablation() -> None:
    order = {"type": "OrderAlongSpine", "vertebrae": [2, 3], "discs": []}
    found = levels.endings([{**order, "anchor": 100}])
    assert list(found.values()) == [[], [order], [{**order, "anchor": levels.SETTLES}]]
