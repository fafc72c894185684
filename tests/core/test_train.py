"""A whole training run in one process: what it writes, logs, and when it stops."""

from __future__ import annotations

import json
import re
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_training import make_config, make_data

from medicalseg.core import train as training
from medicalseg.core.failures import StoppedError
from medicalseg.core.train import TrainOptions, train
from medicalseg.cvlibs import Config
from medicalseg.errors import CheckpointError, ConfigError, DataError, RunError, UserError
from medicalseg.losses import MixedLoss
from medicalseg.utils import checkpoint
from medicalseg.utils.checkpoint import load_state

TRAIN_LINE = re.compile(
    r"\[TRAIN\] epoch: \d+, iter: \d+/\d+, loss: \d+\.\d{4}, DSC: \d+\.\d{4}, lr: \d\.\d{6}, batch_cost: \d+\.\d{4}, "
    r"reader_cost: \d+\.\d{5}, ips: \d+\.\d{4} samples/sec \| ETA \d\d:\d\d:\d\d"
)


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def no_picture(request, monkeypatch):
    """Drawing takes most of the time of a tiny run."""
    if "end_to_end" not in request.node.name:
        monkeypatch.setattr("medicalseg.reports.write_progress_png", lambda path, history: None)


def options(folder, **more) -> TrainOptions:
    defaults = {"save_dir": str(folder), "save_interval": 2, "log_iters": 1, "device": "cpu"}
    return TrainOptions(**{**defaults, **more})


class Scores:
    """Stands for `evaluate`: given foreground means, one after the other; keeps the weights it saw."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.seen: list[np.ndarray] = []

    def __call__(self, model, dataset, **arguments):
        assert not model.training
        self.seen.append(model.state_dict()[next(iter(model.state_dict()))].numpy())
        score = self.scores.pop(0) if self.scores else 0.0
        return SimpleNamespace(
            foreground_mean=score, loss=1.0, auc_roc=None, num_cases=2, class_dice=np.ones(3), grid="original"
        )


def same_weights(left, right) -> None:
    one, two = load_state(left), load_state(right)
    assert list(one) == list(two)
    for key in one:
        np.testing.assert_array_equal(one[key], two[key], err_msg=key)


def test_a_run_from_end_to_end(config_file, tmp_path, capsys):
    state = train(Config(config_file, iters=5), options(tmp_path, do_eval=True, use_vdl=True, save_predictions=True))
    assert state.iteration == 5
    assert state.saved == [2, 4, 5]
    for name in ("history.json", "history.csv", "progress.png", "train.log", "eval/metrics.json"):
        assert (tmp_path / name).stat().st_size > 0
    assert sorted(p.name for p in (tmp_path / "iter_5").iterdir()) == [
        *("meta.json", "model.pdopt", "model.pdparams", "trainer.json")
    ]
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert sum(bool(TRAIN_LINE.search(line)) for line in lines) == 5
    assert any(re.search(r"\[EVAL\] #Images: 2, Dice: \d\.\d{4}, Loss: \d+\.\d{6}", line) for line in lines)
    best = "[EVAL] The model with the best validation mDice"
    assert any(best in line for line in lines)
    assert "Training ended at iteration 5. The model with the best validation Dice (" in lines[-1]
    manifest = json.loads((tmp_path / "run.json").read_text())
    assert manifest["config"]["iters"] == 5
    assert len(manifest["train_dataset"]["sha256"]) == 64
    meta = checkpoint.read_meta(tmp_path / "best_model")
    assert meta["task"]["num_classes"] == 3
    assert meta["metric"]["foreground_mean"] == pytest.approx(state.best_score)
    assert (tmp_path / "history.csv").read_text().count("\n") == 6


def test_visualdl_tags(config_file, tmp_path, monkeypatch):
    added: list[tuple[str, float, int]] = []
    writer = SimpleNamespace(add_scalar=lambda *row: added.append(row), close=lambda: added.append(("closed", 0, 0)))
    monkeypatch.setattr("medicalseg.core.journal._visualdl", lambda folder: writer)
    train(Config(config_file, iters=2), options(tmp_path, use_vdl=True, do_eval=True), Scores(0.25))
    tags = {"loss", "loss_0", "loss_1", "mdice", "lr", "batch_cost", "reader_cost"}
    assert {tag for tag, _, _ in added} == {f"Train/{tag}" for tag in tags} | {"Evaluate/Dice", "closed"}
    assert ("Evaluate/Dice", 0.25, 2) in added
    assert ("Train/lr", 0.05, 1) in added


def test_resume_gives_the_same_weights(config_file, tmp_path):
    scores = (0.3, 0.5, 0.4)
    whole = train(Config(config_file, iters=6), options(tmp_path / "a", do_eval=True, use_ema=True), Scores(*scores))
    cut = options(tmp_path / "b", do_eval=True, use_ema=True, resume="auto")
    config = Config(config_file, iters=6)

    class KilledError(Exception):
        pass

    def die(self, journal, clock=None):
        raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "_validate", die)
        with pytest.raises(KilledError):
            train(config, cut, Scores())
    resumed = train(Config(config_file, iters=6), cut, Scores(*scores))
    for name in ("iter_6/model.pdparams", "iter_6/ema.pdparams", "best_model/model.pdparams"):
        same_weights(tmp_path / "a" / name, tmp_path / "b" / name)
    assert (resumed.best_score, resumed.best_iteration) == (whole.best_score, whole.best_iteration) == (0.5, 4)
    for name in ("iter", "loss", "dsc", "lr", "eval_iter", "eval_dice"):
        assert resumed.history[name] == whole.history[name]


def test_workers_do_not_change_the_weights(config_file, tmp_path):
    train(Config(config_file, iters=3), options(tmp_path / "a"))
    train(Config(config_file, iters=3), options(tmp_path / "b", num_workers=2))
    same_weights(tmp_path / "a/iter_3/model.pdparams", tmp_path / "b/iter_3/model.pdparams")


def test_a_finished_run_is_left_as_it_is(config_file, tmp_path):
    train(Config(config_file, iters=2), options(tmp_path))
    before = (tmp_path / "iter_2/model.pdparams").read_bytes()
    assert train(Config(config_file, iters=2), options(tmp_path, resume="auto")).iteration == 2
    assert (tmp_path / "iter_2/model.pdparams").read_bytes() == before
    with pytest.raises(UserError, match="beyond iters 1"):
        train(Config(config_file, iters=1), options(tmp_path, resume="auto"))


def test_old_checkpoints_go_also_after_a_resume(config_file, tmp_path):
    train(Config(config_file, iters=4), options(tmp_path, keep_checkpoint_max=2, save_interval=1))
    train(Config(config_file, iters=6), options(tmp_path, keep_checkpoint_max=2, save_interval=1, resume="auto"))
    assert sorted(path.name for path in tmp_path.glob("iter_*")) == ["iter_5", "iter_6"]


def test_checkpoint_of_paddleseg3d(config_file, tmp_path):
    """It has weights and optimizer only; the iteration is in the folder's name."""
    train(Config(config_file, iters=4), options(tmp_path / "a"))
    (tmp_path / "a/iter_2/trainer.json").unlink()
    (tmp_path / "a/iter_2/meta.json").unlink()
    state = train(Config(config_file, iters=4), options(tmp_path / "b", resume=str(tmp_path / "a/iter_2")))
    assert state.iteration == 4
    same_weights(tmp_path / "a/iter_4/model.pdparams", tmp_path / "b/iter_4/model.pdparams")


