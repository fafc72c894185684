"""What PaddleSeg3D's own configurations say and do not mean."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from medicalseg.cvlibs import Config
from medicalseg.datasets import LungCoronavirus
from medicalseg.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def lung(**counts: int) -> dict[str, Any]:
    """Its TIPC chain of VNet: the evaluation's blocks count a class too many."""
    blocks: dict[str, Any] = {
        key: {"type": "LungCoronavirus", "dataset_root": "mini", "transforms": [], "mode": key[:-8], "num_classes": 3}
        for key in ("train_dataset", "val_dataset", "test_dataset")
    }
    for key, count in counts.items():
        blocks[f"{key}_dataset"]["num_classes"] = count
    return {"data_root": "data", "iters": 2, "model": {"type": "VNet", "num_classes": 3}, **blocks}


def warnings_of(records: list[logging.LogRecord]) -> list[str]:
    return [record.getMessage() for record in records if record.levelno == logging.WARNING]


def test_a_wrong_class_count_of_the_evaluation_is_replaced(write, caplog, prepared_lung) -> None:
    content = {**lung(val=4, test=4), "data_root": str(prepared_lung.parent)}
    config = Config(write(content))
    told = warnings_of(caplog.records)
    assert len(told) == 1
    assert "val_dataset.num_classes is ignored: 4 differs from the 3 of LungCoronavirus" in told[0]
    assert "test_dataset" in told[0]
    assert config.num_classes == 3
    assert isinstance(config.val_dataset, LungCoronavirus)
    assert config.val_dataset.num_classes == 3


@pytest.fixture
def prepared_lung(tmp_path: Path) -> Path:
    """One case, as a folder of PaddleSeg3D."""
    import numpy as np

    folder = tmp_path / "data" / "mini"
    for name, kind in (("images", np.float32), ("labels", np.int32)):
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "a.npy", np.zeros((4, 4, 4), kind))
    for mode in ("train", "val"):
        (folder / f"{mode}_list.txt").write_text("images/a.npy labels/a.npy\n")
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": 4}, r"train_dataset\.num_classes: 4 differs from model\.num_classes, 3"),
        ({"train": 4, "val": 4, "test": 4}, r"train_dataset\.num_classes: 4 differs from model\.num_classes, 3"),
    ],
)
def test_a_wrong_class_count_of_the_training_stays_an_error(write, change, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(write(lung(**change)))


def test_a_class_count_of_data_whose_class_fixes_none_stays_an_error(write) -> None:
    content = lung(val=4)
    for key in ("train_dataset", "val_dataset", "test_dataset"):
        content[key]["type"] = "MedicalDataset"
    with pytest.raises(ConfigError, match=r"val_dataset\.num_classes: 4 differs from model\.num_classes, 3"):
        Config(write(content))
    other = lung(val=3)
    other["model"]["num_classes"] = other["train_dataset"]["num_classes"] = 2
    with pytest.raises(ConfigError, match=r"val_dataset\.num_classes: 3 differs from model\.num_classes, 2"):
        Config(write(other))


def test_keys_that_list_files_leave_without_effect_are_named_once(write, tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO, "medicalseg")
    content = lung()
    for key in ("train_dataset", "val_dataset"):
        content[key].update(result_dir="r", data_URL="http://x", dataset_json_path="nowhere/dataset.json")
    config = Config(write(content))
    told = [record.getMessage() for record in caplog.records]
    for key, why in (
        ("result_dir", "nothing is ever written there"),
        ("data_URL", "not downloaded"),
        ("dataset_json_path", "nowhere/dataset.json does not exist"),
    ):
        lines = [line for line in told if f"{key} is ignored" in line]
        assert len(lines) == 1
        assert lines[0].startswith("train_dataset.")
        assert why in lines[0]
        assert "also in val_dataset" in lines[0]
    assert any("nowhere/dataset.json" in line for line in warnings_of(caplog.records))
    assert config.notes


def test_keys_that_have_an_effect_are_not_named(write, tmp_path) -> None:
    (tmp_path / "dataset.json").write_text("{}")
    content = lung()
    content["train_dataset"].update(dataset_json_path=str(tmp_path / "dataset.json"), data_URL="", result_dir=None)
    content["val_dataset"] = {"type": "DecathlonDataset", "dataset_root": "mini", "result_dir": "splits"}
    assert not [note for note in Config(write(content)).notes if "is ignored" in note]


@pytest.mark.parametrize("name", ["swinunet_abdomen_224_224_1_14k_5e-2", "transunet_abdomen_224_224_1_14k_1e-2"])
def test_the_abdomen_has_test_data(name: str) -> None:
    """PaddleSeg3D's test.py scored the validation list."""
    content = Config(ROOT / f"configs/synapse/{name}.yml").dic
    assert content["test_dataset"] == content["val_dataset"]
