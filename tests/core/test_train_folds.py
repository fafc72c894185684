"""Folds one after the other, the wall-clock budget, intervals of their own, final weights: on tiny volumes."""

from __future__ import annotations

import itertools
import json
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_folds import make_cubes

from medicalseg.core import time_budget
from medicalseg.core.evaluation_limit import EvaluationLimit, TooLong
from medicalseg.core.folds import count_folds, fold_folder, folds_of, parse_folds, train_folds
from medicalseg.core.run_length import RunLength
from medicalseg.core.train import TrainOptions, train
from medicalseg.core.trainer_state import TrainerState
from medicalseg.core.validation import Validation, pseudo_interval_of
from medicalseg.cvlibs import Config
from medicalseg.errors import ConfigError, UserError
from medicalseg.utils import checkpoint
from medicalseg.utils.checkpoint import load_state


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    return make_cubes(tmp_path_factory.mktemp("folds"))


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    """Drawing takes most of the time of a tiny run."""
    monkeypatch.setattr("medicalseg.reports.write_progress_png", lambda path, history: None)


def options(folder, **more) -> TrainOptions:
    return TrainOptions(**{"save_dir": str(folder), "log_iters": 1, "device": "cpu", **more})


def scores(value: float = 0.5):
    """Stands for `evaluate`."""
    return lambda model, dataset, **arguments: SimpleNamespace(
        foreground_mean=value, loss=1.0, auc_roc=None, num_cases=2, class_dice=np.ones(2), grid="original"
    )


