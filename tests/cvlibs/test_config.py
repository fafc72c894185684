"""Config: read once, never changed, components built once."""

from __future__ import annotations

import logging

import paddle
import pytest

from medicalseg.cvlibs import Config
from medicalseg.errors import ConfigError
from tests.cvlibs.conftest import ToyData, ToyEntropy


def test_values(write, run):
    config = Config(write(run))
    assert config.dic == run
    assert (config.batch_size, config.iters, config.data_root, config.num_classes) == (3, 15000, "data/", 4)
    assert config.to_static_training is False
    assert config.test_config == config.export_config == {}
    assert config.ema is None
    assert config.early_stop is None
    assert config.class_groups == {}


def test_nothing_changes_it(write, run):
    path = write(run)
    config = Config(path)
    config.dic["model"]["type"] = "Other"
    config.dic["loss"]["types"].clear()
    for name in ("lr_scheduler", "loss", "model", "optimizer", "train_dataset"):
        assert getattr(config, name) is getattr(config, name)
    assert config.dic == run
    with pytest.raises(AttributeError, match="never changes"):
        config.iters = 3
    path.write_text("iters: 1\n")
    assert config.iters == 15000


def test_reading_builds_nothing(write, run):
    Config(write(run))
    assert ToyData.built == 0


def test_datasets(write, run):
    config = Config(write(run))
    train, val = config.train_dataset, config.val_dataset
    assert train.dataset_root == "data/toy/phase0"
    assert [type(item).__name__ for item in train.transforms] == ["ToyRotation", "ToyFlip"]
    assert (train.mode, val.mode) == ("train", "val")
    assert config.test_dataset is None
    assert ToyData.built == 2
    assert any("train_dataset.result_dir is ignored" in note for note in config.notes)


def test_absolute_root_needs_no_data_root(write, run, tmp_path):
    for key in ("train_dataset", "val_dataset"):
        run[key]["dataset_root"] = str(tmp_path)
        run[key].pop("result_dir", None)
    del run["data_root"]
    assert Config(write(run)).train_dataset.dataset_root == str(tmp_path)


def test_null_transforms_are_none_at_all(write, run):
    run["val_dataset"]["transforms"] = None
    assert Config(write(run)).val_dataset.transforms == []


def test_model_gets_its_classes_from_the_dataset_block_without_building_it(write, run):
    assert Config(write(run)).model.num_classes == 4
    assert ToyData.built == 0


def test_model_gets_its_classes_from_the_dataset_class(write, run):
    for key in ("train_dataset", "val_dataset"):
        run[key].update(type="ToyCounted")
        del run[key]["num_classes"]
    config = Config(write(run))
    assert config.model.num_classes == config.num_classes == 9
    assert ToyData.built == 0


def test_model_gets_its_classes_from_the_built_dataset_at_last(write, run):
    for key in ("train_dataset", "val_dataset"):
        del run[key]["num_classes"]
    config = Config(write(run))
    assert config.model.num_classes == config.num_classes == 7


def test_a_model_without_any_data_keeps_its_default(write):
    assert Config(write({"model": {"type": "ToyNet"}})).model.num_classes == 2


def test_a_dataset_that_turns_out_to_have_other_classes(write, run):
    for key in ("train_dataset", "val_dataset"):
        del run[key]["num_classes"]
    run["model"]["num_classes"] = 3
    config = Config(write(run))
    with pytest.raises(ConfigError, match="train_dataset: the data has 7 classes, the rest of the configuration 3"):
        _ = config.train_dataset


def test_preprocessing_is_checked_without_building(root):
    with pytest.raises(ConfigError, match=r"train_dataset\.preprocess: .*sise"):
        Config(root / "configs/hippocampus/unet3d.yml", opts=["train_dataset.preprocess={sise: [1, 2, 3]}"])


def test_one_loss_for_several_heads_is_built_for_each(write, run):
    run["loss"]["coef"] = [0.5, 0.25, 0.25]
    run["train_dataset"]["ignore_index"] = 200
    loss = Config(write(run)).loss
    assert loss["coef"] == [0.5, 0.25, 0.25]
    assert len({id(item) for item in loss["types"]}) == 3
    assert all(item.losses[0].ignore_index == 200 for item in loss["types"])