def test_best_model_and_early_stop(config_file, tmp_path):
    scores = Scores(0.2, 0.6, 0.5, 0.6, 0.9)
    state = train(
        Config(config_file, iters=6),
        options(tmp_path, save_interval=1, do_eval=True, early_stop_intervals=2),
        scores,
    )
    assert (state.iteration, state.best_iteration, state.best_score) == (4, 2, 0.6)
    assert checkpoint.read_meta(tmp_path / "best_model")["iteration"] == 2
    same_weights(tmp_path / "iter_2/model.pdparams", tmp_path / "best_model/model.pdparams")


@pytest.mark.parametrize(
    ("write", "iters", "more", "expected"),
    [
        ("last", 3, {}, [False, False, True]),
        ("every", 3, {}, [True, True, True]),
        ("last", 6, {"early_stop_intervals": 2}, [False, False, True]),
    ],
)
def test_pictures_and_label_maps_are_of_the_last_evaluation(config_file, tmp_path, write, iters, more, expected):
    written = []

    def evaluate(model, dataset, **arguments):
        assert arguments["save_dir"] == tmp_path / "eval"
        written.append(arguments["overlays"] > 0 and arguments["save_predictions"] > 0)
        return Scores(0.5)(model, dataset)

    config = Config(config_file, iters=iters, opts=[f"test_config={{write: {write}}}"])
    train(config, options(tmp_path, save_interval=1, do_eval=True, save_predictions=True, **more), evaluate)
    assert written == expected


def test_averaged_weights_are_evaluated_and_kept_as_best(config_file, tmp_path):
    scores = Scores(0.5)
    train(Config(config_file, iters=2), options(tmp_path, do_eval=True, use_ema=True), scores)
    same_weights(tmp_path / "iter_2/ema.pdparams", tmp_path / "best_model/model.pdparams")
    average, last = (load_state(tmp_path / "iter_2" / name) for name in ("ema.pdparams", "model.pdparams"))
    first = next(iter(average))
    np.testing.assert_array_equal(scores.seen[0], average[first])
    assert np.abs(average[first] - last[first]).max() > 0


def test_a_score_that_does_not_exist_is_never_the_best(config_file, tmp_path):
    state = train(Config(config_file, iters=2), options(tmp_path, do_eval=True), Scores(float("nan")))
    assert state.best_iteration == 0
    assert not (tmp_path / "best_model").exists()


