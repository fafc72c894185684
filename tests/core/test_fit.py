"""Training and validation data that share cases."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("paddle")

from tiny_training import make_config

from medicalseg.core.fit import leaking_notes
from medicalseg.core.train import TrainOptions, train
from medicalseg.cvlibs import Config
from medicalseg.datasets.case import Case
from medicalseg.datasets.splits import LEAKING_NOTE


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