def test_loss_without_a_container(write, run):
    run["loss"] = {"types": [{"type": "ToyEntropy"}, {"type": "ToyDice"}], "coef": [1, 0.5]}
    types = Config(write(run)).loss["types"]
    assert isinstance(types[0], ToyEntropy)
    assert types[0].ignore_index == 255


def test_optimizer_and_schedule(write, run):
    config = Config(write(run))
    assert isinstance(config.optimizer, paddle.optimizer.Momentum)
    assert config.optimizer._learning_rate is config.lr_scheduler
    assert config.lr_scheduler() == pytest.approx(0.1)
    other = config.optimizer_for(paddle.nn.Linear(2, 2))
    assert other is not config.optimizer


def test_ema_and_early_stop(write, run):
    path = write(run)
    assert Config(path, opts=["ema={'decay': 0.999}"]).ema == {"decay": 0.999}
    assert Config(path, opts=["use_ema=True"]).ema == {"decay": 0.99}
    assert Config(path, opts=["use_ema=False", "ema={'decay': 0.999}"]).ema is None
    assert Config(path, opts=["early_stop_intervals=3"]).early_stop == {"intervals": 3, "min_delta": 0.0}
    assert Config(path, opts=["early_stop={intervals: 4, min_delta: 0.01}"]).early_stop["min_delta"] == 0.01


def test_class_groups(write, run):
    run["class_groups"] = {"all": [0, 1, 2, 3], "front": [1, 2]}
    assert Config(write(run)).class_groups == {"all": (0, 1, 2, 3), "front": (1, 2)}


@pytest.mark.parametrize("key", ["iters", "train_dataset", "model", "loss", "optimizer"])
def test_what_is_not_there_is_missed_only_when_used(write, run, key):
    del run[key]
    config = Config(write(run))
    with pytest.raises(ConfigError, match=f"run.yml: has no '{key}'"):
        getattr(config, key)
    with pytest.raises(ConfigError, match=f"has no '{key}'"):
        config.require("batch_size", key)


def test_a_missing_schedule(write, run):
    del run["lr_scheduler"]
    with pytest.raises(ConfigError, match=r"run\.yml: has neither 'lr_scheduler' nor"):
        _ = Config(write(run)).lr_scheduler


def test_constructor_errors_name_the_line(write, run):
    run["train_dataset"]["transforms"][0]["degrees"] = 999
    config = Config(write(run))
    with pytest.raises(
        ConfigError, match=r"run\.yml:\d+: train_dataset\.transforms\[0\]: ToyRotation: degrees must not"
    ):
        _ = config.train_dataset


def test_missing_data_is_told_before_building(write, run, tmp_path, monkeypatch):
    path = write(run)
    monkeypatch.setenv("MEDICALSEG_DATA_ROOT", str(tmp_path))
    config = Config(path)
    (tmp_path / "toy" / "phase").mkdir(parents=True)
    monkeypatch.setattr(ToyData, "HOW_TO_GET", "run the script", raising=False)
    with pytest.raises(ConfigError, match=r"dataset_root: no such folder: .*did you mean 'phase'\?; run the script"):
        config.require_data("train_dataset")
    (tmp_path / "toy" / "phase0").mkdir()
    config.require_data("train_dataset", "val_dataset")
    with pytest.raises(ConfigError, match="has no 'test_dataset'"):
        config.require_data("test_dataset")


def test_notes_are_logged_once(write, run, caplog):
    with caplog.at_level(logging.INFO, "medicalseg"):
        config = Config(write(run))
        _ = config.train_dataset
    assert sum("result_dir is ignored" in record.message for record in caplog.records) == 1


def test_upstream_keys_without_meaning_are_explained(write, run):
    run.update(uniform_output_enabled=True, log_ranks="0", pdx_model_name="x", print_mem_info=True)
    run["train_dataset"].update(shuffle=True, dataset_json_path="x", anno_path="y", data_URL="z")
    notes = " ".join(Config(write(run)).notes)
    for key in ("uniform_output_enabled", "log_ranks", "shuffle", "dataset_json_path", "anno_path", "data_URL"):
        assert f"{key} is ignored" in notes


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.yml").write_text("# nothing\n")
    with pytest.raises(ConfigError, match=r"empty\.yml: is empty"):
        Config(tmp_path / "empty.yml")