def test_not_a_number_ends_the_run_with_its_cases(config_file, tmp_path, monkeypatch):
    forward = MixedLoss.forward
    calls: list[int] = []

    def broken(self, logits, label):
        calls.append(1)
        parts = forward(self, logits, label)
        return parts if len(calls) < 4 else [part * float("nan") for part in parts]

    monkeypatch.setattr(MixedLoss, "forward", broken)
    with pytest.raises(
        RunError, match=r"loss is nan at iteration 4 \(batch: case 'c\d'.*Last good checkpoint: .*iter_2"
    ):
        train(Config(config_file), options(tmp_path))
    assert "stopped: the loss is nan" in (tmp_path / "train.log").read_text()


def test_weights_that_are_not_finite_are_not_saved(config_file, tmp_path):
    config = Config(config_file, iters=4, learning_rate=1e38)
    with pytest.raises(RunError, match=r"no longer finite|loss is (nan|inf)"):
        train(config, options(tmp_path, save_interval=1))
    assert all(
        np.isfinite(value).all()
        for path in tmp_path.glob("iter_*")
        for value in load_state(path / "model.pdparams").values()
    )


def test_full_disk_keeps_the_last_good_checkpoint(config_file, tmp_path, monkeypatch):
    write = checkpoint.save_state

    def full(path, state):
        if "iter_4" in str(path) and str(path).endswith("pdopt"):
            raise OSError(28, "No space left on device")
        write(path, state)

    monkeypatch.setattr(checkpoint, "save_state", full)
    with pytest.raises(RunError, match=r"iter_4: No space left on device; the last good checkpoint is .*iter_2"):
        train(Config(config_file), options(tmp_path))
    assert sorted(path.name for path in tmp_path.glob("*iter_*")) == ["iter_2"]


def test_save_dir_is_a_file(config_file, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        train(Config(config_file), options(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_broken_case_is_named(tmp_path):
    config_file = make_config(tmp_path)
    (tmp_path / "tiny/images/c2.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises((DataError, RunError), match="c2"):
        train(Config(config_file), options(tmp_path / "out", num_workers=1))


def test_empty_list(tmp_path):
    make_data(tmp_path)
    (tmp_path / "tiny/train_list.txt").write_text("")
    with pytest.raises(DataError, match=r"train_list\.txt"):
        train(Config(make_config(tmp_path)), options(tmp_path / "out"))


def test_evaluation_without_data(config_file, tmp_path):
    text = re.sub(r"val_dataset:.*?model:", "model:", config_file.read_text(), flags=re.S)
    path = config_file.with_name("no_val.yml")
    path.write_text(text)
    with pytest.raises(ConfigError, match="val_dataset"):
        train(Config(path), options(tmp_path, do_eval=True))


def test_checkpoint_of_another_network(config_file, tmp_path):
    train(Config(config_file, iters=2), options(tmp_path))
    other = Config(config_file, iters=4, opts=["model.base_channels=3"])
    with pytest.raises(CheckpointError, match="does not fit UNet3D"):
        train(other, options(tmp_path, resume="auto"))


def test_static_graph_training(config_file, tmp_path):
    config = Config(config_file, iters=2, opts=["to_static_training=True"])
    eager = train(Config(config_file, iters=2), options(tmp_path / "eager", cpu_accel="off"))
    static = train(config, options(tmp_path / "static"))
    np.testing.assert_allclose(static.history["loss"], eager.history["loss"], rtol=1e-4)


def test_adam_with_warm_up_resumes_exactly(config_file, tmp_path):
    opts = [
        "optimizer={type: AdamW, weight_decay: 0.01, grad_clip_cfg: {name: ClipGradByGlobalNorm, clip_norm: 0.5}}",
        "lr_scheduler={type: PolynomialDecay, learning_rate: 0.01, warmup_iters: 3, warmup_start_lr: 0.001}",
    ]
    train(Config(config_file, iters=5, opts=opts), options(tmp_path / "a"))
    train(Config(config_file, iters=5, opts=opts), options(tmp_path / "b", resume=str(tmp_path / "a/iter_2")))
    same_weights(tmp_path / "a/iter_5/model.pdparams", tmp_path / "b/iter_5/model.pdparams")


class SignalsWhenDropped:
    """SIGTERM arrives while its destructor runs, which swallows the error of the handler."""

    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_within_a_destructor_stops_the_run(config_file, tmp_path):
    scores = Scores(0.25, 0.5, 0.5)

    def evaluate(*arguments, **options):
        SignalsWhenDropped()
        return scores(*arguments, **options)

    with pytest.raises(StoppedError):
        train(Config(config_file, iters=6), options(tmp_path, do_eval=True), evaluate)
    assert sorted(path.name for path in tmp_path.glob("iter_*")) == ["iter_2"]
