"""That a cross-validation scores no case that its network learned from, and says what else the scored cases decided."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_folds import make_cubes

from medicalseg.cli import run_verb
from medicalseg.core.crossval_notes import plan_notes
from medicalseg.core.fold_predictions import predict_fold
from medicalseg.core.folds import train_folds
from medicalseg.core.train_options import TrainOptions
from medicalseg.cvlibs import Config
from medicalseg.errors import UserError
from medicalseg.io import read_label, write_volume
from medicalseg.utils import checkpoint

KEEP = {"type": "KeepLargestComponent"}


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    monkeypatch.setattr("medicalseg.reports.write_progress_png", lambda path, history: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Cases, a configuration, a cross-validation of one step per fold, and folds that exchange c0 and c2."""
    folder = tmp_path_factory.mktemp("honest")
    make_cubes(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medicalseg.reports.write_progress_png", lambda path, history: None)
        assert run_verb("crossval", flags(folder, folder / "out")) == 0
    parts = [["c2", "c1"], ["c0", "c3"]]
    splits = [{"train": parts[1 - fold], "val": parts[fold]} for fold in (0, 1)]
    (folder / "exchanged.json").write_text(json.dumps(splits))
    return folder


@pytest.fixture
def out(data, tmp_path):
    """A copy of the finished cross-validation."""
    shutil.copytree(data / "out", tmp_path / "out")
    return tmp_path / "out"


def flags(data: Path, out: Path, *more: str) -> list[str]:
    fixed = ["--config", str(data / "cubes.yml"), "--save_dir", str(out), "--device", "cpu", "--iters", "1"]
    return [*fixed, "--bootstrap", "0", *(more or ("--postprocessing", "none"))]


def exchanged(data: Path) -> list[str]:
    return [f"{key}_dataset.splits={data / 'exchanged.json'}" for key in ("train", "val")]


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def notes(out: Path) -> str:
    return " | ".join(summary(out)["stages"]["network"]["notes"])


def test_folds_of_other_cases_are_not_taken_for_done(data, out, capsys):
    before = (out / "summary.json").read_bytes()
    assert run_verb("crossval", flags(data, out, "--opts", *exchanged(data))) == 2
    told = capsys.readouterr().err
    assert "fold 0 was trained on other cases than it has now (new: c0; gone: c2)" in told
    assert "another --save_dir" in told
    assert (out / "summary.json").read_bytes() == before


def test_train_compares_too_before_it_resumes(data, out):
    opener = partial(Config, data / "cubes.yml", iters=2, opts=exchanged(data))
    with pytest.raises(UserError, match="fold 1 was trained on other cases"):
        train_folds(opener, TrainOptions(save_dir=str(out), device="cpu", resume="auto"), (1,))
    record = out / "fold_1/split.json"
    assert json.loads(record.read_text())["train"] == ["c0", "c1"]
    record.write_text(json.dumps({"train": ["c1", "c2"]}))
    with pytest.raises(UserError, match="fold 1 was trained on other cases"):
        train_folds(opener, TrainOptions(save_dir=str(out), device="cpu", resume="auto"), (1,))


def test_no_fold_is_trained_if_one_cannot_go_on(data, out):
    shutil.rmtree(out / "fold_0")
    opener = partial(Config, data / "cubes.yml", iters=1, opts=exchanged(data))
    with pytest.raises(UserError, match="fold 1 was trained on other cases"):
        train_folds(opener, TrainOptions(save_dir=str(out), device="cpu", resume="auto"), (0, 1))
    assert not (out / "fold_0").exists()


def test_cases_of_pretrained_weights_are_none_of_the_fold(data, tmp_path, capsys):
    weights = data / "out/fold_1/final_model"
    opener = partial(Config, data / "cubes.yml", iters=1, opts=[f"model.pretrained={weights}"])
    options = TrainOptions(save_dir=str(tmp_path), device="cpu", resume="auto")
    for _ in range(2):
        train_folds(opener, options, (0,))
    assert "Fold 0 is done" in capsys.readouterr().out
    arguments = flags(data, tmp_path, "--folds", "0", "--opts", f"model.pretrained={weights}")
    assert run_verb("crossval", arguments) == 2
    assert "fold 0: c0, c1 are to be scored, but model.pretrained was trained on" in capsys.readouterr().err


def test_a_case_that_was_learned_is_not_predicted(data, out):
    config = Config(data / "cubes.yml", fold=0, opts=exchanged(data))
    with pytest.raises(UserError, match=r"fold 0: c2 is to be scored, but .*final_model was trained on that"):
        predict_fold(config, 0, out / "fold_0", "final_model", TrainOptions(device="cpu"))


def test_a_leaking_split_is_told_before_anything_is_trained(data, tmp_path, capsys):
    splits = [{"train": ["c0", "c1"], "val": ["c1", "c2"]}, {"train": ["c2", "c3"], "val": ["c0", "c1"]}]
    (tmp_path / "leaking.json").write_text(json.dumps(splits))
    opts = [f"{key}_dataset.splits={tmp_path / 'leaking.json'}" for key in ("train", "val")]
    assert run_verb("crossval", flags(data, tmp_path / "run", "--opts", *opts)) == 2
    assert "fold 0: c1 is to be scored, but" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("fold_*/iter_*"))