class StepClock:
    """Time passes by a second at every look, as if every step took one."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def by_steps(monkeypatch):
    monkeypatch.setattr(time_budget, "time", SimpleNamespace(monotonic=StepClock()))


def test_words_of_the_flag():
    assert parse_folds(["0", "1", "3"]) == (0, 1, 3)
    assert parse_folds(["0..2", "2", "7-8"]) == (0, 1, 2, 7, 8)
    assert parse_folds(["all"]) == ("all",)
    for words in (["-1"], ["all", "0"], ["some"], ["3..1"], ["1.5"]):
        with pytest.raises(UserError, match="--folds"):
            parse_folds(words)


def test_which_folds(config_file):
    config = Config(config_file)
    assert count_folds(config) == 2
    assert folds_of(config, ("all",)) == (0, 1)
    assert folds_of(config, ("none",)) == ("all",)
    with pytest.raises(ConfigError, match="--folds 2: the data have the folds 0 to 1"):
        folds_of(config, (0, 2))
    patients = ["train_dataset.group_pattern=(c[0-9])", "train_dataset.num_folds=4", "val_dataset.num_folds=4"]
    assert count_folds(Config(config_file, opts=patients)) == 4
    with pytest.raises(UserError, match=r"--num_folds: the folds are those of .*splits_final.json, 2 of them"):
        count_folds(Config(config_file, num_folds=3))
    other = Config(config_file, opts=["train_dataset.splits=None"], num_folds=3)
    assert [other.dic[key]["num_folds"] for key in ("train_dataset", "val_dataset")] == [3, 3]
    (config_file.parent / "cubes/splits_final.json").rename(config_file.parent / "kept.json")
    try:
        assert count_folds(other) == 3
        assert count_folds(config) == 5
    finally:
        (config_file.parent / "kept.json").rename(config_file.parent / "cubes/splits_final.json")


def test_training_and_validation_have_the_same_folds(config_file):
    told = "train_dataset.num_folds: train_dataset has 3 and val_dataset 5, so that their folds are not the same"
    with pytest.raises(ConfigError, match=told):
        Config(config_file, opts=["train_dataset.num_folds=3"])
    with pytest.raises(ConfigError, match=r"val_dataset.split_seed: train_dataset has 12345 and val_dataset 1"):
        Config(config_file, opts=["val_dataset.split_seed=1"])
    with pytest.raises(ConfigError, match="--num_folds 1: must be at least 2"):
        Config(config_file, num_folds=1)


def test_folds_are_trained_and_skipped_when_done(config_file, tmp_path, capsys):
    opener = partial(Config, config_file, iters=2)
    train_folds(opener, options(tmp_path), (0, 1))
    before = {}
    for fold, cases in ((0, ["c2", "c3"]), (1, ["c0", "c1"])):
        folder = fold_folder(tmp_path, fold)
        meta = checkpoint.read_meta(folder / "final_model")
        assert meta["iteration"] == 2
        assert meta["config"]["train_dataset"]["fold"] == fold
        assert json.loads((folder / "run.json").read_text())["train_dataset"]["cases"] == len(cases)
        before[fold] = (folder / "final_model/model.pdparams").stat().st_mtime_ns
    first, second = (load_state(tmp_path / f"fold_{fold}/final_model/model.pdparams") for fold in (0, 1))
    assert any(np.abs(first[key] - second[key]).max() > 0 for key in first)
    capsys.readouterr()
    train_folds(opener, options(tmp_path, resume="auto"), (0, 1))
    assert "Fold 0 is done" in capsys.readouterr().out
    for fold, time in before.items():
        assert (tmp_path / f"fold_{fold}/final_model/model.pdparams").stat().st_mtime_ns == time
    train_folds(partial(Config, config_file, iters=2, learning_rate=0.5), options(tmp_path, resume="auto"), (0,))
    assert "The configuration differs from that of" in (told := capsys.readouterr().out)
    assert "fold_0/final_model in: lr_scheduler" in told
    train_folds(partial(Config, config_file, iters=3), options(tmp_path, resume="auto"), (0,))
    assert checkpoint.read_meta(tmp_path / "fold_0/final_model")["iteration"] == 3


def test_all_cases_without_validation(config_file, tmp_path):
    train_folds(partial(Config, config_file, iters=1), options(tmp_path, do_eval=True), ("none",))
    run = json.loads((tmp_path / "fold_all/run.json").read_text())
    assert run["train_dataset"]["cases"] == 4
    assert run["val_dataset"] is None
    assert (tmp_path / "fold_all/final_model/model.pdparams").is_file()


def test_only_resume_auto_goes_with_folds(config_file, tmp_path):
    with pytest.raises(UserError, match="with --folds only --resume auto"):
        train_folds(partial(Config, config_file), options(tmp_path, resume="iter_2"), (0,))


def test_data_without_folds_are_told(config_file):
    fake = SimpleNamespace(
        path="x.yml",
        dic={"train_dataset": {"type": "MedicalDataset", "dataset_root": "cubes"}},
        require_data=lambda *keys: None,
    )
    with pytest.raises(ConfigError, match="--folds needs data with folds"):
        folds_of(fake, (0,))


def test_the_schedule_follows_the_clock(config_file, tmp_path, by_steps):
    """Every look at the clock is a second: the rate is that of the time when the step before ended."""
    config = Config(config_file, max_time="20s")
    state = train(config, options(tmp_path, save_interval="50%"))
    assert state.iteration < 20
    assert state.elapsed >= 20
    rates = state.history["lr"]
    assert rates[0] == pytest.approx(0.02)
    assert all(b < a for a, b in itertools.pairwise(rates))
    places = [1 - (rate / 0.02) ** (1 / 0.9) for rate in rates]
    assert all(math.isclose(20 * place, round(20 * place), abs_tol=1e-6) for place in places)
    assert places[-1] >= 0.8
    text = (tmp_path / "train.log").read_text()
    assert "Wall-clock budget 00:00:20" in text
    assert "is not the same bit by bit" in text
    assert f"iter: {state.iteration}, time: 00:00:2" in text
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["length"] == {"iters": None, "schedule_iters": 4, "max_time": 20.0}
    assert run["bit_exact"] is False
    kept = json.loads((tmp_path / f"iter_{state.iteration}/trainer.json").read_text())
    assert kept["elapsed"] == state.elapsed
    assert kept["ended"]["early"] is False
    assert len(state.saved) >= 2


def test_a_timed_run_tells_of_itself_at_least_twenty_times(config_file, tmp_path, by_steps):
    state = train(Config(config_file, max_time="40s"), options(tmp_path, log_iters=None))
    seldom = train(Config(config_file, max_time="40s"), options(tmp_path / "seldom", log_iters=100))
    assert 10 <= len(state.history["iter"]) <= 21
    assert len(seldom.history["iter"]) == 1


def test_a_resumed_run_keeps_its_budget(config_file, tmp_path, by_steps):
    first = train(Config(config_file, max_time="12s"), options(tmp_path))
    again = train(Config(config_file, max_time="12s"), options(tmp_path, resume="auto"))
    assert again.iteration == first.iteration
    longer = train(Config(config_file, max_time="24s"), options(tmp_path, resume="auto"))
    assert first.iteration < longer.iteration
    assert "of it used before" in (tmp_path / "train.log").read_text()
    assert 0 < longer.history["lr"][first.iteration] < 0.02 * 0.55**0.9


def test_iterations_end_a_timed_run_only_if_they_were_asked_for(config_file):
    config = Config(config_file, max_time="1h30m", iters=7)
    assert RunLength.of(config, TrainOptions(limit_iters=True)).iters == 7
    free = RunLength.of(config, TrainOptions())
    assert free.iters > 10**9
    assert free.to_dict() == {"iters": None, "schedule_iters": 7, "max_time": 5400.0}


def test_time_alone_is_a_length(config_file):
    config = Config(config_file, opts=["iters=None"], max_time="5m")
    config.require("iters")
    assert config.iters == 10_000
    with pytest.raises(ConfigError, match="max_time: 'soon' is not a duration"):
        Config(config_file, max_time="soon")


def test_intervals_of_their_own(config_file, tmp_path):
    state = train(
        Config(config_file, iters=8),
        options(tmp_path, do_eval=True, save_interval=4, val_interval=3, pseudo_interval=2),
        scores(),
    )
    assert state.saved == [4, 8]
    assert state.history["eval_iter"] == [3, 6, 8]
    assert state.history["pseudo_iter"] == [2, 4]
    assert all(0 <= value <= 1 or math.isnan(value) for value in state.history["pseudo_dice"])
    assert "pseudo_dice" in (tmp_path / "history.csv").read_text().splitlines()[0]
    assert "pseudo-Dice (patches)" in (tmp_path / "train.log").read_text()


def test_a_newer_run_is_resumed_though_an_older_one_came_further(config_file, tmp_path, capsys):
    train(Config(config_file, iters=4), options(tmp_path))
    train(Config(config_file, iters=2), options(tmp_path))
    capsys.readouterr()
    train(Config(config_file, iters=4), options(tmp_path, resume="auto"))
    assert "iter_2, iteration 2" in capsys.readouterr().out
    times = [
        json.loads((tmp_path / name).read_text())["started"] for name in ("iter_2/trainer.json", "iter_4/trainer.json")
    ]
    assert times[0] == times[1]


def test_a_checkpoint_that_was_named_starts_the_run_that_auto_goes_on_with(config_file, tmp_path, capsys):
    train(Config(config_file, iters=2), options(tmp_path))
    (tmp_path / "iter_2").rename(tmp_path / "kept")
    train(Config(config_file, iters=1), options(tmp_path))
    (tmp_path / "kept").rename(tmp_path / "iter_2")
    train(Config(config_file, iters=3), options(tmp_path, resume=str(tmp_path / "iter_2")))
    capsys.readouterr()
    train(Config(config_file, iters=4), options(tmp_path, resume="auto"))
    assert "iter_3, iteration 3" in capsys.readouterr().out


def test_keys_of_the_file(config_file, tmp_path):
    config = Config(config_file, iters=4, opts=["save_interval=2", "val_interval='25%'", "pseudo_interval=100"])
    state = train(config, options(tmp_path, do_eval=True), scores())
    assert state.saved == [2, 4]
    assert state.history["eval_iter"] == [1, 2, 3, 4]
    with pytest.raises(ConfigError, match=r"val_interval: '-3': expected a number of iterations"):
        Config(config_file, opts=["val_interval='-3'"])


def test_final_weights_are_the_average(config_file, tmp_path):
    train(Config(config_file, iters=3), options(tmp_path, ema_decay=0.5, do_eval=True), scores(0.25))
    final = load_state(tmp_path / "final_model/model.pdparams")
    average = load_state(tmp_path / "iter_3/ema.pdparams")
    for key, value in average.items():
        np.testing.assert_array_equal(final[key], value)
    meta = checkpoint.read_meta(tmp_path / "final_model")
    assert meta["averaged"] is True
    assert meta["metric"]["foreground_mean"] == 0.25
    assert meta["task"]["sliding"]["window"] == [8, 8, 8]


def test_final_weights_after_an_early_stop(config_file, tmp_path):
    state = train(
        Config(config_file, iters=9),
        options(tmp_path, do_eval=True, val_interval=1, save_interval=4, early_stop_intervals=2,
                early_stop_min_delta=0.1),
        scores(),
    )  # fmt: skip
    assert state.iteration == 3
    assert state.ended["early"] is True
    told = "Early stopping: no better validation Dice (by more than 0.1) in the last 2 evaluations."
    assert told in (tmp_path / "train.log").read_text()
    meta = checkpoint.read_meta(tmp_path / "final_model")
    assert meta["iteration"] == 3
    assert meta["metric"]["foreground_mean"] == pytest.approx(state.history["eval_dice"][-1])
    assert state.saved == [3]


def test_slow_progress_is_no_standstill(config_file, tmp_path):
    """Keras' rule: a score is compared with that of the last improvement, not with every new best."""
    values = iter([0.500, 0.506, 0.512, 0.518, 0.519, 0.520, 0.521])
    state = train(
        Config(config_file, iters=9),
        options(tmp_path, do_eval=True, val_interval=1, early_stop_intervals=3, early_stop_min_delta=0.01),
        lambda *given, **arguments: scores(next(values))(*given, **arguments),
    )
    assert state.iteration == 6
    assert (state.best_score, state.best_iteration, state.stop_score) == (0.520, 6, 0.512)


