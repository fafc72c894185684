"""Schedules that follow the evaluation, what the best weights are chosen by, trainings measured in epochs, masks."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from tiny_training import make_config

from medicalseg.core import train as training
from medicalseg.core.step import Precision, Stepper
from medicalseg.core.train import TrainOptions, train
from medicalseg.core.trainer_state import TrainerState
from medicalseg.cvlibs import Config
from medicalseg.errors import ConfigError
from medicalseg.losses import BCELoss, DiceLoss, MixedLoss
from medicalseg.utils import checkpoint

PLATEAU = "lr_scheduler={type: ReduceOnPlateau, learning_rate: 0.04, factor: 0.5, patience: 0%s}"


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    """Drawing takes most of the time of a tiny run."""
    monkeypatch.setattr("medicalseg.reports.write_progress_png", lambda path, history: None)


def options(folder: Path, **more) -> TrainOptions:
    return TrainOptions(**{"save_dir": str(folder), "save_interval": 1, "log_iters": 1, "device": "cpu", **more})


def plateau(file, more: str = "", iters: int = 5, **arguments) -> Config:
    return Config(file, iters=iters, opts=[PLATEAU % more, *arguments.pop("opts", ())], **arguments)


class Evaluations:
    """Stands for `evaluate`: (loss, Dice), one after the other."""

    def __init__(self, *pairs: tuple[float | None, float]) -> None:
        self.pairs = list(pairs)

    def __call__(self, model, dataset, **arguments):
        loss, score = self.pairs.pop(0)
        return SimpleNamespace(
            foreground_mean=score, loss=loss, auc_roc=None, num_cases=2, class_dice=np.ones(3), grid="original"
        )


SCORES = ((1.0, 0.5), (1.5, 0.6), (0.8, 0.4), (0.9, 0.7), (0.95, 0.6))
BY_LOSS = [0.04, 0.04, 0.02, 0.02, 0.01]


def test_the_rate_follows_the_validation_loss(config_file, tmp_path):
    state = train(plateau(config_file), options(tmp_path, do_eval=True), Evaluations(*SCORES))
    assert state.history["lr"] == pytest.approx(BY_LOSS)
    assert state.schedule["plateau"]["last_lr"] == pytest.approx(0.005)
    text = (tmp_path / "train.log").read_text()
    assert "The learning rate follows val_loss, after every evaluation" in text
    assert "reduced from 0.04 to 0.02: val_loss has not improved on 1." in text


def test_or_the_dice(config_file, tmp_path):
    config = plateau(config_file, ", metric: val_dice")
    state = train(config, options(tmp_path, do_eval=True), Evaluations(*SCORES))
    assert state.history["lr"] == pytest.approx([0.04, 0.04, 0.04, 0.02, 0.02])


def test_a_loss_that_was_not_computed_changes_nothing(config_file, tmp_path):
    scores = Evaluations(*((None, score) for _, score in SCORES))
    state = train(plateau(config_file), options(tmp_path, do_eval=True), scores)
    assert state.history["lr"] == [0.04] * 5


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_resume_goes_on_where_the_rate_was(config_file, tmp_path, cut):
    """Killed before or after the evaluation that follows the third checkpoint."""
    whole = train(plateau(config_file), options(tmp_path / "a", do_eval=True), Evaluations(*SCORES))

    class KilledError(Exception):
        pass

    original, name = training.Trainer._validate, "b"

    def die(self, journal, clock=None):
        if self.state.iteration == 3 and cut == "before":
            raise KilledError
        original(self, journal, clock)
        if self.state.iteration == 3:
            raise KilledError

    folder = options(tmp_path / name, do_eval=True, resume="auto")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "_validate", die)
        with pytest.raises(KilledError):
            train(plateau(config_file), folder, Evaluations(*SCORES))
    rest = SCORES[2:] if cut == "before" else SCORES[3:]
    resumed = train(plateau(config_file), folder, Evaluations(*rest))
    assert resumed.history["lr"] == whole.history["lr"]
    assert resumed.schedule == whole.schedule
    one, two = (checkpoint.load_state(tmp_path / part / "iter_5/model.pdparams") for part in "ab")
    for key in one:
        np.testing.assert_array_equal(one[key], two[key], err_msg=key)


def test_the_training_loss_is_looked_at_in_every_step(config_file, tmp_path):
    config = plateau(config_file, ", threshold: 0.9", iters=4)
    state = train(config, options(tmp_path))
    assert state.history["lr"] == pytest.approx([0.04, 0.04, 0.02, 0.01])
    assert "The learning rate follows train_loss, at every iteration" in (tmp_path / "train.log").read_text()


def test_a_metric_of_the_evaluation_needs_one(config_file, tmp_path):
    with pytest.raises(ConfigError, match=r"lr_scheduler\.metric: val_dice needs --do_eval"):
        train(plateau(config_file, ", metric: val_dice"), options(tmp_path))


def test_best_weights_by_loss(config_file, tmp_path):
    config = Config(config_file, iters=5, opts=["test_config={best: loss}", "early_stop_intervals=2"])
    scores = Evaluations((7.0, 0.5), (1.5, 0.4), (float("nan"), 0.9), (1.6, 0.9), (0.1, 0.9))
    state = train(config, options(tmp_path, do_eval=True), scores)
    assert (state.iteration, state.best_iteration, state.best_score) == (4, 2, 1.5)
    assert checkpoint.read_meta(tmp_path / "best_model")["iteration"] == 2
    text = (tmp_path / "train.log").read_text()
    assert "The model with the best validation loss (1.5000) was saved at iter 2." in text
    assert "no better validation loss" in text
    assert json.loads((tmp_path / "iter_4/trainer.json").read_text())["best_by"] == "loss"


def test_another_choice_of_the_best_starts_anew(config_file, tmp_path):
    train(Config(config_file, iters=2), options(tmp_path, do_eval=True), Evaluations((1.0, 0.9), (2.0, 0.8)))
    config = Config(config_file, iters=3, opts=["test_config={best: loss}"])
    state = train(config, options(tmp_path, do_eval=True, resume="auto"), Evaluations((3.0, 0.1)))
    assert (state.best_score, state.best_iteration) == (3.0, 3)
    assert "chosen by dice, now by loss" in (tmp_path / "train.log").read_text()


def test_best_by_loss_needs_a_loss(config_file, tmp_path):
    config = Config(config_file, iters=1, opts=["test_config={best: loss}"])
    with pytest.raises(ConfigError, match="best: loss needs the loss"):
        train(config, options(tmp_path, do_eval=True), Evaluations((None, 0.5)))


def test_what_improves():
    state = TrainerState()
    assert state.improves(0.0)
    assert not state.improves(float("nan"))
    state.best_score, state.best_iteration = 0.5, 1
    assert state.improves(0.6)
    state.forget_best("loss")
    assert state.improves(1e9)
    state.best_score, state.best_iteration = 0.5, 1
    assert state.improves(0.4)
    assert not state.improves(0.5)


def test_epochs(config_file, tmp_path):
    """4 cases, twice each in an epoch, 3 to a batch: 3 iterations."""
    config = Config(config_file, epochs=2, batch_size=3)
    state = train(config, options(tmp_path, save_interval=None))
    assert (state.iteration, state.saved) == (6, [3, 6])
    assert state.history["lr"] == pytest.approx([0.05 * (1 - k / 6) ** 0.9 for k in range(6)])
    assert "2 epochs are 6 iterations." in (tmp_path / "train.log").read_text()


def test_without_epochs_checkpoints_are_a_thousand_iterations_apart(config_file, tmp_path):
    state = train(Config(config_file, iters=3), options(tmp_path, save_interval=None))
    assert state.saved == [3]


@pytest.mark.parametrize("structures", [1, 3])
def test_a_step_on_masks(structures):
    paddle.seed(0)
    network = paddle.nn.Conv2D(2, structures, 1)

    def model(images):
        return [network(images)]

    model.parameters = network.parameters
    losses = {"types": [MixedLoss([DiceLoss(smooth=1e-5, per_image=True), BCELoss()], [1, 1])], "coef": [1]}
    optimizer = paddle.optimizer.Adam(0.1, parameters=network.parameters())
    stepper = Stepper(model, losses, optimizer, Precision())
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2, (2, structures, 8, 6)).astype(np.uint8)
    images = np.stack([masks[:, 0], masks.sum(axis=1)], axis=1).astype(np.float32)
    images += rng.normal(0, 0.1, images.shape).astype(np.float32)
    masks[0, :, :2] = 255
    results = [stepper(k, images, masks) for k in range(30)]
    assert all(len(result.losses) == 2 for result in results)
    assert results[-1].loss < 0.8 * results[0].loss
    assert results[-1].dsc > results[0].dsc
