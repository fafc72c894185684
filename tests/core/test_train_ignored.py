"""Training on sparse annotation as nnU-Net describes it: a label called "ignore"."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_folds import make_cubes

from medicalseg.core.train import train
from medicalseg.core.train_options import TrainOptions
from medicalseg.cvlibs import Config
from medicalseg.io import Volume, read_label, write_volume


@pytest.fixture
def sparse(tmp_path):
    """Cubes whose upper quarter nobody annotated, the value 2."""
    path = make_cubes(tmp_path)
    description = tmp_path / "cubes/dataset.json"
    content = json.loads(description.read_text())
    description.write_text(json.dumps(content | {"labels": {"background": 0, "cube": 1, "ignore": 2}}))
    for file in (tmp_path / "cubes/labelsTr").iterdir():
        label = read_label(file)
        array = label.array.astype(np.uint8)
        array[:, :, 12:] = 2
        write_volume(Volume(array, label.affine), file, labels=True)
    return path


@pytest.mark.parametrize("data_first", [True, False])
def test_losses_leave_out_the_descriptions_own_value(sparse, data_first):
    config = Config(sparse)
    parts = [lambda: config.train_dataset, lambda: config.loss]
    for part in parts if data_first else reversed(parts):
        part()
    loss = config.loss["types"][0]
    assert config.train_dataset.ignore_index == 2
    assert {layer.ignore_index for layer in (loss, loss.dice, loss.cross_entropy)} == {2}


def test_training_and_evaluation_run(sparse, tmp_path):
    options = TrainOptions(save_dir=str(tmp_path / "run"), do_eval=True, device="cpu", save_predictions=False)
    state = train(Config(sparse, iters=2), options)
    assert state.iteration == 2
    assert np.isfinite(state.history["eval_loss"]).all()