def test_predictions_of_cases_that_left_are_removed(data, out):
    for name in ("validation", "validation_postprocessed"):
        shutil.copy(out / "fold_0/validation/c0.nii.gz", out / f"fold_0/{name}/c9.nii.gz")
    (out / "fold_0/validation/readme.txt").write_text("kept")
    assert run_verb("crossval", flags(data, out)) == 0
    assert sorted(path.name for path in (out / "fold_0/validation").iterdir()) == [
        "c0.nii.gz",
        "c1.nii.gz",
        "readme.txt",
    ]
    assert not (out / "fold_0/validation_postprocessed/c9.nii.gz").exists()


def test_a_changed_image_is_predicted_anew(data, out):
    image, paths = data / "cubes/imagesTr/c0_0000.nii.gz", [out / f"fold_0/validation/c{k}.nii.gz" for k in (0, 1)]
    times = [path.stat().st_mtime_ns for path in paths]
    state = image.stat()
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    try:
        assert run_verb("crossval", flags(data, out)) == 0
    finally:
        os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert paths[0].stat().st_mtime_ns > times[0]
    assert paths[1].stat().st_mtime_ns == times[1]


def test_a_training_label_that_changed_is_told(data, out, capsys):
    label = data / "cubes/labelsTr/c0.nii.gz"
    before = label.read_bytes()
    volume = read_label(label)
    try:
        write_volume(volume.with_array(np.flip(volume.array, 0), labels=True), label)
        assert run_verb("crossval", flags(data, out)) == 0
        assert run_verb("crossval", flags(data, out, "--iters", "2")) == 0
    finally:
        label.write_bytes(before)
    told = capsys.readouterr().out
    assert "The files of 1 training case changed since the run was started: c0" in told
    assert "fold 1 was trained before the files of c0 changed" in notes(out)
    assert "fold 0" not in notes(out)


def test_a_second_stage_is_predicted_anew_where_a_map_of_the_first_changed(data, out, tmp_path):
    words = [f"{key}_dataset.{name}" for key in ("train", "val") for name in (f"previous={out}", "previous_classes=1")]
    words += ["train_dataset.channels=[0]", "val_dataset.channels=[0]", "model.in_channels=2"]
    arguments = flags(data, tmp_path / "second", "--folds", "0", "--postprocessing", "none", "--opts", *words)
    assert run_verb("crossval", arguments) == 0
    paths = [tmp_path / f"second/fold_0/validation/c{case}.nii.gz" for case in (0, 1)]
    times = [path.stat().st_mtime_ns for path in paths]
    os.utime(out / "fold_0/validation_postprocessed/c1.nii.gz")
    assert run_verb("crossval", arguments) == 0
    assert [path.stat().st_mtime_ns > time for path, time in zip(paths, times, strict=True)] == [False, True]


def edit_ending(out: Path, fold: int, **changes: object) -> None:
    path = out / f"fold_{fold}/iter_1/trainer.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "ended": {**state["ended"], **changes}}))


def test_scored_cases_that_ended_or_steered_a_training_are_told(data, out):
    assert run_verb("crossval", flags(data, out)) == 0
    assert notes(out) == ""
    edit_ending(out, 1, early=True)
    edit_ending(out, 0, plateau="val_loss")
    assert run_verb("crossval", flags(data, out)) == 0
    assert "fold 1 ended by early stopping, which looked at the very cases that are scored" in notes(out)
    assert "the learning rate of fold 0 followed the very cases that are scored" in notes(out)
    assert "early stopping" in (out / "summary.md").read_text()


