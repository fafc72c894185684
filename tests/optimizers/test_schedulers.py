"""Learning-rate schedules against their formulas."""

from __future__ import annotations

import math

import pytest
from paddle.optimizer import lr

from medicalseg.cvlibs import Config
from medicalseg.errors import ConfigError
from medicalseg.optimizers import build_scheduler
from medicalseg.optimizers.schedulers import scheduler_names


def rates(config, iters, count):
    schedule = build_scheduler(config, iters)
    found = []
    for _ in range(count):
        found.append(schedule())
        schedule.step()
    return found


def test_polynomial_defaults():
    found = rates({"type": "PolynomialDecay", "learning_rate": 0.1}, 10, 11)
    assert found == pytest.approx([0.1 * (1 - k / 10) ** 0.9 for k in range(11)])


def test_warmup_then_polynomial_over_the_rest():
    config = {"type": "PolynomialDecay", "learning_rate": 0.1, "warmup_iters": 4, "warmup_start_lr": 0.02}
    found = rates(config, 10, 11)
    assert found[:4] == pytest.approx([0.02 + 0.08 * k / 4 for k in range(4)])
    assert found[4:] == pytest.approx([0.1 * (1 - k / 6) ** 0.9 for k in range(7)])


def test_cosine_takes_its_length_from_iters():
    found = rates({"type": "CosineAnnealingDecay", "learning_rate": 0.1}, 8, 9)
    assert found == pytest.approx([0.05 * (1 + math.cos(math.pi * k / 8)) for k in range(9)], abs=1e-9)


def test_nested_linear_warmup():
    inner = {"type": "PiecewiseDecay", "boundaries": [2], "values": [0.1, 0.01]}
    config = {"type": "LinearWarmup", "learning_rate": inner, "warmup_steps": 2, "start_lr": 0.0, "end_lr": 0.1}
    assert rates(config, 10, 5) == pytest.approx([0.0, 0.05, 0.1, 0.1, 0.01])


def test_every_schedule_of_paddle_is_offered_or_explained():
    assert set(lr.__all__) - set(scheduler_names()) == {
        "LRScheduler",
        "LambdaDecay",
        "MultiplicativeDecay",
    }


@pytest.mark.parametrize(
    "config",
    [
        {"type": "NoamDecay", "d_model": 4, "warmup_steps": 10},
        {"type": "PiecewiseDecay", "boundaries": [3], "values": [1.0, 0.1]},
        {"type": "NaturalExpDecay", "learning_rate": 0.5, "gamma": 0.1},
        {"type": "InverseTimeDecay", "learning_rate": 0.5, "gamma": 0.1},
        {"type": "ExponentialDecay", "learning_rate": 0.5, "gamma": 0.9},
        {"type": "MultiStepDecay", "learning_rate": 0.5, "milestones": [2, 4]},
        {"type": "StepDecay", "learning_rate": 0.5, "step_size": 3},
        {"type": "OneCycleLR", "max_learning_rate": 1.0, "total_steps": 10},
        {"type": "CyclicLR", "base_learning_rate": 0.1, "max_learning_rate": 1.0, "step_size_up": 3},
        {"type": "LinearLR", "learning_rate": 0.5, "total_steps": 5},
        {"type": "CosineAnnealingWarmRestarts", "learning_rate": 0.5, "T_0": 3},
        {"type": "Constant", "learning_rate": 0.5},
    ],
    ids=lambda config: config["type"],
)
def test_equals_paddles_own(config):
    arguments = {key: value for key, value in config.items() if key != "type"}
    ours, theirs = build_scheduler(config, 20), None
    if config["type"] != "Constant":
        theirs = getattr(lr, config["type"])(**arguments)
    for _ in range(6):
        assert ours() == (0.5 if theirs is None else theirs())
        ours.step()
        if theirs is not None:
            theirs.step()


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        (0.1, [0.1, 0.1, 0.1]),
        ({"value": 0.1}, [0.1 * (1 - k / 10) ** 0.9 for k in range(3)]),
        (
            {"value": 0.1, "decay": {"type": "poly", "power": 2, "end_lr": 0}},
            [0.1 * (1 - k / 10) ** 2 for k in range(3)],
        ),
        ({"value": [0.1, 0.02], "decay": {"type": "piecewise", "boundaries": [2]}}, [0.1, 0.1, 0.02]),
        ({"value": 0.1, "decay": {"type": "stepdecay", "step_size": 2, "gamma": 0.5}}, [0.1, 0.1, 0.05]),
    ],
)
def test_old_learning_rate(tmp_path, old, expected):
    import yaml

    path = tmp_path / "run.yml"
    path.write_text(yaml.safe_dump({"iters": 10, "learning_rate": old}))
    schedule = Config(path).lr_scheduler
    for value in expected:
        assert schedule() == pytest.approx(value)
        schedule.step()