def test_a_state_of_before_goes_on_from_its_best():
    old = TrainerState.from_dict({"iteration": 4, "history": {}, "best_score": 0.7, "best_iteration": 4})
    assert old.stop_score == 0.7
    assert not old.progresses(0.705, by=0.01)
    assert TrainerState().progresses(0.0, by=0.5)
    assert not TrainerState().progresses(math.nan, by=0.0)
    loss = TrainerState(best_by="loss", stop_score=0.5)
    assert loss.progresses(0.4, by=0.05)
    assert not loss.progresses(0.47, by=0.05)
    loss.forget_best("dice")
    assert loss.stop_score is None


def test_evaluations_stay_within_their_share_of_the_budget():
    validation = Validation(scores(), None, None, {})
    state, clock = SimpleNamespace(evaluation_seconds=15.0), time_budget.TimeBudget(100)
    validation._last = 4.0
    assert validation.affordable(state, clock)
    validation._last = 6.0
    assert not validation.affordable(state, clock)
    assert validation.affordable(state, time_budget.TimeBudget())
    assert validation.affordable_patches(clock)
    validation._last_pseudo, validation._all_pseudo = 1.0, 2.0
    clock.used = 59.0
    assert not validation.affordable_patches(clock)
    clock.used = 61.0
    assert validation.affordable_patches(clock)


