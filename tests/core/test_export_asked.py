"""Infer of an export makes the label maps of predict: windows that are asked for, channels, mixtures, cascades."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from medicalseg.cli.main import main
from medicalseg.errors import ConfigError, UserError
from medicalseg.inference.alike import check_answers, check_one_grid
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.static_network import StaticNetwork
from medicalseg.io import read_volume, write_volume
from tests.core.deployments import checkpoint, described, planned_task, run, scan

COARSE = {"orientation": "LPS", "spacing": [1.5, 1.5, 1.6], "intensity": [{"type": "zscore"}],
          "divisor": [4, 4, 4]}  # fmt: skip


def both(folder: Path, network: tuple[Any, ...], image: Path, *more: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels of `predict` and of `infer` on the export, for the same arguments of networks."""
    run("predict", *network, *more, "--image_path", image, "--save_dir", folder / "p")
    run("export", *network, "--save_dir", folder / "e")
    run("infer", "--config", folder / "e", *more, "--image_path", image, "--save_dir", folder / "i")
    predicted, inferred = (next((folder / name).glob("*.nii.gz")) for name in "pi")
    return read_volume(predicted).array, read_volume(inferred).array


@pytest.mark.parametrize(
    ("asked", "own", "sliding"),
    [
        (
            "{mirror: none, sliding: {overlap: 0.1}}",
            {"window": [16, 16, 8], "mirror_axes": [0, 2]},
            {"window": [16, 16, 8], "overlap": 0.1},
        ),
        (
            "{is_slide: true, crop_size: [16, 16, 8], stride: [12, 12, 8]}",
            None,
            {"window": [16, 16, 8], "overlap": 0.25},
        ),
        ("{sliding: {mirror_axes: [1]}}", None, {"mirror_axes": [1]}),
    ],
)
def test_windows_of_the_configuration_are_deployed(tmp_path: Path, asked: str, own: Any, sliding: Any) -> None:
    task = planned_task(sliding=own, restoring="labels", postprocessing=(), preprocessing=Preprocessing(
        orientation="RAS", divisor=(4, 4, 4), intensity=({"type": "zscore"},)))  # fmt: skip
    config = checkpoint(tmp_path / "a", task, 1, f"test_config: {asked}\n")
    image = scan(tmp_path / "in" / "case.nii.gz")
    predicted, inferred = both(tmp_path, ("--config", config, "--model_path", tmp_path / "a"), image)
    np.testing.assert_array_equal(inferred, predicted)
    assert described(tmp_path / "e")["task"]["sliding"] == sliding
    plain = checkpoint(tmp_path / "b", task, 1)
    run(
        "predict",
        "--config",
        plain,
        "--model_path",
        tmp_path / "b",
        "--image_path",
        image,
        "--save_dir",
        tmp_path / "o",
    )
    assert (read_volume(tmp_path / "o" / "case.nii.gz").array != predicted).any()


def test_windows_of_the_configuration_are_those_of_an_ensemble(tmp_path: Path) -> None:
    task = planned_task()
    config = checkpoint(tmp_path / "a", task, 1, "test_config: {mirror: none, sliding: {overlap: 0.1}}\n")
    checkpoint(tmp_path / "b", task, 2)
    image = scan(tmp_path / "in" / "case.nii.gz")
    network = ("--config", config, "--model_path", tmp_path / "a", tmp_path / "b")
    predicted, inferred = both(tmp_path, network, image)
    np.testing.assert_array_equal(inferred, predicted)
    assert described(tmp_path / "e")["task"]["sliding"] == {"window": [16, 16, 8], "overlap": 0.1}


def test_channels_are_deployed(tmp_path: Path) -> None:
    steps = planned_task().preprocessing.to_dict()
    chosen = planned_task(in_channels=2, preprocessing=Preprocessing.from_dict({**steps, "channels": [1, 0]}))
    config = checkpoint(tmp_path / "a", chosen, 1)
    scan(tmp_path / "in" / "case_0000.nii.gz")
    other = read_volume(tmp_path / "in" / "case_0000.nii.gz")
    second = write_volume(other.with_array(other.array[::-1] * 2), tmp_path / "in" / "case_0001.nii.gz")
    predicted, inferred = both(tmp_path, ("--config", config, "--model_path", tmp_path / "a"), tmp_path / "in")
    np.testing.assert_array_equal(inferred, predicted)
    checkpoint(tmp_path / "b", planned_task(in_channels=2), 1)
    swapped = np.stack([read_volume(second).array, other.array])
    write_volume(other.with_array(swapped), tmp_path / "swapped" / "case.nii.gz")
    run("predict", "--config", config, "--model_path", tmp_path / "b", "--image_path", tmp_path / "swapped",
        "--save_dir", tmp_path / "s")  # fmt: skip
    np.testing.assert_array_equal(read_volume(tmp_path / "s" / "case.nii.gz").array, predicted)


