"""`val` and `predict` from the command line, on small volumes and a network whose output is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from medicalseg.cli import run_verb  # noqa: E402
from medicalseg.cvlibs import manager  # noqa: E402
from medicalseg.datasets.splits import LEAKING_NOTE  # noqa: E402
from medicalseg.inference import Preprocessing, TaskSpec  # noqa: E402
from medicalseg.io import Volume, read_label, write_volume  # noqa: E402
from medicalseg.utils.checkpoint import save_state  # noqa: E402

AFFINE = np.diag([1.0, 1.5, 3.0, 1.0])
CONFIG = """
model: {{type: IntensityNetwork, num_classes: 3{pretrained}}}
val_dataset: {{type: DecathlonDataset, dataset_root: {root}, fold: 0, normalize: none, cache: none,
  preprocess: {{orientation: LPS, divisor: [4, 4, 4]}}, result_dir: {root}/../splits}}
class_groups: {{"3 classes": [0, 1, 2], "2 classes*": [0, 1]}}
loss:
  types: [{{type: MixedLoss, losses: [{{type: CrossEntropyLoss}}, {{type: DiceLoss}}], coef: [1, 1]}}]
  coef: [1]
"""


class IntensityNetwork(paddle.nn.Layer):
    """The class is the intensity, shifted by a weight."""

    def __init__(self, num_classes: int = 3, pretrained: str | None = None) -> None:
        super().__init__()
        if pretrained:
            raise OSError("pretrained weights must not be fetched")
        self.num_classes = num_classes
        self.shift = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(5.0))

    def forward(self, x):  # type: ignore[no-untyped-def]
        classes = paddle.arange(self.num_classes, dtype="float32").reshape([1, -1, 1, 1, 1])
        return [-9 * (x + self.shift - classes) ** 2]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    manager.MODELS.add_component(IntensityNetwork)
    yield
    manager.MODELS.components_dict.pop("IntensityNetwork")


def labels(shift: int) -> np.ndarray:
    array = np.zeros((9, 10, 6), np.uint8)
    array[1:5, 2 + shift : 6 + shift, 1:4] = 1
    array[5:8, 2:5, 2:5] = 2
    return array


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two validation cases, one of them wrong by a voxel; a configuration and weights."""
    root = tmp_path / "data"
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    cases = [f"case_{index}" for index in range(3)]
    for index, name in enumerate(cases):
        write_volume(Volume(labels(index).astype(np.float32), AFFINE), root / "imagesTr" / f"{name}.nii.gz")
        write_volume(Volume(labels(0), AFFINE), root / "labelsTr" / f"{name}.nii.gz")
    description = {
        **{"name": "toy", "modality": {"0": "MR"}, "labels": {"0": "background", "1": "S", "2": "L5"}},
        **{"numTraining": 3, "file_ending": ".nii.gz"},
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in cases],
    }
    (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    splits = [{"train": cases[2:], "val": cases[:2]}]
    (root / "splits_final.json").write_text(json.dumps(splits), encoding="utf-8")
    (tmp_path / "c.yml").write_text(CONFIG.format(root=root, pretrained=""), encoding="utf-8")
    save_state(tmp_path / "best_model" / "model.pdparams", {"shift": np.zeros(1, np.float32)})
    return tmp_path


@pytest.fixture
def run(data: Path) -> Callable[..., int]:
    def call(verb: str, *more: str, config: str = "c.yml") -> int:
        weights = data / "best_model" / "model.pdparams"
        common = ["--config", str(data / config), "--model_path", str(weights), "--save_dir", str(data / verb)]
        return run_verb(verb, [*common, *more])

    return call


def test_val_then_predict_give_the_same_figures(
    run: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("val", "--num_workers", "2", "--auc_roc", "True", "--use_vdl", "True") == 0
    shown = capsys.readouterr().out
    assert "[EVAL] #Images: 2, Dice: 0." in shown
    assert "Loss: " in shown
    assert "scored on the original grid" in shown
    assert "Dice (2 classes*)" in shown
    names = {path.name for path in (data / "val").iterdir()}
    assert {"metrics.json", "metrics.csv", "overlays", "predictions"} <= names
    assert any(name.startswith("vdlrecords") for name in names)
    (data / "list.txt").write_text("data/imagesTr/case_0.nii.gz\ndata/imagesTr/case_1.nii.gz\n", encoding="utf-8")
    paths = ["--image_path", str(data / "list.txt"), "--label_path", str(data / "data" / "labelsTr")]
    assert run("predict", *paths) == 0
    table = capsys.readouterr().out
    evaluated, predicted = (
        json.loads((data / verb / "metrics.json").read_text(encoding="utf-8")) for verb in ("val", "predict")
    )
    assert predicted["foreground_mean"] == evaluated["foreground_mean"]
    assert predicted["groups"] == evaluated["groups"]
    assert [row["dice"] for row in predicted["classes"]] == [row["dice"] for row in evaluated["classes"]]
    assert "foreground mean Dice" in table
    for name in ("case_0", "case_1"):
        written = read_label(data / "predict" / f"{name}.nii.gz")
        np.testing.assert_array_equal(written.array, labels(int(name[-1])))
        np.testing.assert_array_equal(read_label(data / "val" / "predictions" / f"{name}.nii.gz").array, written.array)


def test_network_grid_and_windows(run: Callable[..., int], data: Path) -> None:
    window = ["--opts", "test_config={sliding: {window: [4, 5, 6]}}", "--sw_num", "2"]
    assert run("val", "--eval_space", "network", "--is_save_data", "False", "--overlays", "0", *window) == 0
    content = json.loads((data / "val" / "metrics.json").read_text(encoding="utf-8"))
    assert content["grid"] == "network"
    assert sorted(path.name for path in (data / "val").iterdir()) == ["metrics.csv", "metrics.json"]


def test_what_is_written_follows_test_config_and_flags(run: Callable[..., int], data: Path) -> None:
    block = ["--opts", "test_config={overlays: 0, save_predictions: 1}"]
    assert run("val", *block) == 0
    assert not (data / "val" / "overlays").exists()
    assert [path.name for path in (data / "val" / "predictions").iterdir()] == ["case_0.nii.gz"]
    assert run("val", "--overlays", "1", "--is_save_data", "True", *block) == 0
    assert len(list((data / "val" / "overlays").iterdir())) == 1
    assert len(list((data / "val" / "predictions").iterdir())) == 2


def test_pretrained_weights_are_not_fetched_again(run: Callable[..., int], data: Path) -> None:
    text = CONFIG.format(root=data / "data", pretrained=", pretrained: 'https://example.invalid/model.pdparams'")
    (data / "p.yml").write_text(text, encoding="utf-8")
    assert run("val", "--overlays", "0", config="p.yml") == 0


def test_task_comes_from_the_checkpoint(
    run: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = {"task": {"num_classes": 3, "labels": {"1": "ONE"}, "preprocessing": {"orientation": "RAS"}}}
    (data / "best_model" / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    image, label = (str(data / "data" / folder / "case_1.nii.gz") for folder in ("imagesTr", "labelsTr"))
    assert run("predict", "--image_path", image, "--label_path", label, "--overlays", "0") == 0
    assert "ONE" in capsys.readouterr().out
    assert run("val", "--overlays", "0") == 0
    assert "trained with another preprocessing" in capsys.readouterr().out


def test_steps_and_windows_stored_with_the_weights_count_in_val_and_predict(
    run: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preprocessing = {"orientation": "LPS", "divisor": [4, 4, 4]}
    steps = [{"type": "RemoveSmallComponents", "min_volume_mm3": 150.0}]
    task = {"num_classes": 3, "preprocessing": preprocessing, "restoring": "scores", "postprocessing": steps}
    task["sliding"] = {"window": [4, 5, 6], "mirror_axes": [0]}
    (data / "best_model" / "meta.json").write_text(json.dumps({"task": task}), encoding="utf-8")
    assert run("val", "--overlays", "0") == 0
    assert run("predict", "--image_path", str(data / "data" / "imagesTr" / "case_0.nii.gz")) == 0
    predicted = read_label(data / "predict" / "case_0.nii.gz").array
    assert set(np.unique(predicted)) == {0, 1}
    evaluated = read_label(data / "val" / "predictions" / "case_0.nii.gz").array
    np.testing.assert_array_equal(evaluated, predicted)


def test_a_broken_image_gives_exit_code_2_and_the_rest_is_written(
    run: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "data" / "imagesTr" / "case_1.nii.gz").write_bytes(b"broken")
    assert run("predict", "--image_path", str(data / "data" / "imagesTr")) == 2
    assert "1 of 3 cases failed: case_1" in capsys.readouterr().out
    assert sorted(path.name for path in (data / "predict").iterdir()) == ["case_0.nii.gz", "case_2.nii.gz"]


@pytest.mark.parametrize(
    ("verb", "more", "message"),
    [
        ("val", ["--model_path", "absent.pdparams"], "no weights at absent.pdparams"),
        ("val", ["--split", "test"], "test_dataset"),
        ("val", ["--save_dir", "{data}/data/new"], "lies in the dataset's folder"),
        ("val", ["--save_dir", "{data}/c.yml"], "is a file"),
        ("val", ["--nnunet_summary", "{data}/data/summary.json"], "lies in the dataset's folder"),
        ("val", ["--nnunet_summary", "{data}"], "is a folder"),
        ("val", ["--sw_num", "2"], "test_config.sliding.window"),
        ("val", ["--opts", "test_config={sliding: {window: [4, 4, 4], odd: 1}}"], "odd"),
        ("predict", ["--image_path", "absent"], "absent"),
        ("predict", ["--image_path", "{data}/data/imagesTr", "--save_dir", "{data}/data/imagesTr"], "input folder"),
        ("predict", ["--image_path", "{data}/data/imagesTr", "--label_path", "absent"], "absent"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    run: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str], verb: str, more: list[str], message: str
) -> None:
    assert run(verb, *(part.replace("{data}", str(data)) for part in more)) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1


def test_training_cases_among_the_evaluated_ones_are_told(
    run: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (data / "c.yml").read_text(encoding="utf-8")
    start = text.index("val_dataset")
    block = text[start : text.index("class_groups")].replace("val_dataset", "train_dataset")
    (data / "t.yml").write_text(text + block, encoding="utf-8")
    assert run("val", "--overlays", "0", config="t.yml") == 0
    assert "!! NOTE" not in capsys.readouterr().out
    (data / "l.yml").write_text(text + block.replace("{type", "{mode: val, type"), encoding="utf-8")
    assert run("val", "--overlays", "0", config="l.yml") == 0
    assert f"!! NOTE: {LEAKING_NOTE}: 2 of 2" in capsys.readouterr().out
    assert run("val", "--overlays", "0", "--opts", "train_dataset.splits=none.json", config="l.yml") == 0
    shown = capsys.readouterr().out
    assert "!! NOTE" not in shown
    assert "is not known: splits: " in shown
    assert run("val", "--overlays", "0", "--split", "train", config="t.yml") == 0
    assert "!! NOTE: these are the cases that the network was trained on" in capsys.readouterr().out


def test_scores_on_training_cases_recorded_with_the_weights_are_told(
    run: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One member of several is enough."""
    other = data / "other"
    shutil.copytree(data / "best_model", other)
    (other / "meta.json").write_text(json.dumps({"train_cases": ["case_1", "case_9"]}), encoding="utf-8")
    paths = ["--image_path", str(data / "data" / "imagesTr"), "--label_path", str(data / "data" / "labelsTr")]
    both = ["--model_path", str(data / "best_model"), str(other)]
    for verb, more, count in (("val", [], 2), ("predict", paths, 3)):
        assert run(verb, "--overlays", "0", *more, *both) == 0
        note = f"1 of {count} scored cases have the names of cases that the network was trained on: case_1;"
        assert f"!! NOTE: {note}" in capsys.readouterr().out
        notes = json.loads((data / verb / "metrics.json").read_text(encoding="utf-8"))["notes"]
        assert [text for text in notes if text.startswith(note)]
        assert run(verb, "--overlays", "0", *more) == 0
        assert "!! NOTE" not in capsys.readouterr().out


def test_networks_of_one_evaluation_need_one_task(
    run: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = TaskSpec(3, labels={0: "background", 1: "S", 2: "L5"}, preprocessing=Preprocessing(orientation="LPS"))
    for name, changes in (
        ("same", {"postprocessing": ({"type": "FillHoles"},)}),
        ("grid", {"preprocessing": Preprocessing(orientation="RAS")}),
        ("names", {"labels": {0: "background", 1: "S", 2: "L4"}}),
        ("first", {}),
    ):
        shutil.copytree(data / "best_model", data / name)
        content = {"task": replace(task, **changes).to_dict()}
        (data / name / "meta.json").write_text(json.dumps(content), encoding="utf-8")
    for other, message in (("grid", "task.preprocessing"), ("names", "task.labels")):
        assert run("val", "--overlays", "0", "--model_path", str(data / "first"), str(data / other)) == 2
        assert f"network 2 differs from the first in {message}" in capsys.readouterr().err
    assert run("val", "--overlays", "0", "--model_path", str(data / "first"), str(data / "same")) == 0
    assert "Network 2 has other postprocessing than the first" in capsys.readouterr().out


def test_folds_that_differ_between_the_blocks_are_told(
    run: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Masks kept elsewhere hide nothing."""
    cases = [f"case_{index}" for index in range(3)]
    splits = [{"train": cases[:i] + cases[i + 1 :], "val": [cases[i]]} for i in (2, 0)]
    (data / "data" / "splits_final.json").write_text(json.dumps(splits), encoding="utf-8")
    shutil.copytree(data / "data" / "labelsTr", data / "data" / "others")
    text = (data / "c.yml").read_text(encoding="utf-8")
    start = text.index("val_dataset")
    block = text[start : text.index("class_groups")].replace("val_dataset", "train_dataset")
    (data / "f.yml").write_text(text + block.replace("{type", "{labels_dir: others, type"), encoding="utf-8")
    assert run("val", "--overlays", "0", config="f.yml") == 0
    assert "!! NOTE" not in capsys.readouterr().out
    assert run("val", "--overlays", "0", "--opts", "val_dataset.fold=1", config="f.yml") == 0
    assert f"!! NOTE: {LEAKING_NOTE}: 1 of 1" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["val", "predict"])
def test_wrong_flags(run: Callable[..., int], verb: str) -> None:
    assert run(verb, "--overlays", "7") == 2
    assert run(verb, "--no_such_flag") == 2


def test_further_measures_are_the_same_in_val_predict_and_evaluate(run: Callable[..., int], data: Path) -> None:
    flags = ["--metrics", "nsd", "hd95", "detection", "--level_order", "1", "2", "--bootstrap", "50"]
    assert run("val", *flags, "--calibration", "True", "--overlays", "0") == 0
    (data / "list.txt").write_text("data/imagesTr/case_0.nii.gz\ndata/imagesTr/case_1.nii.gz\n", encoding="utf-8")
    references = str(data / "data" / "labelsTr")
    assert run("predict", *flags, "--image_path", str(data / "list.txt"), "--label_path", references) == 0
    folders = [str(data / "val" / "predictions"), references, "--missing", "skip", "--config", str(data / "c.yml")]
    assert run_verb("evaluate", [*folders, *flags, "--save_dir", str(data / "evaluate")]) == 0
    reports = [
        json.loads((data / verb / "metrics.json").read_text(encoding="utf-8"))
        for verb in ("val", "predict", "evaluate")
    ]
    for key in ("foreground_mean", "measures", "levels", "rules", "bootstrap", "pooled_detection"):
        assert reports[0][key] == reports[1][key] == reports[2][key]
    assert reports[0]["measures"]["hd95"]["classes"][1]["value"] == pytest.approx(0.75)
    assert 0 <= reports[0]["calibration"]["foreground_error"] < 0.5
    assert (data / "val" / "reliability.png").is_file()


def test_nnunet_form_of_val_is_that_of_evaluate(run: Callable[..., int], data: Path) -> None:
    first, second = data / "new" / "val.json", data / "evaluate.json"
    assert run("val", "--overlays", "0", "--nnunet_summary", str(first)) == 0
    folders = [str(data / "val" / "predictions"), str(data / "data" / "labelsTr"), "--config", str(data / "c.yml")]
    assert run_verb("evaluate", [*folders, "--missing", "skip", "--nnunet_summary", str(second)]) == 0
    found, expected = (json.loads(path.read_text(encoding="utf-8")) for path in (first, second))
    assert expected.pop("notes")
    assert found == expected
    assert {len(case["metrics"]) for case in found["metric_per_case"]} == {2}
    assert run("val", "--overlays", "0", "--is_save_data", "False", "--nnunet_summary", str(first)) == 0
    found = json.loads(first.read_text(encoding="utf-8"))
    assert [case["prediction_file"] for case in found["metric_per_case"]] == [None, None]
    assert [Path(case["reference_file"]).name for case in found["metric_per_case"]] == [
        *("case_0.nii.gz", "case_1.nii.gz")
    ]
    window = ["--eval_space", "network", "--save_dir", str(data / "other")]
    assert run("val", "--overlays", "0", "--nnunet_summary", str(first), *window) == 0
    found = json.loads(first.read_text(encoding="utf-8"))
    assert {case["prediction_file"] for case in found["metric_per_case"]} == {None}


def test_level_order_and_calibration_of_the_configuration(run: Callable[..., int], data: Path) -> None:
    block = ["--opts", "test_config={level_order: [1, 2], calibration: True, overlays: 0}"]
    assert run("val", *block) == 0
    content = json.loads((data / "val" / "metrics.json").read_text(encoding="utf-8"))
    assert content["levels"][0]["names"] == ["S", "L5"]
    assert content["calibration"]["channels"][0]["error"] >= 0
    folders = [str(data / "data" / folder) for folder in ("imagesTr", "labelsTr")]
    assert run("predict", "--image_path", folders[0], "--label_path", folders[1], "--overlays", "0", *block) == 0
    content = json.loads((data / "predict" / "metrics.json").read_text(encoding="utf-8"))
    assert content["levels"][0]["names"] == ["S", "L5"]
    assert run("val", "--level_order", "1", "9") == 2
