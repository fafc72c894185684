"""The task of a checkpoint and the window of large volumes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from medicalseg.core.task import task_for
from medicalseg.core.trained import asked_task, open_config
from medicalseg.errors import CheckpointError, ConfigError, UserError
from medicalseg.inference import Preprocessing, SlidingWindow, TaskSpec, WholeVolume, inferer_for

TASK = TaskSpec(2, preprocessing=Preprocessing(size=(64, 64, 12)))


def config(**datasets: object) -> SimpleNamespace:
    return SimpleNamespace(
        dic={key: {"type": "D"} if value else None for key, value in datasets.items()}, path="c.yml", **datasets
    )


def test_task_from_meta_json_before_the_dataset(tmp_path: Path) -> None:
    dataset = SimpleNamespace(task=TaskSpec(5))
    assert task_for(config(val_dataset=dataset), tmp_path) == TaskSpec(5)
    (tmp_path / "meta.json").write_text(json.dumps({"task": TASK.to_dict()}), encoding="utf-8")
    assert task_for(config(val_dataset=dataset), tmp_path) == TASK
    assert task_for(config(), tmp_path / "model.pdparams") == TASK


def test_channels_of_old_weights_are_those_of_the_dataset(tmp_path: Path) -> None:
    old = TaskSpec(2, in_channels=2).to_dict()
    del old["preprocessing"]["channels"], old["contrasts"], old["stored_channels"]
    (tmp_path / "meta.json").write_text(json.dumps({"task": old}), encoding="utf-8")
    trained = SimpleNamespace(dic={"train_dataset": {"type": "D", "channels": [1, 0]}}, path="c.yml")
    assert task_for(trained, tmp_path).preprocessing.channels == (1, 0)
    assert task_for(config(train_dataset=None), tmp_path).preprocessing.channels is None
    (tmp_path / "meta.json").write_text(json.dumps({"task": TaskSpec(2).to_dict()}), encoding="utf-8")
    assert task_for(trained, tmp_path).preprocessing.channels is None


def test_task_that_nobody_tells(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"meta.json .* c.yml names no dataset"):
        task_for(config(val_dataset=None), tmp_path)
    with pytest.raises(UserError, match="val_dataset: SimpleNamespace has no `task`"):
        task_for(config(val_dataset=SimpleNamespace()), tmp_path)
    (tmp_path / "meta.json").write_text(json.dumps({"task": {"num_classes": 0}}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="num_classes"):
        task_for(config(), tmp_path)


@pytest.mark.parametrize(
    ("test_config", "sw_num", "window", "overlap", "batch"),
    [
        ({"sliding": {"window": [32, 32, 8], "overlap": 0.25}}, None, (32, 32, 8), 0.25, 1),
        ({"sliding": {"type": "SlidingWindow", "window": 32}}, 4, (32, 32, 32), 0.5, 4),
        ({"is_slide": True, "crop_size": [40, 40, 10], "stride": [20, 30, 10]}, None, (40, 40, 10), 0.5, 1),
        ({"sw_num": 3}, None, (64, 64, 12), 0.5, 3),
    ],
)
def test_window(test_config: dict, sw_num: int | None, window: tuple, overlap: float, batch: int) -> None:
    sliding = inferer_for(asked_task(test_config, TASK, sw_num=sw_num))
    assert isinstance(sliding, SlidingWindow)
    assert (sliding.window, sliding.overlap, sliding.batch) == (window, overlap, batch)


def test_notes_about_the_training_are_not_repeated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "c.yml").write_text("model: {type: VNet, num_classes: 2}\nprint_mem_info: true\n", encoding="utf-8")
    (tmp_path / "model.pdparams").touch()
    with caplog.at_level("INFO", "medicalseg"):
        config = open_config(tmp_path / "c.yml", tmp_path)
    assert config.notes
    assert not caplog.messages


def test_window_of_the_network_and_none() -> None:
    network = SimpleNamespace(img_shape=(96, 96, 96))
    sliding = inferer_for(asked_task({}, TASK, network, sw_num=1))
    assert isinstance(sliding, SlidingWindow)
    assert sliding.window == (96, 96, 96)
    assert isinstance(inferer_for(asked_task({}, TASK)), WholeVolume)
    assert isinstance(inferer_for(asked_task({"auc_roc": True}, TASK)), WholeVolume)


def test_window_that_is_not_known_or_wrong() -> None:
    with pytest.raises(ConfigError, match=r"test_config.sliding.window"):
        inferer_for(asked_task({}, TaskSpec(2), sw_num=2))
    with pytest.raises(ConfigError, match=r"allowed: window, overlap"):
        inferer_for(asked_task({"sliding": {"window": 8, "step": 2}}, TASK))
