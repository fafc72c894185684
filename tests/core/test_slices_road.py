"""Networks for images from training to the deployed model: the same labels everywhere, for every kind of head."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

paddle = pytest.importorskip("paddle")

from paddle import nn  # noqa: E402

from medicalseg.cli.main import main  # noqa: E402
from medicalseg.core.export import export  # noqa: E402
from medicalseg.core.fit import check_fit, check_network, check_together  # noqa: E402
from medicalseg.core.trained import asked_task  # noqa: E402
from medicalseg.cvlibs import manager  # noqa: E402
from medicalseg.errors import ConfigError, UserError  # noqa: E402
from medicalseg.inference import EagerNetwork, Preprocessing, SliceSpec, SliceWise, TaskSpec, inferer_for  # noqa: E402
from medicalseg.inference.outputs import read_labels  # noqa: E402
from medicalseg.inference.static_network import RuntimeOptions, StaticNetwork  # noqa: E402
from medicalseg.io import Volume, read_volume, write_volume  # noqa: E402
from medicalseg.models.base_2d import SegmentationModel2D  # noqa: E402

AFFINE = np.array([[0, 0, -3.0, 5], [-1.0, 0, 0, 7], [0, -1.5, 0, -9], [0, 0, 0, 1]])
SHAPE = (34, 36, 6)


@manager.MODELS.add_component
class TinyImages(SegmentationModel2D):
    """Two convolutions."""

    def __init__(self, in_channels: int = 1, num_classes: int = 2) -> None:
        super().__init__(in_channels, num_classes)
        self.body = nn.Sequential(nn.Conv2D(in_channels, 6, 3, padding=1), nn.BatchNorm2D(6), nn.ReLU())
        self.head = nn.Conv2D(6, num_classes, 1)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.body(x))


def boxes(number: int) -> np.ndarray:
    """Two boxes that overlap: masks (2, X, Y, Z)."""
    masks = np.zeros((2, *SHAPE), np.uint8)
    masks[0, 5 + number : 20, 6:24, 1:5] = 1
    masks[1, 12:28, 15:30, 2:6] = 1
    return masks


def make_data(root: Path, overlapping: bool, binary: bool) -> Path:
    """Prepared arrays with originals on their own grid, and the same images as files."""
    steps = Preprocessing(orientation="RAS", spacing=(2.0, 1.0, 1.5))
    for folder in ("images", "labels", "originals", "files"):
        (root / folder).mkdir(parents=True)
    names, grids = [], {}
    for number in range(3):
        masks = boxes(number)
        noise = np.random.default_rng(number).normal(0, 0.2, SHAPE)
        image = Volume((3 * masks[0] + 2 * masks[1] + noise + 1).astype(np.float32), AFFINE)
        ids = masks[0] if binary else np.where(masks[1], 2, masks[0])
        array, record = steps.apply(image)
        parts = [steps.apply_label(Volume(part, AFFINE)) for part in (masks if overlapping else [ids])]
        np.save(root / f"images/c{number}.npy", array[0])
        np.save(root / f"labels/c{number}.npy", np.stack(parts).astype(np.uint8) if overlapping else parts[0])
        write_volume(Volume(masks if overlapping else ids, AFFINE), root / f"originals/c{number}.nii.gz", labels=True)
        write_volume(image, root / f"files/c{number}.nii.gz")
        names.append(f"images/c{number}.npy labels/c{number}.npy\n")
        grids[f"c{number}"] = {"grid": record.to_dict()}
    (root / "train_list.txt").write_text("".join(names))
    (root / "val_list.txt").write_text("".join(names[1:]))
    labels = {"0": "background", "1": "box"} if binary else {"0": "background", "1": "box", "2": "other box"}
    content = {"labels": labels, "training": grids, "preprocessing": steps.to_dict()}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def make_config(folder: Path, head: str, classes: int, slices: dict, losses: list[str]) -> Path:
    common = {"type": "MedicalDataset", "dataset_root": str(folder / "data"), "slices": slices, "head": head}
    common["num_classes"] = classes
    flip = {"type": "RandomFlip3D"}
    content = {
        "batch_size": 2,
        "iters": 12,
        "train_dataset": {**common, "mode": "train", "transforms": [flip], "foreground": 0.5, "normalize": "zscore"},
        "val_dataset": {**common, "mode": "val", "transforms": [], "normalize": "zscore"},
        "model": {"type": "TinyImages", "in_channels": slices.get("num_slices", 1), "num_classes": classes},
        "optimizer": {"type": "adam"},
        "lr_scheduler": {"type": "Constant", "learning_rate": 0.05},
        "loss": {"types": [{"type": "MixedLoss", "losses": [{"type": name} for name in losses], "coef": [1, 1]}]},
    }
    content["loss"]["coef"] = [1]
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


ROADS = {
    "softmax in stacks": ("softmax", 3, {"axis": 0, "num_slices": 3}, ["CrossEntropyLoss", "DiceLoss"], False),
    "one structure": ("sigmoid", 1, {"axis": 2}, ["BCELoss", "DiceLoss"], False),
    "two that overlap": ("sigmoid", 2, {"axis": 1, "num_slices": 3, "edge": "reflect"}, ["BCELoss", "DiceLoss"], True),
}


@pytest.mark.parametrize("road", ROADS, ids=str)
def test_train_val_export_infer(road: str, tmp_path: Path) -> None:
    head, classes, slices, losses, overlapping = ROADS[road]
    make_data(tmp_path / "data", overlapping, binary=classes == 1)
    config = make_config(tmp_path, head, classes, slices, losses)
    run, weights = tmp_path / "run", tmp_path / "run" / "iter_12"
    common = ["--config", str(config), "--device", "cpu"]
    assert main(["train", *common, "--save_dir", str(run), "--do_eval", "--save_interval", "12"]) == 0
    trained = [*common, "--model_path", str(weights), "--save_dir"]
    assert main(["val", *trained, str(tmp_path / "val"), "--auc_roc", "True"]) == 0
    export_arguments = ["--config", str(config), "--model_path", str(weights), "--save_dir", str(tmp_path / "model")]
    assert main(["export", *export_arguments]) == 0
    files, labels = str(tmp_path / "data/files"), str(tmp_path / "data/originals")
    both = ["--image_path", files, "--label_path", labels]
    assert main(["predict", *trained, str(tmp_path / "predict"), *both, "--overlays", "1"]) == 0
    deployed = ["--config", str(tmp_path / "model"), "--device", "cpu", "--save_dir", str(tmp_path / "infer")]
    assert main(["infer", *deployed, *both, "--benchmark", "--batch_size", "2", "--overlays", "1"]) == 0
    _compare(tmp_path, overlapping)


def _compare(folder: Path, overlapping: bool) -> None:
    deploy = yaml.safe_load((folder / "model/deploy.yaml").read_text())["Deploy"]
    task = TaskSpec.from_dict(deploy["task"])
    assert deploy["output_op"] == ("argmax" if task.head == "softmax" else "threshold")
    assert deploy["input_shape"] == [-1, task.network_channels, -1, -1]
    assert deploy["output_dtype"] == "int32"
    scores = {name: json.loads((folder / name / "metrics.json").read_text()) for name in ("val", "predict", "infer")}
    assert 0 <= scores["val"]["auc_roc"] <= 1
    assert scores["val"]["loss"] > 0
    for name in ("c1", "c2"):
        first = read_volume(folder / f"val/predictions/{name}.nii.gz", channels=overlapping)
        assert first.array.ndim == (4 if overlapping else 3)
        for other in ("predict", "infer"):
            second = read_volume(folder / f"{other}/{name}.nii.gz", channels=overlapping)
            np.testing.assert_array_equal(second.array, first.array)
            np.testing.assert_allclose(second.affine, AFFINE, atol=1e-5)
            mine, theirs = (
                next(case["dice"] for case in scores[source]["cases"] if case["case"] == name)
                for source in ("val", other)
            )
            assert mine == theirs
        found = np.unique(read_labels(folder / f"val/predictions/{name}.nii.gz", task).array)
        assert len(found) > 1
        assert found.max() <= (3 if overlapping else task.num_ids - 1)
    assert list((folder / "val/overlays").glob("best_*.png"))
    assert list((folder / "infer/overlays").glob("best_*.png"))


def small(head: str = "sigmoid", classes: int = 2, **more) -> tuple[TinyImages, TaskSpec]:
    paddle.seed(0)
    task = TaskSpec(classes, head=head, slices=SliceSpec(num_slices=3), **more)
    model = TinyImages(3, classes)
    model.head.weight.set_value(5 * model.head.weight.numpy())
    model.eval()
    return model, task


@pytest.mark.parametrize("output_op", ["threshold", "sigmoid", "none"])
def test_exported_sigmoids_decide_as_the_network(output_op: str, tmp_path: Path) -> None:
    model, task = small(threshold=0.3)
    export(model, task, tmp_path, output_op=output_op)
    image = np.random.default_rng(0).random((1, 20, 45, 5)).astype(np.float32)
    eager, deployed = EagerNetwork(model, task.decision), StaticNetwork(tmp_path)
    inferer = SliceWise(task.slices, batch=2)
    labels = inferer.labels(eager, image)
    assert deployed.gives_labels == (output_op == "threshold")
    assert len(np.unique(labels)) > 2
    assert (inferer.labels(deployed, image) == labels).mean() > 0.9999
    if output_op != "threshold":
        window = SliceWise(task.slices, window=32)
        least = 0.9999 if output_op == "none" else 0.9
        assert (window.labels(deployed, image) == window.labels(eager, image)).mean() > least


def test_export_check_finds_a_wrong_threshold(tmp_path: Path) -> None:
    from medicalseg.core.export_check import compare

    model, task = small()
    export(model, task, tmp_path)
    x = np.random.default_rng(0).random((1, 3, 32, 32)).astype(np.float32)
    logits = EagerNetwork(model).logits(x)
    assert compare(StaticNetwork(tmp_path), logits, x).accepted
    moved = compare(StaticNetwork(tmp_path), logits - 0.5, x)
    assert not moved.accepted
    assert 0.4 < moved.difference <= 0.5


def test_onnx_gives_the_same_codes(tmp_path: Path) -> None:
    if paddle.__version__.startswith("2."):
        pytest.skip("paddle2onnx needs Paddle 3")
    pytest.importorskip("paddle2onnx", reason="paddle2onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model, task = small()
    export(model, task, tmp_path, model_format="onnx")
    checks = yaml.safe_load((tmp_path / "deploy.yaml").read_text())["Deploy"]["checks"]
    assert all(check["agreement"] > 0.999 for check in checks if check["precision"] == "fp32")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"output_op": "softmax"}, "threshold, sigmoid, none, not 'softmax'"),
        ({"input_shape": [1, 3, 8, 8, 8]}, "four sizes"),
        ({"input_shape": [1, 3, 16, 64]}, "at least 32"),
        ({"input_shape": [1, 1, 64, 64]}, "1 channels, the network takes 3"),
    ],
)
def test_export_refuses(arguments: dict, problem: str, tmp_path: Path) -> None:
    model, task = small()
    with pytest.raises(UserError, match=problem):
        export(model, task, tmp_path, **arguments)
    with pytest.raises(UserError, match="argmax, softmax, none"):
        export(*small("softmax"), tmp_path, output_op="sigmoid")


def test_network_and_data_must_fit() -> None:
    model, task = small()
    check_network(model, task)
    wrong = {
        "add slices": replace(task, slices=None),
        "set model.in_channels to 5": replace(task, slices=SliceSpec(num_slices=5)),
        "counts no background": replace(task, num_classes=3),
    }
    for problem, other in wrong.items():
        with pytest.raises(ConfigError, match=problem):
            check_network(model, other)
    volumes = nn.Layer()
    volumes.spatial_axes = 3
    with pytest.raises(ConfigError, match="remove slices"):
        check_network(volumes, task)


@pytest.mark.parametrize("key", ["head", "threshold", "slices", "num_classes"])
def test_training_and_validation_must_agree(key: str) -> None:
    class Data:
        def __init__(self, task: TaskSpec) -> None:
            self.task = task

    model, task = small()
    value = {"head": "softmax", "threshold": 0.7, "slices": SliceSpec(1, 3), "num_classes": 3}[key]
    check_fit(model, Data(task), Data(task))
    with pytest.raises(ConfigError, match=f"val_dataset.{key}"):
        check_fit(model, Data(task), Data(replace(task, **{key: value})))


@pytest.mark.parametrize(("field", "value", "told"), [("normalize", "max", 1), ("size", (8, 8, 1), 0)])
def test_other_grey_values_in_validation_are_told(caplog, monkeypatch, field: str, value: object, told: int) -> None:
    monkeypatch.setattr(logging.getLogger("medicalseg"), "propagate", True)
    _, task = small()
    other = replace(task, preprocessing=replace(task.preprocessing, **{field: value}))
    with caplog.at_level("WARNING", logger="medicalseg"):
        check_together(SimpleNamespace(task=task), SimpleNamespace(task=task))
        assert not caplog.records
        check_together(SimpleNamespace(task=task), SimpleNamespace(task=other))
    messages = {record.getMessage() for record in caplog.records}
    assert [f"preprocessing.{field} is {value}" in message for message in messages] == [True] * told


def test_windows_of_test_config() -> None:
    _, task = small()
    assert inferer_for(asked_task({}, task)).window is None
    assert inferer_for(asked_task({}, task, sw_num=3)).batch == 3
    assert inferer_for(asked_task({"sliding": {"batch": 5}}, task)).window is None
    found = inferer_for(asked_task({"is_slide": True, "crop_size": [64, 48], "stride": [32, 24], "sw_num": 2}, task))
    assert (found.window, found.batch, found._sliding.overlap) == ((64, 48), 2, 0.5)
    assert inferer_for(asked_task({"sliding": {"window": 64, "weights": "constant"}}, task)).window == (64, 64)
    for wrong in ({"is_slide": True}, {"sliding": {"overlap": 0.3}}, {"sliding": {"windows": 3}},
                  {"is_slide": True, "crop_size": [64, 64], "stride": [32, 32, 32]}):  # fmt: skip
        with pytest.raises(ConfigError):
            inferer_for(asked_task(wrong, task))


def test_export_check_looks_at_a_second_run() -> None:
    from medicalseg.core.export_check import compare

    class Forgetful:
        gives_labels, output_op, options, backend = False, "none", RuntimeOptions(), "paddle"
        task, runs = TaskSpec(2), 0

        def logits(self, x: np.ndarray) -> np.ndarray:
            self.runs += 1
            return x if self.runs == 1 else x + 1

        def decide(self, logits: np.ndarray) -> np.ndarray:
            return self.task.decision.labels(logits)

    x = np.random.default_rng(0).random((1, 2, 4, 4, 4)).astype(np.float32)
    first, second = Forgetful(), Forgetful()
    second.logits = lambda image: image
    assert not compare(first, x, x).accepted
    assert compare(second, x, x).accepted
