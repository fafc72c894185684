"""Heads and slices of datasets: what goes with them; the length of a training in epochs."""

from __future__ import annotations

from typing import Any

import pytest

from medicalseg.cvlibs import Config, manager
from medicalseg.errors import ConfigError
from tests.cvlibs.conftest import ToyData


class ToySlices(ToyData):
    """Takes head and slices."""

    def __init__(self, dataset_root, transforms, num_classes=None, mode="train", ignore_index=255, head="softmax",
                 slices=None, class_groups=None):  # fmt: skip
        super().__init__(dataset_root, transforms, num_classes, mode, ignore_index)

    def __len__(self) -> int:
        return 10


@pytest.fixture(autouse=True)
def toy_slices():
    if "ToySlices" not in manager.DATASETS:
        manager.DATASETS.add_component(ToySlices)


@pytest.fixture
def sigmoid(run) -> dict[str, Any]:
    """A run on four structures of head sigmoid."""
    for key in ("train_dataset", "val_dataset"):
        run[key].update(type="ToySlices", head="sigmoid")
        run[key].pop("result_dir", None)
    run["loss"] = {"types": [{"type": "DiceLoss"}], "coef": [1]}
    return run


def mixed(*losses: dict[str, Any]) -> dict[str, Any]:
    return {"types": [{"type": "MixedLoss", "losses": list(losses), "coef": [1] * len(losses)}], "coef": [1]}


def test_a_sigmoid_run(write, sigmoid):
    sigmoid["class_groups"] = {"all": [1, 2, 3, 4]}
    sigmoid["loss"] = mixed(
        {"type": "DiceLoss", "smooth": 1e-5, "squared": False, "per_image": True, "weight": [1, 2, 3, 4]},
        {"type": "BCELoss", "pos_weight": 3, "log_floor": -5},
        {"type": "FocalLoss"},
        {"type": "TverskyLoss", "sigmoid_norm": True},
    )
    config = Config(write(sigmoid))
    assert config.num_classes == 4


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"type": "CrossEntropyLoss"}, r"losses\[1\]\.type: CrossEntropyLoss does not go .* use BCELoss"),
        ({"type": "DiceCELoss"}, r"losses\[1\]\.type: DiceCELoss .* MixedLoss of DiceLoss and BCELoss"),
        ({"type": "TverskyLoss"}, r"losses\[1\]\.type: TverskyLoss .* sigmoid_norm: True; .*_inherited_: False"),
        ({"type": "DiceLoss", "sigmoid_norm": False}, r"losses\[1\]\.type: DiceLoss .* sigmoid_norm: True"),
        ({"type": "DiceLoss", "weight": [1, 2, 3, 4, 5]}, r"losses\[1\]\.weight: has 5 values for 4 classes"),
    ],
)
def test_losses_of_a_softmax_are_refused(write, sigmoid, loss, message):
    sigmoid["loss"] = mixed({"type": "DiceLoss"}, loss)
    with pytest.raises(ConfigError, match=message):
        Config(write(sigmoid))


def test_a_single_class_needs_a_sigmoid(write, sigmoid):
    for key in ("train_dataset", "val_dataset"):
        sigmoid[key].update(num_classes=1)
    assert Config(write(sigmoid)).num_classes == 1
    for key in ("train_dataset", "val_dataset"):
        del sigmoid[key]["head"]
    with pytest.raises(ConfigError, match=r"train_dataset\.num_classes: is 1: .* needs head: sigmoid"):
        Config(write(sigmoid))


def test_groups_of_structures_end_at_the_last_id(write, sigmoid):
    sigmoid["class_groups"] = {"all": [1, 5]}
    with pytest.raises(ConfigError, match=r"class_groups\.all: names class 5, the classes are 0 to 4"):
        Config(write(sigmoid))


def test_slices_written_in_another_way_are_the_same(write, sigmoid):
    sigmoid["train_dataset"]["slices"] = {"axis": 2}
    sigmoid["val_dataset"]["slices"] = {"axis": 2, "num_slices": 1, "stride": 1}
    Config(write(sigmoid))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "softmax"}, r"val_dataset\.head: head is softmax, but train_dataset\.head is sigmoid"),
        ({"slices": None}, r"val_dataset\.slices: slices is not given, but train_dataset\.slices is .*'axis': 2"),
        ({"slices": {"axis": 0}}, r"val_dataset\.slices: slices is .*'axis': 0.*all datasets need the same"),
        ({"slices": {"axes": 2}}, r"val_dataset\.slices: .*axes"),
        ({"slices": {"axis": 5}}, r"val_dataset\.slices: .*axis.*5"),
    ],
)
def test_datasets_that_differ(write, sigmoid, changes, message):
    for key in ("train_dataset", "val_dataset"):
        sigmoid[key]["slices"] = {"axis": 2}
    sigmoid["val_dataset"].update(changes)
    with pytest.raises(ConfigError, match=message):
        Config(write(sigmoid))


def test_sizes_of_images(write, sigmoid):
    config = Config(write({**sigmoid, "test_config": {"is_slide": True, "crop_size": [64, 64], "stride": [32, 32]}}))
    assert config.test_config["crop_size"] == [64, 64]


def test_epochs_become_iterations(write, sigmoid):
    del sigmoid["iters"]
    del sigmoid["lr_scheduler"]["decay_steps"]
    config = Config(write({**sigmoid, "epochs": 5}))
    config.require("train_dataset", "iters")
    assert (config.epochs, config.iters_per_epoch, config.iters) == (5, 4, 20)
    assert config.lr_scheduler.decay_steps == 20


def test_epochs_count_all_ranks(write, sigmoid, monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    assert Config(write(sigmoid), epochs=3, batch_size=2).iters == 3 * 3


def test_a_flag_puts_the_other_aside(write, sigmoid):
    config = Config(write(sigmoid), epochs=2)
    assert config.iters == 8
    assert config.dic["iters"] is None
    assert config.lr_scheduler.decay_steps == 8
    assert "iters is left aside: --epochs" in config.notes
    assert "lr_scheduler.decay_steps follows --epochs" in config.notes
    again = Config(write(sigmoid), opts=["epochs=3", "lr_scheduler.decay_steps=7"])
    assert (again.iters, again.lr_scheduler.decay_steps) == (12, 7)
    del sigmoid["iters"]
    del sigmoid["lr_scheduler"]["decay_steps"]
    back = Config(write({**sigmoid, "epochs": 5}), iters=6)
    assert (back.iters, back.epochs, back.lr_scheduler.decay_steps) == (6, None, 6)


def test_one_length_is_needed(write, sigmoid):
    with pytest.raises(ConfigError, match="--iters and --epochs: give one"):
        Config(write(sigmoid), iters=3, epochs=3)
    del sigmoid["iters"]
    with pytest.raises(ConfigError, match="has no 'iters', 'epochs' or 'max_time'"):
        Config(write(sigmoid)).require("iters")
    with pytest.raises(ConfigError, match="epochs: stands beside iters"):
        Config(write({**sigmoid, "iters": 3, "epochs": 3}))