def test_models_that_do_not_tell_their_channels_are_read(tmp_path: Path) -> None:
    config = checkpoint(tmp_path / "a", planned_task(), 1)
    run("export", "--config", config, "--model_path", tmp_path / "a", "--save_dir", tmp_path / "e")
    content = yaml.safe_load((tmp_path / "e" / "deploy.yaml").read_text(encoding="utf-8"))
    task = content["Deploy"]["task"]
    del task["preprocessing"]["channels"], task["contrasts"], task["stored_channels"]
    (tmp_path / "e" / "deploy.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert StaticNetwork(tmp_path / "e").task == planned_task()


def test_networks_of_other_grids_and_kinds_are_deployed_together(tmp_path: Path) -> None:
    """2D and 3D, other spacings and windows: what `predict` averages on the image's grid."""
    tasks = [
        planned_task(postprocessing=({"type": "KeepLargestComponent", "classes": [2]},)),
        planned_task(preprocessing=Preprocessing.from_dict(COARSE), sliding=None, restoring="labels"),
        planned_task(
            slices=SliceSpec(axis=2),
            sliding={"mirror_axes": [0]},
            postprocessing=(),
            preprocessing=Preprocessing(orientation="RAS", divisor=(4, 4, 4)),
        ),
    ]
    configs = [checkpoint(tmp_path / str(number), task, number) for number, task in enumerate(tasks)]
    network = ("--config", *configs, "--model_path", *(config.parent for config in configs))
    image = scan(tmp_path / "in" / "case.nii.gz", (40, 36, 10))
    predicted, inferred = both(tmp_path, network, image, "--tta", "none")
    assert (inferred != predicted).mean() < 1e-3
    assert len(np.unique(predicted)) > 1
    first, *_ = StaticNetwork(tmp_path / "e").members
    alone = tmp_path / "alone"
    run("infer", "--config", first.path, "--tta", "none", "--image_path", image, "--save_dir", alone)
    assert (read_volume(alone / "case.nii.gz").array != predicted).mean() > 0.01
    run("predict", "--config", tmp_path / "e", "--tta", "none", "--image_path", image, "--save_dir", tmp_path / "x")
    np.testing.assert_array_equal(read_volume(tmp_path / "x" / "case.nii.gz").array, inferred)
    network = StaticNetwork(tmp_path / "e")
    assert [task.postprocessing for task, _ in network.parts()] == [tasks[0].postprocessing, (), ()]
    with pytest.raises(UserError, match="see images differently"):
        network.labels(np.zeros((1, 1, 16, 16, 8), np.float32))


@pytest.mark.parametrize("kind", ["folds", "grids"])
def test_the_first_networks_of_a_cascade_may_be_several(tmp_path: Path, kind: str) -> None:
    changes = {} if kind == "folds" else {"preprocessing": Preprocessing.from_dict(COARSE), "sliding": None}
    firsts = [checkpoint(tmp_path / "a", planned_task(), 1), checkpoint(tmp_path / "b", planned_task(**changes), 2)]
    config = checkpoint(tmp_path / "c", planned_task(previous_classes=2), 3)
    weights = tuple(config.parent for config in firsts)
    named = ("--previous_config", *firsts[: 1 + (kind == "grids")], "--previous_model_path", *weights)
    network = ("--config", config, "--model_path", tmp_path / "c", *named)
    image = scan(tmp_path / "in" / "case.nii.gz")
    predicted, inferred = both(tmp_path, network, image, "--tta", "none")
    assert (inferred != predicted).mean() < 1e-3
    one = (*network[:4], "--previous_config", firsts[0], "--previous_model_path", weights[0])
    run("predict", *one, "--tta", "none", "--image_path", image, "--save_dir", tmp_path / "one")
    assert (read_volume(tmp_path / "one" / "case.nii.gz").array != predicted).any()


def test_wrong_first_networks_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: Any) -> None:
    config = checkpoint(tmp_path / "a", planned_task(), 1)
    flags = ["--config", str(config), "--model_path", str(tmp_path / "a"), "--image_path", str(tmp_path)]
    assert main(["predict", *flags, "--previous_config", str(config)]) == 2
    assert "--previous_model_path: give the weights" in caplog.text + capsys.readouterr().err


def test_a_difference_of_preprocessing_is_named_by_its_key() -> None:
    first = planned_task()
    steps = {**first.preprocessing.to_dict(), "spacing": [2.0, 2.0, 2.0]}
    other = planned_task(preprocessing=Preprocessing.from_dict(steps))
    said = r"task\.preprocessing\.spacing \(\[2\.0, 2\.0, 2\.0\] and \[1\.2, 0\.9, 1\.5\]\); they"
    with pytest.raises(ConfigError, match=said):
        check_one_grid([first, other], "no")


def test_contrasts_of_one_ensemble() -> None:
    tasks = [planned_task(contrasts=names) for names in (("T1w", "T2w"), (), ("FLAIR", "T1w"))]
    check_answers(tasks[:2])
    with pytest.raises(ConfigError, match="take T1w, T2w and FLAIR, T1w"):
        check_answers(tasks)
