"""Flags of the command line, profiler options, what a run evaluates with."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pytest

from medicalseg.cli import run_verb
from medicalseg.cli import train as cli
from medicalseg.core.evaluation_options import evaluation_arguments
from medicalseg.core.profiling import ProfilerOptions, StepProfiler
from medicalseg.core.train_options import TrainOptions
from medicalseg.errors import ConfigError, UserError
from medicalseg.inference import TaskSpec

UPSTREAM = """config iters batch_size learning_rate save_interval resume_model save_dir keep_checkpoint_max num_workers
do_eval log_iters use_vdl seed data_format profiler_options nnunet precision sw_num is_save_data has_dataset_json"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    cli.add_arguments(made)
    return made


def test_every_flag_of_paddleseg3d_exists():
    flags = {option for action in parser()._actions for option in action.option_strings}
    assert {f"--{name}" for name in UPSTREAM.split()} <= flags


@pytest.mark.parametrize(("text", "value"), [("True", True), ("False", False), ("0", False), ("yes", True)])
def test_truth_is_read_as_text(text, value):
    assert parser().parse_args(["--config", "a.yml", "--is_save_data", text]).is_save_data is value


def test_text_is_never_executed(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--config", "a.yml", "--is_save_data", "__import__('os')"])
    assert "neither True nor False" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--nnunet", "--config", "missing.yml"], "missing.yml"),
        (["--data_format", "NHWC"], "channels-first"),
        (["--config", "missing.yml"], "missing.yml"),
        (["--early_stop_intervals", "3"], "--early_stop_intervals: no effect without --do_eval"),
        (["--val_interval", "5%", "--pseudo_interval", "2"], "--val_interval, --pseudo_interval: no effect"),
    ],
)
def test_refused(capsys, flags, message):
    assert run_verb("train", ["--config", "a.yml", *flags]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--do_eval"], ["--folds", "none"]])
def test_flags_of_an_evaluation_go_with_one_and_with_all_cases(more):
    args = parser().parse_args(["--config", "a.yml", "--val_interval", "5%", *more])
    assert cli.options_of(args).val_interval == "5%"


@pytest.mark.parametrize("name", ["save_interval", "log_iters", "num_workers"])
def test_option_ranges(name):
    with pytest.raises(UserError, match=name):
        TrainOptions(**{name: -1})


def test_profiler_options():
    options = ProfilerOptions.parse("batch_range=[50, 60]; profile_path=p; state=CPU; exit_on_finished=false")
    assert options == ProfilerOptions((50, 60), "p", "CPU", exit_on_finished=False)


@pytest.mark.parametrize("text", ["a=b", "batch_range=[5,2]", "batch_range=os.getcwd()", "state=TPU", "novalue"])
def test_wrong_profiler_options(text):
    with pytest.raises(UserError, match="--profiler_options"):
        ProfilerOptions.parse(text)


def test_profiler_range(monkeypatch):
    events: list[str] = []
    profiler = StepProfiler(ProfilerOptions((1, 3)))
    monkeypatch.setattr(profiler, "_start", lambda options: events.append("start"))
    monkeypatch.setattr(profiler, "stop", lambda: events.append("stop"))
    assert [profiler.step() for _ in range(4)] == [False, False, False, True]
    assert events == ["start", "stop"]


def test_sliding_window_needs_a_size():
    config = SimpleNamespace(test_config={}, loss=None)
    dataset = SimpleNamespace(task=TaskSpec(num_classes=2))
    options = TrainOptions(sw_num=2, save_predictions=True)
    with pytest.raises(ConfigError, match="size is not known"):
        evaluation_arguments(config, dataset, SimpleNamespace(), options)
    arguments = evaluation_arguments(config, dataset, SimpleNamespace(img_shape=(4, 4, 4)), options)
    assert arguments["sliding"].batch == 2
    assert arguments["save_predictions"] == 5
