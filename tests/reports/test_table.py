"""What the terminal shows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medicalseg.metrics import CaseResult, Counts, Summary, summarize
from medicalseg.reports import render_table, write_metrics
from medicalseg.reports.table import format_volume


@pytest.fixture
def summary() -> Summary:
    task = SimpleNamespace(
        num_ids=4,
        names=["background", "S", "L5", "T9"],
        class_groups={"4 classes": (0, 1, 2, 3), "3 classes*": (0, 1, 2)},
        ignore_index=255,
        notes=("the training set contains the validation cases",),
    )
    counts = Counts(np.array([90, 8, 0, 0]), np.array([0, 2, 0, 500]), np.array([7, 2, 0, 0]))
    results = [
        CaseResult("a", counts, voxel_volume=4.0, soft_dice=np.array([1, 0.5, 0.1, 0]), loss=0.25),
        CaseResult("b", Counts(counts.tp, counts.fp, np.array([7, 2, 3, 0])), voxel_volume=4.0),
    ]
    return summarize(results, task, "original", auc_roc=0.75)


def test_table(summary: Summary) -> None:
    text = render_table(summary)
    lines = text.splitlines()
    assert lines[0] == "Evaluation of 2 cases; hard Dice, scored on the original grid"
    assert lines[1] == "!! NOTE: the training set contains the validation cases"
    rows = {line.split()[0]: line for line in lines if line.split() and line.split()[0].isdigit()}
    assert rows["1"].split() == ["1", "S", "0.8000", "0.6667", "0.8000", "0.8000", "2", "of", "2"]
    assert rows["2"].split()[-3:] == ["1", "of", "2"]
    assert rows["3"].split()[2] == "n/a"
    assert "in no reference; false positives: 4.0 ml" in rows["3"]
    assert "foreground mean Dice    0.4000   over 2 of 3 classes" in text
    assert "Dice (4 classes)" in text
    assert "Dice (3 classes*)" in text
    assert "* 3 classes: without T9" in text
    assert "soft mDice (PaddleSeg)  0.4000   on the network grid" in text
    assert "AUC-ROC" in text


def test_rules_are_as_long_as_what_they_part(summary: Summary) -> None:
    lines = render_table(summary).splitlines()
    rules = [number for number, line in enumerate(lines) if line and set(line) == {"-"}]
    table = lines[rules[0] - 1 : rules[1]]
    assert len(lines[rules[0]]) == max(map(len, table))
    assert len(lines[rules[1]]) >= max(map(len, table))


def test_short_table_has_means_only(summary: Summary) -> None:
    text = render_table(summary, detail=False)
    assert "foreground mean Dice" in text
    assert "precision" not in text


@pytest.mark.parametrize(("slices", "unit"), [(None, "voxels"), (1, "pixels")])
def test_false_positives_are_counted_where_no_voxel_size_is_known(summary: Summary, slices: int, unit: str) -> None:
    results = [CaseResult(result.case, result.counts, slices=slices) for result in summary.cases]
    names = ["background", "S", "L5", "T9"]
    task = SimpleNamespace(num_ids=4, names=names, class_groups={}, ignore_index=255, notes=())
    assert f"in no reference; false positives: 1000 {unit}" in render_table(summarize(results, task, "original"))


@pytest.mark.parametrize(
    ("cubic_mm", "text"), [(0.0, "0 mm³"), (999, "999 mm³"), (12345, "12.3 ml"), (float("nan"), "unknown volume")]
)
def test_volume(cubic_mm: float, text: str) -> None:
    assert format_volume(cubic_mm) == text


def test_files(summary: Summary, tmp_path: Path) -> None:
    json_path, csv_path = write_metrics(tmp_path / "new", summary)
    content = json.loads(json_path.read_text(encoding="utf-8"))
    assert content["grid"] == "original"
    assert content["classes"][3]["dice"] is None
    assert content["groups"]["3 classes*"]["n"] == 3
    with open(csv_path, encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 2 * 4
    assert rows[1] == {
        **{"case": "a", "grid": "original", "class_id": "1", "class": "S", "dice": "0.8", "iou": "0.666667"},
        **{"precision": "0.8", "recall": "0.8", "tp": "8", "fp": "2", "fn": "2"},
        **{"reference_mm3": "40", "prediction_mm3": "40"},
    }
    assert rows[2]["dice"] == ""
    assert rows[6]["dice"] == "0"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["metrics.csv", "metrics.json"]
