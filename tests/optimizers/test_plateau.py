"""The schedule that looks at a metric, against Paddle's own and PyTorch's."""

from __future__ import annotations

import json
import math

import numpy as np
import paddle
import pytest
from paddle.optimizer import lr

from medicalseg.cvlibs.tree import KeyPathError
from medicalseg.errors import ConfigError
from medicalseg.optimizers import ReduceOnPlateau, build_scheduler

LOSSES = [1.0, 0.9, 0.95, 0.94, 0.93, 0.92, 0.8, 0.85, 0.85, 0.85, 0.7999999, 0.85, 0.85, 0.85, 0.85, 0.85]
STUDY = {"type": "ReduceOnPlateau", "learning_rate": 1e-4, "factor": 0.5, "patience": 2, "min_lr": 3e-5}


def rates(schedule, values=LOSSES):
    found = []
    for value in values:
        schedule.step()
        schedule.observe(value)
        found.append(schedule())
    return found


def test_the_rule_is_paddles():
    theirs, expected = lr.ReduceOnPlateau(1e-4, factor=0.5, patience=2, min_lr=3e-5), []
    for value in LOSSES:
        theirs.step(value)
        expected.append(theirs())
    found = rates(build_scheduler(STUDY, None))
    assert found == expected
    assert len(set(found)) == 3
    assert min(found) == 3e-5


def test_the_rule_is_pytorchs():
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, min_lr=3e-5)
    expected = []
    for value in LOSSES:
        theirs.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    assert rates(build_scheduler(STUDY, None)) == pytest.approx(expected, rel=1e-12)


def test_dice_is_better_when_it_is_larger():
    schedule = ReduceOnPlateau(0.1, metric="val_dice", patience=0)
    assert rates(schedule, [0.5, 0.6, 0.7]) == [0.1] * 3
    assert rates(schedule, [0.6]) == pytest.approx([0.01])


def test_warmup_looks_at_nothing():
    schedule = build_scheduler({**STUDY, "warmup_iters": 4, "warmup_start_lr": 2e-5}, 100)
    found = [schedule()]
    for _ in range(5):
        schedule.observe(1.0)
        schedule.step()
        found.append(schedule())
    assert found == pytest.approx([2e-5, 4e-5, 6e-5, 8e-5, 1e-4, 1e-4])
    for _ in range(4):
        schedule.observe(1.0)
    assert schedule() == pytest.approx(5e-5)


def test_values_that_are_none_are_passed_over():
    schedule = ReduceOnPlateau(0.1, metric="val_loss", patience=0)
    for value in (1.0, None, math.nan, math.inf):
        schedule.observe(value)
    assert schedule() == 0.1


@pytest.mark.parametrize("cut", range(0, len(LOSSES), 3))
def test_state_survives_json_and_an_optimizer(cut):
    whole, first, second, third = (build_scheduler({**STUDY, "warmup_iters": 1}, 9) for _ in range(4))
    expected = rates(whole)
    rates(first, LOSSES[:cut])
    second.set_state_dict(json.loads(json.dumps(first.state_dict())))
    assert rates(second, LOSSES[cut:]) == expected[cut:]
    rates(third, LOSSES[:cut])
    weight = paddle.create_parameter([1], "float32")
    state = paddle.optimizer.Adam(third, parameters=[weight]).state_dict()
    fourth = build_scheduler({**STUDY, "warmup_iters": 1}, 9)
    paddle.optimizer.Adam(fourth, parameters=[weight]).set_state_dict(state)
    assert rates(fourth, LOSSES[cut:]) == expected[cut:]


def test_state_of_paddles_own_class():
    theirs, ours = lr.ReduceOnPlateau(0.1, patience=0), ReduceOnPlateau(0.1, patience=0)
    for value in (1.0, 1.0, 0.5):
        theirs.step(value)
    ours.set_state_dict(theirs.state_dict())
    assert ours() == pytest.approx(0.01)
    ours.observe(0.6)
    assert ours() == pytest.approx(0.001)


def test_an_optimizer_steps_at_the_reduced_rate():
    weight = paddle.create_parameter([1], "float32", default_initializer=paddle.nn.initializer.Constant(0.0))
    schedule = ReduceOnPlateau(0.5, patience=0, factor=0.5)
    optimizer = paddle.optimizer.SGD(schedule, parameters=[weight])
    places = []
    for value in (1.0, 1.0, 1.0):
        schedule.observe(value)
        weight.sum().backward()
        optimizer.step()
        optimizer.clear_grad()
        schedule.step()
        places.append(weight.item())
    np.testing.assert_allclose(places, [-0.5, -0.75, -0.875])


@pytest.mark.parametrize(
    "wrong",
    [{"metric": "loss"}, {"factor": 1.5}, {"patience": True}, {"cooldown": -1}, {"mode": "low"}, {"min_lr": "0"}],
)
def test_wrong_arguments(wrong):
    with pytest.raises(ConfigError):
        ReduceOnPlateau(0.1, **wrong)
    with pytest.raises(KeyPathError, match="ReduceOnPlateau"):
        build_scheduler({**STUDY, **wrong}, 10)
