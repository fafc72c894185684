"""Cross-validation from end to end on tiny volumes, and that no case has a say in its own postprocessing."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score
from tiny_folds import make_cubes

from medicalseg.cli import run_verb
from medicalseg.core.compare import load_runs
from medicalseg.core.crossval import CrossvalOptions
from medicalseg.core.fold_predictions import POSTPROCESSED, FoldCases
from medicalseg.core.folder_pairs import Pair
from medicalseg.core.out_of_fold import choose, described, kept_as_they_are, postprocessed
from medicalseg.errors import DataError, UserError
from medicalseg.inference import TaskSpec
from medicalseg.io import Volume, read_label, write_volume
from medicalseg.utils import checkpoint

KEEP = {"type": "KeepLargestComponent"}


def flags(folder: Path, *more: str) -> list[str]:
    fixed = ["--config", str(folder / "cubes.yml"), "--save_dir", str(folder / "out"), "--device", "cpu"]
    return [*fixed, "--iters", "12", "--bootstrap", "50", *more]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished cross-validation."""
    folder = tmp_path_factory.mktemp("crossval")
    make_cubes(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medicalseg.reports.write_progress_png", lambda path, history: None)
        assert run_verb("crossval", flags(folder)) == 0
    return folder


def labels(path: Path) -> np.ndarray:
    return read_label(path).array


def test_every_case_is_predicted_once_and_scored(done):
    summary = json.loads((done / "out/summary.json").read_text())
    assert [(fold["fold"], fold["cases"]) for fold in summary["folds"]] == [(0, ["c0", "c1"]), (1, ["c2", "c3"])]
    network = summary["stages"]["network"]
    wanted = {}
    for fold in summary["folds"]:
        for case in fold["cases"]:
            path = done / f"out/fold_{fold['fold']}/validation/{case}.nii.gz"
            reference = labels(done / f"cubes/labelsTr/{case}.nii.gz")
            wanted[case] = f1_score(reference.ravel(), labels(path).ravel())
    assert {case["case"]: case["foreground_mean"] for case in network["cases"]} == pytest.approx(wanted)
    assert network["foreground_mean"]["dice"] == pytest.approx(np.mean(list(wanted.values())))
    assert network["std_over_cases"] == pytest.approx(np.std(list(wanted.values()), ddof=1))
    assert network["fold_means"]["0"] == pytest.approx((wanted["c0"] + wanted["c1"]) / 2)
    low, high = network["foreground_mean"]["interval"]
    assert min(wanted.values()) <= low <= high <= max(wanted.values())


def test_files_for_readers(done):
    rows = list(csv.DictReader((done / "out/summary.csv").open()))
    assert {row["stage"] for row in rows} == set(json.loads((done / "out/summary.json").read_text())["stages"])
    assert {(row["fold"], row["case"]) for row in rows} == {("0", "c0"), ("0", "c1"), ("1", "c2"), ("1", "c3")}
    page = (done / "out/summary.md").read_text()
    for word in ("fold 0", "c3", "cube", "final weights", "medicalseg predict --config"):
        assert word in page
    log = (done / "out/crossval.log").read_text()
    assert "Predict with all folds together" in log


def test_compare_reads_the_stage_to_quote(done, tmp_path):
    summary = json.loads((done / "out/summary.json").read_text())
    (run,) = load_runs([f"five={done / 'out'}"])
    assert run.foreground == summary["stages"][summary["headline"]]["foreground_mean"]["dice"]
    assert sorted(run.cases) == ["c0", "c1", "c2", "c3"]
    assert (run.program, run.cost.network, run.cost.dimensions) == ("crossval", "UNet3D", "3D")
    assert run.problems == ()
    assert "cross-validated on 2 folds" in run.notes[-1]
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(DataError, match="is no summary of medicalseg crossval"):
        load_runs([str(tmp_path)])


def test_the_set_to_be_quoted_is_complete(done):
    for fold_folder in (done / "out").glob("fold_*"):
        names = [{path.name for path in (fold_folder / name).iterdir()} for name in ("validation", POSTPROCESSED)]
        assert names[0] == names[1] != set()


def test_predict_gives_the_same_labels(done):
    """The folds' label maps are those of `medicalseg predict`, before postprocessing."""
    meta = checkpoint.read_meta(done / "out/fold_0/final_model")
    assert meta["task"]["postprocessing"] == json.loads((done / "out/summary.json").read_text())["postprocessing"]
    assert run_verb("predict", [
        "--config", str(done / "cubes.yml"), "--model_path", str(done / "out/fold_0/final_model"), "--device", "cpu",
        "--image_path", str(done / "cubes/imagesTr/c1_0000.nii.gz"), "--save_dir", str(done / "predicted"),
    ]) == 0  # fmt: skip
    written = next((done / "predicted").glob("c1*.nii.gz"))
    if not meta["task"]["postprocessing"]:
        np.testing.assert_array_equal(labels(written), labels(done / "out/fold_0/validation/c1.nii.gz"))


def test_steps_of_the_configuration_are_part_of_every_stage(done, tmp_path):
    """They are applied to what is scored, and stored in front of what is chosen."""
    config = tmp_path / "steps.yml"
    step = {"type": "RemoveSmallComponents", "min_volume_mm3": 1e9}
    config.write_text(json.dumps({"_base_": str(done / "cubes.yml"), "postprocessing": [step]}))
    shutil.copytree(done / "out", tmp_path / "out")
    arguments = flags(tmp_path, "--postprocessing", "auto", "--opts", "train_dataset.foreground=0.4")
    arguments[1] = str(config)
    assert run_verb("crossval", arguments) == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["postprocessing_of_the_configuration"] == [step] == summary["postprocessing"][:1]
    assert summary["stages"]["network"]["foreground_mean"]["dice"] == 0
    assert not labels(tmp_path / "out/fold_0/validation/c0.nii.gz").any()
    meta = checkpoint.read_meta(tmp_path / "out/fold_0/final_model")
    assert meta["task"]["postprocessing"] == summary["postprocessing"]
    assert "--opts train_dataset.foreground=0.4 --image_path" in summary["ensemble"]


def test_what_is_done_is_kept(done):
    folder = done / "out/fold_1"
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*/*.*") if "meta" not in path.name}
    lost = folder / "validation/c2.nii.gz"
    before = labels(lost)
    lost.unlink()
    assert run_verb("crossval", flags(done, "--postprocessing", "none")) == 0
    np.testing.assert_array_equal(labels(lost), before)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items() if path.name != lost.name)
    assert list(json.loads((done / "out/summary.json").read_text())["stages"]) == ["network"]
    assert checkpoint.read_meta(folder / "final_model")["task"]["postprocessing"] == []


def test_other_weights_predict_anew(done):
    """What was predicted with other weights is not mixed in."""
    record = done / "out/fold_1/validation.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "weights": "others"}))
    path = done / "out/fold_1/validation/c3.nii.gz"
    time = path.stat().st_mtime_ns
    assert run_verb("crossval", flags(done, "--postprocessing", "none")) == 0
    assert path.stat().st_mtime_ns > time
    assert json.loads(record.read_text()) == content


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--folds", "none"], "trains on all cases"),
        (["--resume", "iter_3"], "crossval always goes on"),
        (["--weights", "best"], "needs --do_eval"),
        (["--weights", "best", "--do_eval"], "was trained without --do_eval"),
        (["--folds", "7"], "the data have the folds 0 to 1"),
    ],
)
def test_wrong_flags(done, capsys, more, message):
    assert run_verb("crossval", flags(done, *more)) == 2
    assert message in capsys.readouterr().err


def test_ranks_are_started(done, monkeypatch):
    started = []
    monkeypatch.setattr("medicalseg.cli.train._launch", lambda ranks, save_dir: started.append(ranks))
    assert run_verb("crossval", flags(done, "--nproc_per_node", "2")) == 0
    assert started == [2]


def test_wrong_options():
    with pytest.raises(UserError, match="--bootstrap -1"):
        CrossvalOptions(bootstrap=-1)


def fold(number: int, folder: Path, satellites: bool) -> FoldCases:
    """Two cases with one block each; the prediction has a part too many, or the reference has two parts."""
    pairs = []
    for case in range(2):
        block = np.zeros((12, 12, 12), np.uint8)
        block[1:6, 1:6, 1:6] = 1
        both = block.copy()
        both[9:11, 9:11, 9:11] = 1
        predicted, reference = both, block if satellites else both
        pair = Pair(f"f{number}_{case}", folder / f"{number}_{case}_ref.nii.gz", folder / f"{number}_{case}.nii.gz")
        for array, path in ((predicted, pair.prediction), (reference, pair.reference)):
            write_volume(Volume(array, np.eye(4)), path, labels=True)
        pairs.append(pair)
    task = TaskSpec(num_classes=2, labels={1: "block"})
    return FoldCases(number, folder / f"fold_{number}", tuple(pairs), task)


def test_steps_of_a_fold_are_chosen_on_the_others(tmp_path, monkeypatch):
    import medicalseg.postprocessing as package

    asked: list[set[str]] = []
    real = package.choose_postprocessing

    def watched(pairs, task, **arguments):
        pairs = list(pairs)
        asked.append({name for name, _, _ in pairs})
        return real(pairs, task, candidates=[KEEP], **arguments)

    monkeypatch.setattr(package, "choose_postprocessing", watched)
    folds = [fold(0, tmp_path, satellites=True), fold(1, tmp_path, satellites=False)]
    choice = choose(folds, 0)
    names = [{pair.name for pair in member.pairs} for member in folds]
    assert asked == [names[0] | names[1], names[1], names[0]]
    assert described(choice.of_fold[0]) == "none"
    assert described(choice.of_fold[1]).startswith("KeepLargestComponent")
    pairs = postprocessed(folds[1], choice.of_fold[1], tmp_path / "post", 0)
    assert all(labels(pair.prediction).sum() == 125 for pair in pairs)
    assert postprocessed(folds[0], choice.of_fold[0], tmp_path / "post", 0) == folds[0].pairs


def test_a_choice_on_few_cases_is_told(tmp_path, caplog):
    folds = [fold(number, tmp_path, satellites=True) for number in range(2)]
    choice = choose(folds, 0)
    assert choice.notes == ("postprocessing was chosen on 2 cases only: a step that helps so few may do so by chance",)
    assert "chosen on 2 cases only" in caplog.text
    assert choose([fold(number, tmp_path, satellites=True) for number in range(7)], 0).notes == ()
    assert choose([fold(number, tmp_path, satellites=False) for number in range(2)], 0).notes == ()


def test_predictions_without_a_step_are_kept_beside_the_others(tmp_path):
    member = fold(0, tmp_path, satellites=True)
    target = tmp_path / "fold_0" / "validation_postprocessed"
    target.mkdir(parents=True)
    (target / "0_0.nii.gz").write_bytes(b"stale")
    for _ in range(2):
        kept_as_they_are(member, target)
    for pair in member.pairs:
        assert (target / pair.prediction.name).read_bytes() == pair.prediction.read_bytes()
    assert len(list(target.iterdir())) == 2


def test_one_fold_cannot_choose_for_itself(tmp_path):
    choice = choose([fold(0, tmp_path, satellites=True)], 0)
    assert choice.of_fold is None
    assert choice.shipped
