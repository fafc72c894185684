"""What an export carries: windows, mirroring, scores, postprocessing, ensembles, cascades; what infer makes of it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg.cli.main import main
from medicalseg.core.export import export
from medicalseg.core.onnx_slopes import slopes_of
from medicalseg.errors import CheckpointError, ConfigError, UserError
from medicalseg.inference import segment
from medicalseg.inference.alike import check_one_grid
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.inference.slice_wise import middle_input
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.static_network import RuntimeOptions, StaticNetwork
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume, read_volume, write_volume
from medicalseg.models import ResidualEncoderUNet, UNet3D
from tests.core.deployments import checkpoint, described, planned_task, run, scan
from tests.extras import needs_onnx


def test_infer_writes_the_very_label_map_of_predict(tmp_path: Path) -> None:
    config = checkpoint(tmp_path / "a", planned_task(), 1)
    image = scan(tmp_path / "in" / "case.nii.gz")
    run(
        "predict",
        "--config",
        config,
        "--model_path",
        tmp_path / "a",
        "--image_path",
        image,
        "--save_dir",
        tmp_path / "p",
    )
    run("export", "--config", config, "--model_path", tmp_path / "a", "--save_dir", tmp_path / "e")
    run("infer", "--config", tmp_path / "e", "--image_path", image, "--save_dir", tmp_path / "i")
    predicted, inferred = ((tmp_path / name / "case.nii.gz").read_bytes() for name in "pi")
    assert predicted == inferred
    labels = read_volume(tmp_path / "p" / "case.nii.gz").array
    assert len(np.unique(labels)) > 1
    flags = ("--overlap", "0.25", "--tta", "none", "--restoring", "labels", "--image_path", image)
    run("predict", "--config", config, "--model_path", tmp_path / "a", *flags, "--save_dir", tmp_path / "pf")
    run("infer", "--config", tmp_path / "e", *flags, "--save_dir", tmp_path / "if")
    assert (tmp_path / "pf" / "case.nii.gz").read_bytes() == (tmp_path / "if" / "case.nii.gz").read_bytes()
    assert (tmp_path / "if" / "case.nii.gz").read_bytes() != inferred
    content = described(tmp_path / "e")
    assert (content["output_op"], content["output_dtype"]) == ("none", "float32")
    assert TaskSpec.from_dict(content["task"]) == planned_task()
    without = StaticNetwork(tmp_path / "e")
    task = planned_task(postprocessing=())
    plain = segment(read_volume(image), task, without).array
    assert (plain != labels).any()


def test_infer_and_predict_tell_that_an_export_is_scored_on_its_training_cases(tmp_path: Path) -> None:
    config = checkpoint(tmp_path / "a", planned_task(), 1)
    meta = tmp_path / "a" / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "train_cases": ["case", "other"]}))
    image = scan(tmp_path / "in" / "case.nii.gz")
    label = write_volume(Volume(np.ones((20, 27, 9), np.uint8), read_volume(image).affine), tmp_path / "l.nii.gz")
    run("export", "--config", config, "--model_path", tmp_path / "a", "--save_dir", tmp_path / "e")
    assert described(tmp_path / "e")["train_cases"] == ["case", "other"]
    for verb in ("infer", "predict"):
        run(verb, "--config", tmp_path / "e", "--image_path", image, "--label_path", label,
            "--save_dir", tmp_path / verb)  # fmt: skip
        notes = json.loads((tmp_path / verb / "metrics.json").read_text())["notes"]
        assert [note for note in notes if note.startswith("1 of 1 scored cases have the names of cases that")]


def test_the_check_on_a_scan_takes_a_window_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = checkpoint(tmp_path / "a", planned_task(), 1)
    image = scan(tmp_path / "case.nii.gz", (21, 27, 9))
    flags = ("--config", config, "--model_path", tmp_path / "a", "--check_image", image)
    run("export", *flags, "--save_dir", tmp_path / "e")
    assert "Export check on 1x1x16x16x8" in caplog.text
    run("export", *flags, "--input_shape", "1", "1", "32", "-1", "8", "--save_dir", tmp_path / "f")
    assert "Export check on 1x1x32x16x8" in caplog.text


def test_paddle_does_not_talk_of_our_variables(tmp_path: Path) -> None:
    config = checkpoint(tmp_path / "a", planned_task(), 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run("export", "--config", config, "--model_path", tmp_path / "a", "--save_dir", tmp_path / "e")
    assert not [item for item in caught if "skips" in str(item.message)]


def test_the_window_is_in_the_middle_and_padded() -> None:
    image = np.arange(2 * 20 * 10 * 4, dtype=np.float32).reshape(2, 20, 10, 4)
    window = middle_input(image, planned_task(in_channels=2))
    assert window.shape == (1, 2, 16, 16, 8)
    np.testing.assert_array_equal(window[0, :, :, :10, :4], image[:, 2:18])
    assert not window[:, :, :, 10:].any()
    assert not window[..., 4:].any()
    sliced = planned_task(slices=SliceSpec(axis=2), sliding={"window": [40, 36]})
    assert middle_input(np.ones((1, 50, 60, 3), np.float32), sliced).shape == (1, 1, 36, 40)
    assert middle_input(image, planned_task(in_channels=2, sliding=None)).shape == (1, 2, 20, 10, 4)


@needs_onnx
def test_onnx_slides_the_same_windows(tmp_path: Path) -> None:
    task = planned_task()
    config = checkpoint(tmp_path / "a", task, 1)
    image = scan(tmp_path / "case.nii.gz")
    run("export", "--config", config, "--model_path", tmp_path / "a", "--save_dir", tmp_path / "e", "--format", "all")
    checks = [item for item in described(tmp_path / "e")["checks"] if item["precision"] == "fp32"]
    assert all(item["accepted"] for item in checks)
    expected = segment(read_volume(image), task, StaticNetwork(tmp_path / "e")).array
    for backend in {item["backend"] for item in checks} - {"paddle"}:
        network = StaticNetwork(tmp_path / "e", RuntimeOptions(backend=backend))
        first, second = (segment(read_volume(image), task, network).array for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert (first == expected).mean() > 0.999


def test_several_checkpoints_become_an_ensemble(tmp_path: Path) -> None:
    task = planned_task()
    config = checkpoint(tmp_path / "a", task, 1)
    checkpoint(tmp_path / "b", task, 2)
    image = scan(tmp_path / "case.nii.gz")
    run("export", "--config", config, "--model_path", tmp_path / "a", tmp_path / "b", "--save_dir", tmp_path / "e")
    content = described(tmp_path / "e")
    assert content["members"] == ["member_1/deploy.yaml", "member_2/deploy.yaml"]
    network = StaticNetwork(tmp_path / "e")
    assert (network.output_op, network.backend, network.gives_labels) == ("softmax", "paddle", False)
    x = np.random.default_rng(0).normal(size=(1, 1, 16, 16, 8)).astype(np.float32)
    parts = [_softmax(StaticNetwork(tmp_path / "e" / f"member_{k}").logits(x)) for k in (1, 2)]
    np.testing.assert_allclose(network.logits(x), sum(parts) / 2, atol=1e-5)
    run("infer", "--config", tmp_path / "e", "--image_path", image, "--save_dir", tmp_path / "i")
    assert set(np.unique(read_volume(tmp_path / "i" / "case.nii.gz").array)) <= {0, 1, 2}

    (tmp_path / "e" / "member_2" / "deploy.yaml").write_text("Deploy: {}")
    with pytest.raises(CheckpointError, match="SHA-256"):
        StaticNetwork(tmp_path / "e")


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_a_smaller_ensemble_leaves_no_member_behind(tmp_path: Path) -> None:
    task = TaskSpec(3, preprocessing=Preprocessing())
    config = checkpoint(tmp_path / "a", task, 1)
    three = [tmp_path / "a"] * 3
    run("export", "--config", config, "--model_path", *three, "--save_dir", tmp_path / "e")
    run("export", "--config", config, "--model_path", *three[:2], "--save_dir", tmp_path / "e")
    assert sorted(path.name for path in (tmp_path / "e").iterdir()) == ["deploy.yaml", "member_1", "member_2"]


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_export_replaces_an_earlier_one_of_the_other_kind(tmp_path: Path) -> None:
    config = checkpoint(tmp_path / "a", planned_task(), 1)
    single = ("export", "--config", config, "--model_path", tmp_path / "a")
    several = (*single, tmp_path / "a")
    run(*single, "--save_dir", tmp_path / "single")
    run(*several, "--save_dir", tmp_path / "several")
    target = tmp_path / "e"
    run(*single, "--save_dir", target)
    run(*several, "--save_dir", target)
    assert files_in(target) == files_in(tmp_path / "several")
    (target / "member_2" / "mine.txt").write_text("mine", encoding="utf-8")
    run(*single, "--save_dir", target)
    assert files_in(target) == {*files_in(tmp_path / "single"), "member_2/mine.txt"}
    assert not (target / "member_1").exists()


def test_networks_of_different_grids_are_no_ensemble() -> None:
    with pytest.raises(ConfigError, match=r"network 2 differs from the first in task\.num_classes"):
        check_one_grid([TaskSpec(3), TaskSpec(4)], "no")
    with pytest.raises(ConfigError, match=r"task\.sliding .*export them apart"):
        check_one_grid([planned_task(), planned_task(sliding=None)], "export them apart")
    with pytest.raises(ConfigError, match=r"task\.labels"):
        check_one_grid([planned_task(), planned_task(labels={1: "other"})], "no")


def test_a_cascade_names_its_first_network(tmp_path: Path) -> None:
    first, second = planned_task(), planned_task(previous_classes=2)
    config = checkpoint(tmp_path / "a", first, 1)
    later = checkpoint(tmp_path / "b", second, 2)
    run(
        *("export", "--config", later, "--model_path", tmp_path / "b", "--save_dir", tmp_path / "e"),
        *("--previous_config", config, "--previous_model_path", tmp_path / "a"),
        *("--output_op", "softmax", "--input_shape", "-1", "3", "-1", "-1", "-1"),
    )
    content = described(tmp_path / "e")
    assert content["output_op"] == "softmax"
    assert described(tmp_path / "e" / "previous")["output_op"] == "none"
    assert content["previous"] == "previous/deploy.yaml"
    network = StaticNetwork(tmp_path / "e")
    assert network.previous is not None
    image = read_volume(scan(tmp_path / "case.nii.gz"))
    labels = segment(image, network.previous.task, network.previous)
    assert segment(image, network.task, network, previous=labels).shape == image.shape
    assert StaticNetwork(tmp_path / "e" / "previous").previous is None
    (tmp_path / "e" / "previous" / "deploy.yaml").unlink()
    with pytest.raises(CheckpointError, match="missing"):
        StaticNetwork(tmp_path / "e")


def test_a_first_network_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    model = UNet3D(in_channels=3, num_classes=3, base_channels=2, depth=2)
    first = export(UNet3D(num_classes=4, base_channels=2, depth=2), TaskSpec(4), tmp_path / "e" / "previous")
    task = TaskSpec(3, previous_classes=2)
    with pytest.raises(UserError, match="gives 3 classes, but the network takes 2"):
        export(model, task, tmp_path / "e", previous=first)
    with pytest.raises(UserError, match="or below it"):
        export(model, task, tmp_path / "other", previous=first)


def test_scores_are_the_default_where_labels_cannot_be_decided_in_the_network(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = UNet3D(num_classes=3, base_channels=2, depth=2)
    for number, changes in enumerate(({"restoring": "scores"}, {"sliding": {"window": [8, 8, 8]}})):
        export(model, TaskSpec(3, **changes), tmp_path / str(number))
        assert described(tmp_path / str(number))["output_op"] == "none"
    export(model, TaskSpec(3), tmp_path / "plain")
    assert described(tmp_path / "plain")["output_op"] == "argmax"
    export(model, TaskSpec(3, restoring="scores"), tmp_path / "asked", output_op="argmax")
    assert "refuse this export" in caplog.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "{a}", "{a}", "--model_path", "{m}", "{m}", "{m}"], "2 configurations for 3 models"),
        (["--config", "{a}", "--model_path", "{m}", "{m}", "--output_op", "argmax"], "several networks are averaged"),
        (["--config", "{a}", "--model_path", "{m}", "--previous_config", "{a}"], "belong together"),
    ],
)
def test_wrong_flags_are_one_line(
    tmp_path: Path, words: list[str], said: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    config = checkpoint(tmp_path / "a", TaskSpec(3), 1)
    filled = [word.format(a=config, m=tmp_path / "a") for word in words]
    assert main(["export", *filled, "--save_dir", str(tmp_path / "e")]) == 2
    assert said in caplog.text + capsys.readouterr().err


@needs_onnx
def test_residual_networks_export_everywhere(tmp_path: Path) -> None:
    paddle.seed(0)
    model = ResidualEncoderUNet(num_classes=3, features=[4, 8, 8], strides=[1, [1, 2, 2], 2])
    export(model, TaskSpec(3, sliding={"window": [8, 16, 16]}), tmp_path, model_format="all")
    checks = [item for item in described(tmp_path)["checks"] if item["precision"] == "fp32"]
    assert "paddle" in {item["backend"] for item in checks}
    assert all(item["accepted"] for item in checks)


def test_slopes_of_a_graph_in_order() -> None:
    def operation(slope: float) -> dict[str, Any]:
        return {"#": "1.leaky_relu", "A": [{"N": "negative_slope", "AT": {"#": "0.a_f64", "D": slope}}]}

    graph = {"program": {"ops": [operation(0.01), {"#": "1.relu", "A": []}, {"blocks": [operation(0.3)]}]}}
    assert list(slopes_of(graph)) == [0.01, 0.3]
