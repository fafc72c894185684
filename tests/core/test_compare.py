"""`medicalseg compare`: real reports of small evaluations side by side, files, differences that are said, bad input."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from medicalseg.cli import run_verb
from medicalseg.core.compare import differences, load_runs
from medicalseg.core.val import evaluate
from medicalseg.errors import DataError, UserError
from medicalseg.reports.run_facts import peak_memory_mb, program
from tests.core.evaluation_fakes import FakeDataset, Oracle

UNET = {"type": "UNet3D", "in_channels": 1, "num_classes": 4, "base_channels": 4, "depth": 2}
SEGFORMER = {"type": "SegFormer_B0", "in_channels": 3}


@pytest.fixture
def report(tmp_path):
    """Writes a report of `count` cases made by a network and gives its folder."""

    def report(name: str, count: int = 2, grid: str = "original", **run):
        folder = tmp_path / name
        facts = {"program": "val", "model": UNET, "size": [8, 10, 6], **run}
        evaluate(
            Oracle(), FakeDataset(count), eval_space=grid, save_dir=folder, overlays=0, print_detail=False, run=facts
        )
        return folder

    return report


def edited(folder, change):
    file = folder / "metrics.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return str(folder)


def test_what_is_read_is_what_was_written(report):
    folder = report("unet")
    content = json.loads((folder / "metrics.json").read_text())
    (run,) = load_runs([str(folder)])
    assert (run.name, run.grid, run.program) == ("unet", "original", "val")
    assert run.cases == ("case_0", "case_1")
    assert run.foreground == content["foreground_mean"]["dice"]
    assert run.groups == {name: group["dice"] for name, group in content["groups"].items()}
    assert list(run.classes) == ["S", "L5", "T9"]
    assert run.classes["T9"] is None
    assert run.seconds == pytest.approx(np.mean([case["seconds"] for case in content["cases"]]))
    assert run.memory_mb == content["run"]["peak_memory_mb"] <= peak_memory_mb()
    assert run.with_background == ("4 classes", "3 classes*")


def test_cost_of_networks_of_volumes_and_of_images(report):
    slices = {"axis": 2, "num_slices": 3, "stride": 1, "edge": "clamp"}
    volume = report("volume")
    stack = report("stack", model=SEGFORMER, slices=slices, size=[48, 40, 6])
    flat = report("flat", model={**SEGFORMER, "in_channels": 1}, slices={**slices, "num_slices": 1}, size=[48, 40, 6])
    three, stacked, two = (run.cost for run in load_runs([str(volume), str(stack), str(flat)]))
    assert (three.dimensions, stacked.dimensions, two.dimensions) == ("3D", "2.5D", "2D")
    assert (three.input_shape, three.passes) == ((1, 1, 8, 10, 6), 1)
    assert (stacked.input_shape, stacked.passes) == ((1, 3, 40, 48), 6)
    assert stacked.macs_per_case == 6 * stacked.macs
    assert stacked.parameters - two.parameters == 2 * 32 * 49
    encoder = 27 * (480 * (1 * 4 + 4 * 8) + 60 * (8 * 8 + 8 * 16))
    assert three.macs == encoder + 60 * 8 * 16 * 16 + 480 * (27 * (24 * 8 + 8 * 8) + 8 * 4)


def test_files_and_table(report, tmp_path, capsys):
    folders = [f"first net={report('a')}", str(report("b"))]
    assert run_verb("compare", [*folders, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "first net" in shown
    assert "NOTE" not in shown
    assert "The background counts in: 4 classes, 3 classes*" in shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "comparison.csv",
        "comparison.md",
        "comparison.png",
    ]
    with open(tmp_path / "out/comparison.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["run"] for row in rows] == ["first net", "b"]
    assert float(rows[0]["class: S"]) == pytest.approx(load_runs(folders)[0].classes["S"])
    assert rows[0]["class: T9"] == ""
    assert (tmp_path / "out/comparison.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "out/comparison.md").read_text(encoding="utf-8")
    assert f"| {float(rows[0]['foreground_mean']):.4f} |" in table


def test_equal_runs_have_no_differences(report):
    assert differences(load_runs([str(report("a")), str(report("b"))])) == []


def test_differences_are_said(report):
    runs = load_runs(
        [
            str(report("a")),
            str(report("b", count=3)),
            str(report("c", grid="network", program="infer")),
            edited(report("d"), lambda content: content["classes"].pop(2)),
        ]
    )
    notes = differences(runs)
    assert any("different cases, 2 in common: a, c, d (2 cases); b (3 cases)" in note for note in notes)
    assert any("different grids: a, b, d (original grid); c (network grid)" in note for note in notes)
    assert any("different classes: a, b, c (S, L5, T9); d (S, T9)" in note for note in notes)
    assert any("a, b, d (by val); c (by infer)" in note for note in notes)


def test_folder_of_a_training(report, tmp_path):
    folder = report("training/eval", model=None, size=None)
    (tmp_path / "training/run.json").write_text(json.dumps({"config": {"model": UNET}}))
    (run,) = load_runs([str(folder.parent)])
    assert run.report == folder / "metrics.json"
    assert run.cost.network == "UNet3D"
    assert run.cost.macs is None
    best = tmp_path / "training/best_model"
    best.mkdir()
    (best / "meta.json").write_text(json.dumps({"task": {"num_classes": 4, "preprocessing": {"size": [8, 10, 6]}}}))
    edited(folder, lambda content: content["run"].pop("size"))
    assert load_runs([str(folder.parent)])[0].cost.macs > 0


def test_what_is_not_known_is_said(report):
    bare = edited(report("bare"), lambda content: content.pop("run"))
    odd = report("odd", model={"type": "NoSuchNet"})
    runs = load_runs([bare, str(odd)])
    assert [run.cost.parameters for run in runs] == [None, 1]
    notes = differences(runs)
    assert any(note.startswith("bare: its configuration was not found") for note in notes)
    assert any(note.startswith("odd: its cost could not be counted") and "NoSuchNet" in note for note in notes)


def test_names(report):
    first, second = report("x/val"), report("y/val")
    assert [run.name for run in load_runs([str(first), str(second)])] == ["x/val", "y/val"]
    with pytest.raises(UserError, match="two runs are called n"):
        load_runs([f"n={first}", f"n={second}"])
    with pytest.raises(UserError, match="two runs are called val; give"):
        load_runs([f"val={first}", str(second)])
    assert [run.name for run in load_runs([f"n={first}", str(first)])] == ["n", "val"]
    with pytest.raises(UserError, match="given twice"):
        load_runs([str(first), str(first)])


def test_bad_input(report, tmp_path, capsys):
    with pytest.raises(UserError, match="is no folder"):
        load_runs([str(tmp_path / "absent")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no metrics\.json"):
        load_runs([str(tmp_path / "empty")])
    with pytest.raises(DataError, match="damaged"):
        load_runs([edited(report("broken"), lambda content: content.pop("cases"))])
    (tmp_path / "empty/metrics.json").write_text("{")
    assert run_verb("compare", [str(tmp_path / "empty")]) == 2
    assert "cannot be read as JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tools/val.py", "--config", "c"], "val"),
        (["medicalseg", "infer", "--config", "c"], "infer"),
        (["deploy/python/infer.py"], "infer"),
        (["tools/train.py"], "train"),
    ],
)
def test_program(words, expected):
    assert program(words) == expected
