"""The command: files written, exit codes, what is refused."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from medicalseg.cli.main import main
from medicalseg.io import Volume, write_volume


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    for case in ("a", "b"):
        for folder, shift in (("pred", 1), ("ref", 0)):
            array = np.zeros((12, 8, 4), np.uint8)
            array[2 + shift : 6 + shift, 2:6, 1:3] = 7
            if case == "b" and folder == "pred":
                array[9:11, 2:6, 1:3] = 9
            path = tmp_path / folder / f"{case}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            write_volume(Volume(array, np.eye(4)), path, labels=True)
    return str(tmp_path / "pred"), str(tmp_path / "ref")


def test_everything_is_written(folders, tmp_path, capsys):
    out = tmp_path / "out"
    metrics = ["--metrics", "dice", "nsd", "hd", "hd95", "assd", "volume", "detection"]
    assert main(["evaluate", *folders, *metrics, "--level_order", "1", "2", "--save_dir", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "foreground mean NSD" in printed
    assert "absent classes" in printed
    report = json.loads((out / "metrics.json").read_text())
    assert report["run"]["label_map"]["values"] == [[0], [7], [9]]
    assert report["rules"]["nsd"].endswith("within 1 mm of the other")
    rows = list(csv.DictReader((out / "metrics.csv").open()))
    assert [row["presence"] for row in rows if row["class"] == "label 9"] == ["neither mask", "prediction only"]
    assert float(rows[1]["hd95"]) == 1.0
    assert rows[2]["hd95"] == ""
    assert "| foreground mean NSD |" in (out / "metrics.md").read_text()


def test_nnunet_form(folders, tmp_path):
    target = tmp_path / "summary.json"
    assert main(["evaluate", *folders, "--nnunet_summary", str(target)]) == 0
    content = json.loads(target.read_text())
    assert set(content) == {"foreground_mean", "mean", "metric_per_case"}
    first, second = content["metric_per_case"]
    assert set(first) == {"metrics", "prediction_file", "reference_file"}
    assert first["prediction_file"].endswith("pred/a.nii.gz")
    expected = {"Dice": 0.75, "IoU": 0.6, "TP": 24, "FP": 8, "FN": 8, "TN": 344, "n_pred": 32, "n_ref": 32}
    assert first["metrics"]["7"] == expected
    assert math.isnan(first["metrics"]["9"]["Dice"])
    assert second["metrics"]["9"]["Dice"] == content["mean"]["9"]["Dice"] == 0
    assert content["foreground_mean"]["Dice"] == pytest.approx(0.375)


def test_a_damaged_prediction_is_noted_wherever_figures_are(folders, tmp_path, capsys):
    broken, out = Path(folders[0]) / "a.nii.gz", tmp_path / "out"
    broken.write_bytes(broken.read_bytes()[:60])
    assert main(["evaluate", *folders, "--missing", "skip", "--save_dir", str(out)]) == 2
    shown = capsys.readouterr()
    assert "Evaluation of 1 case;" in shown.out
    report = json.loads((out / "metrics.json").read_text())
    assert list(report["run"]["failed"]) == ["a"]
    reason = report["run"]["failed"]["a"]
    assert str(broken) in reason
    note = f"1 of 2 cases could not be scored, and all figures are without it: a ({reason})"
    assert f"!! NOTE: {note}" in shown.out
    assert f"**Note:** {note}" in (out / "metrics.md").read_text()
    assert report["notes"][0] == note
    nnunet = json.loads((out / "summary.json").read_text())
    assert nnunet["notes"][0] == note
    assert [Path(case["prediction_file"]).name for case in nnunet["metric_per_case"]] == ["b.nii.gz"]
    rows = list(csv.DictReader((out / "metrics.csv").open()))
    assert [(row["case"], row["class_id"]) for row in rows] == [(c, i) for c in "ba" for i in "012"]
    left_out = rows[3:]
    assert {row["presence"] for row in left_out} == {f"not scored: {reason}"}
    assert {row[key] for row in left_out for key in ("dice", "nsd", "tp", "reference_mm3")} == {""}


def test_nothing_is_written_without_being_asked(folders, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert main(["evaluate", *folders, "--bootstrap", "0"]) == 0
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--tolerance_mm", "-1"], "tolerance_mm"),
        (["--detection_threshold", "2"], "threshold"),
        (["--labels", "none.json"], "none.json"),
        (["--level_order", "1", "1"], "each once"),
        (["--bootstrap", "-5"], "bootstrap"),
    ],
)
def test_wrong_flags_end_with_one_line(folders, capsys, more, named):
    assert main(["evaluate", *folders, *more]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error:")
    assert named in error


def test_input_folders_are_not_written_to(folders, capsys):
    assert main(["evaluate", *folders, "--save_dir", folders[0]]) == 2
    assert "input folder" in capsys.readouterr().err
    assert main(["evaluate", *folders, "--csv", f"{folders[1]}/x.csv"]) == 2
    assert not list(Path(folders[1]).glob("*.csv"))


def test_a_folder_that_does_not_exist(folders, capsys):
    assert main(["evaluate", folders[0], "nowhere"]) == 2
    assert "nowhere: does not exist" in capsys.readouterr().err