def test_a_first_evaluation_that_takes_too_long_is_left_out(caplog):
    """A fifth of 40 s is the limit; what the first cases took counts, and is known from then on."""

    def evaluate(model, dataset, limit=None):
        if limit is not None:
            assert limit.seconds == pytest.approx(8.0)
            raise TooLong(36.0)
        return "figures"

    caplog.set_level("INFO", logger="medicalseg")
    model = SimpleNamespace(eval=lambda: None, train=lambda: None)
    validation = Validation(evaluate, model, None, {})
    state, clock = SimpleNamespace(evaluation_seconds=0.0, iteration=1), time_budget.TimeBudget(40)
    assert validation.affordable(state, clock)
    assert validation.cases(state, clock) is None
    assert "left out from here on: one takes 00:00:36" in caplog.text
    assert not validation.affordable(state, clock)
    assert validation.cases(state) == "figures"


def test_figures_then_come_from_the_end(config_file, tmp_path, by_steps, monkeypatch):
    monkeypatch.setattr(EvaluationLimit, "case_done", lambda self, done, total: self._look(1e9))
    state = train(Config(config_file, max_time="30s"), options(tmp_path, do_eval=True, val_interval=2))
    assert state.history["eval_iter"] == [state.iteration]
    assert checkpoint.read_meta(tmp_path / "best_model")["iteration"] == state.iteration
    assert "Evaluations in between are left out" in (tmp_path / "train.log").read_text()


def test_a_pseudo_interval_needs_patches(config_file, tmp_path):
    with pytest.raises(ConfigError, match="gives no validation patches"):
        pseudo_interval_of(5, SimpleNamespace())


def test_heads_and_coefficients_and_patches_are_compared_first(config_file, tmp_path):
    with pytest.raises(ConfigError, match=r"loss.coef: has 2 values, but UNet3D has 1 head; give one for each"):
        train(Config(config_file, opts=["loss.coef=[1, 0.5]"]), options(tmp_path))
    with pytest.raises(ConfigError, match=r"train_dataset.patch_size: UNet3D"):
        train(Config(config_file, opts=["train_dataset.patch_size=[7, 8, 8]"]), options(tmp_path))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ema_decay": 1.0}, "--ema_decay 1.0: must lie between 0 and 1"),
        ({"ema_decay": 0.5, "use_ema": False}, "give one of them"),
        ({"early_stop_min_delta": -1.0}, "must not be below 0"),
        ({"val_interval": "x"}, "--val_interval 'x': expected a number of iterations"),
        ({"save_interval": 0}, "--save_interval 0"),
        ({"early_stop_intervals": 0}, "at least 1"),
    ],
)
def test_wrong_options(more, message):
    with pytest.raises(UserError, match=message):
        TrainOptions(**more)


def test_gradient_clip_flag(config_file):
    config = Config(config_file, grad_clip=3.0)
    assert config.optimizer._grad_clip.clip_norm == 3.0
    assert "--grad_clip" in str(config.source("optimizer", "grad_clip_cfg"))
    with pytest.raises(ConfigError, match="--grad_clip 0: must be above 0"):
        Config(config_file, grad_clip=0)