def test_a_run_records_what_steered_it(data, tmp_path):
    schedule = "lr_scheduler={type: ReduceOnPlateau, learning_rate: 0.02}"
    opener = partial(Config, data / "cubes.yml", iters=1, opts=[schedule])
    train_folds(opener, TrainOptions(save_dir=str(tmp_path), device="cpu", do_eval=True), (0,))
    ended = json.loads((tmp_path / "fold_0/iter_1/trainer.json").read_text())["ended"]
    assert (ended["early"], ended["plateau"]) == (False, "val_loss")


def fingerprint(folder: Path, *cases: str) -> None:
    content = {"orientation": "RAS", "summary": {}, "cases": [{"case": case} for case in cases]}
    (folder / "fingerprint.json").write_text(json.dumps(content))


def planned(folder: Path, *steps: dict) -> SimpleNamespace:
    return SimpleNamespace(path=folder / "3d.yml", dic={"postprocessing": list(steps)})


def test_cases_that_had_a_say_in_the_plan_are_told(tmp_path):
    anchored = planned(tmp_path, {"type": "OrderAlongSpine", "anchor": 100.0})
    assert plan_notes(anchored, ["a", "b"]) == ()
    fingerprint(tmp_path, "c", "d")
    assert plan_notes(anchored, ["a", "b"]) == ()
    fingerprint(tmp_path, "b", "c")
    (note,) = plan_notes(anchored, ["a", "b"])
    assert note.startswith("1 of 2 scored cases had a say in the plan: anchor of OrderAlongSpine")
    assert "flatter" in note
    for plain in (planned(tmp_path, {"type": "OrderAlongSpine"}), planned(tmp_path, KEEP), planned(tmp_path)):
        (remark,) = plan_notes(plain, ["a", "b"])
        assert remark.startswith("1 of 2 scored cases were measured for the plan (spacing, shapes, grey values")
        assert "flatter" not in remark
    (tmp_path / "fingerprint.json").write_text("[1]")
    assert plan_notes(anchored, ["a", "b"]) == ()


def test_the_report_has_the_note_of_the_plan(data, out):
    fingerprint(data, "c0", "c1", "c2", "c3")
    try:
        assert run_verb("crossval", flags(data, out)) == 0
    finally:
        (data / "fingerprint.json").unlink()
    assert "4 of 4 scored cases were measured for the plan" in notes(out)


def stored(folder: Path) -> list[dict]:
    return checkpoint.read_meta(folder)["task"]["postprocessing"]


def choose_keep(out: Path) -> None:
    path = out / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "postprocessing": [KEEP]}))


def test_a_network_of_all_cases_gets_what_crossval_chose(data, out, caplog):
    options = TrainOptions(save_dir=str(out), device="cpu", resume="auto")
    train_folds(partial(Config, data / "cubes.yml", iters=1), options, ("none",))
    assert stored(out / "fold_all/final_model") == []
    choose_keep(out)
    train_folds(partial(Config, data / "cubes.yml", iters=1), options, ("none",))
    assert stored(out / "fold_all/final_model") == [KEEP]
    assert "fold_all/final_model: postprocessing chosen by crossval: KeepLargestComponent" in caplog.text
    assert run_verb("crossval", flags(data, out)) == 0
    assert stored(out / "fold_all/final_model") == []


def test_a_network_of_another_configuration_does_not_get_it(data, out, caplog):
    choose_keep(out)
    own = {"type": "FillHoles"}
    opener = partial(Config, data / "cubes.yml", iters=1, opts=[f"postprocessing={json.dumps([own])}"])
    train_folds(opener, TrainOptions(save_dir=str(out), device="cpu"), ("none",))
    assert stored(out / "fold_all/final_model") == [own]
    assert "names other steps" in caplog.text


def test_measures_are_flags(data, out):
    more = ("--metrics", "dice", "assd", "nsd", "--tolerance_mm", "2.5", "--postprocessing", "none")
    assert run_verb("crossval", flags(data, out, *more)) == 0
    stage = summary(out)["stages"]["network"]
    assert "2.5 mm" in stage["rules"]["nsd"]
    head, *rows = (out / "summary.csv").read_text().splitlines()
    assert {"assd", "nsd"} <= set(head.split(","))
    assert "hd95" not in head
    assert len(rows) == 8
    table = (out / "summary.md").read_text().split("## Cases")[1]
    assert "NSD" in table.split("\n")[2]
