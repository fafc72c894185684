"""Networks and datasets that do not go together; training and validation data that share cases."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("paddle")

import numpy as np
from PIL import Image
from tiny_training import make_config

from medicalseg.core.fit import check_fit, check_network, leaking_notes
from medicalseg.core.train import TrainOptions, train
from medicalseg.cvlibs import Config
from medicalseg.datasets import ImageDataset
from medicalseg.datasets.case import Case
from medicalseg.datasets.splits import LEAKING_NOTE
from medicalseg.errors import ConfigError
from medicalseg.inference import SliceSpec, TaskSpec


@pytest.mark.parametrize(
    ("network", "colour", "message"),
    [
        ({"spatial_axes": 3}, False, "for volumes, but train_dataset gives pictures: choose a network for images"),
        ({"in_channels": 1}, True, "takes 1 channel, train_dataset gives 3; set model.in_channels to 3, or grey: True"),
        ({"in_channels": 3}, False, "takes 3 channels, train_dataset gives 1; .* to 1, or img_channels: 3 in the data"),
    ],
)
def test_networks_that_do_not_take_pictures(tmp_path, network, colour, message):
    for kind, shape in (("images", (8, 9, 3) if colour else (8, 9)), ("masks", (8, 9))):
        (tmp_path / kind).mkdir()
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / kind / "a.png")
    with pytest.raises(ConfigError, match=message):
        check_fit(SimpleNamespace(**network), ImageDataset(str(tmp_path), num_classes=2, fold=None))


def test_slices_of_volumes_have_no_remedies_of_pictures():
    task = TaskSpec(2, in_channels=3, slices=SliceSpec())
    with pytest.raises(ConfigError, match=r"takes 1 channel, .* gives 3; set model.in_channels to 3$"):
        check_network(SimpleNamespace(in_channels=1), task, "train_dataset")
    with pytest.raises(ConfigError, match=r"has slices: remove slices, or choose a network for images"):
        check_network(SimpleNamespace(spatial_axes=3), task, "train_dataset")


def data(folder, *names, notes=()):
    return SimpleNamespace(cases=[Case(name, (folder / f"{name}.png",), None) for name in names], notes=notes)


def test_shared_cases_are_noted_once(tmp_path):
    train_data = data(tmp_path, "a", "b", "c")
    assert leaking_notes(train_data, data(tmp_path, "d")) == ()
    assert leaking_notes(train_data, data(tmp_path / "other", "a")) == ()
    assert leaking_notes(train_data, data(tmp_path, "c", "d", "a")) == (f"{LEAKING_NOTE}: 2 of 3",)
    assert leaking_notes(train_data, data(tmp_path, "c", notes=(f"{LEAKING_NOTE}: fold 'all'",))) == ()
    assert leaking_notes(SimpleNamespace(), data(tmp_path, "a")) == ()


@pytest.mark.parametrize("shared", [True, False])
def test_every_evaluation_of_the_training_says_it(tmp_path, shared):
    config = make_config(tmp_path)
    held = tmp_path / "held"
    held.mkdir()
    for folder in ("images", "labels"):
        (held / folder).symlink_to(tmp_path / "tiny" / folder)
    name = "c1" if shared else "c3"
    (held / "val_list.txt").write_text(f"images/{name}.npy labels/{name}.npy\n")
    lines = (tmp_path / "tiny/train_list.txt").read_text().splitlines()[:2]
    (tmp_path / "tiny/train_list.txt").write_text("\n".join(lines) + "\n")
    seen = []

    def evaluate(model, dataset, **arguments):
        seen.append(arguments["notes"])
        return SimpleNamespace(foreground_mean=0.5, loss=1.0, auc_roc=None, grid="original")

    options = TrainOptions(save_dir=str(tmp_path / "run"), save_interval=1, device="cpu", do_eval=True)
    train(Config(config, iters=1, opts=["val_dataset.dataset_root=held"]), options, evaluate)
    assert seen == [(f"{LEAKING_NOTE}: 1 of 1",) if shared else ()]
    assert (LEAKING_NOTE in (tmp_path / "run/train.log").read_text()) == shared