@pytest.mark.parametrize(
    ("config", "iters", "message"),
    [
        ({"learning_rate": 1}, 10, "lr_scheduler: has no 'type'; allowed: Constant, CosineAnnealingDecay"),
        ({"type": "PolynomialDecay"}, 10, "lr_scheduler: PolynomialDecay needs learning_rate"),
        ({"type": "PolynomialDecay", "learning_rate": 1}, None, "needs 'decay_steps', or 'iters'"),
        (
            {"type": "PiecewiseDecay", "boundaries": [1], "values": [1], "warmup_iters": 2},
            10,
            "a warm-up needs a number",
        ),
        ({"type": "StepDecay", "learning_rate": 1, "step_size": "x"}, 10, "StepDecay could not be built: TypeError"),
        ({"type": "Constant", "learning_rate": 1, "warmup_iters": 2, "warmup_start_lr": 3}, 10, "must be below"),
    ],
)
def test_refused(config, iters, message):
    with pytest.raises(ConfigError, match=message):
        build_scheduler(config, iters)


@pytest.mark.parametrize("warmup", [0, 5])
@pytest.mark.parametrize(
    "config",
    [
        {"type": "Constant", "learning_rate": 0.1},
        {"type": "PolynomialDecay", "learning_rate": 0.1},
        {"type": "CosineAnnealingDecay", "learning_rate": 0.1},
        {"type": "LinearLR", "learning_rate": 0.1, "start_factor": 0.2},
        {"type": "ExponentialDecay", "learning_rate": 0.1, "gamma": 0.9},
        {"type": "NaturalExpDecay", "learning_rate": 0.1, "gamma": 0.1},
        {"type": "InverseTimeDecay", "learning_rate": 0.1, "gamma": 0.1},
        {"type": "StepDecay", "learning_rate": 0.1, "step_size": 4},
        {"type": "MultiStepDecay", "learning_rate": 0.1, "milestones": [4, 9]},
        {"type": "CosineAnnealingWarmRestarts", "learning_rate": 0.1, "T_0": 6},
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else str(value),
)
def test_a_jump_gives_the_rate_of_single_steps(config, warmup):
    """As a wall-clock budget moves a schedule: to any place, not one by one."""
    if warmup:
        config = {**config, "warmup_iters": warmup}
    one_by_one = rates(config, 20, 20)
    jumping = build_scheduler(config, 20)
    for place in (3, 7, 11, 12, 19):
        jumping.step(place)
        assert jumping() == pytest.approx(one_by_one[place], abs=1e-12)


def test_one_cycle_bears_fractions_up_to_its_end():
    schedule = build_scheduler({"type": "OneCycleLR", "max_learning_rate": 0.1, "end_learning_rate": 1e-4}, 20)
    found = []
    for place in (0.5, 7.25, 19.0, 20.0):
        schedule.step(place)
        found.append(schedule())
    assert 0 < found[2] < found[1] <= 0.1
    assert found[2] == pytest.approx(1e-4)
