"""Optimizers by name, gradient clipping, parameter groups."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.components import parameters
from medicalseg.errors import ConfigError
from medicalseg.optimizers import optimizer_name


class Net(paddle.nn.Layer):
    """Two weights of one element."""

    def __init__(self):
        super().__init__()
        self.body = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(2.0))
        self.head = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(4.0))

    def forward(self):
        return (3 * self.body + 5 * self.head).sum()


def step(name, lr=0.1, **arguments):
    """Weights after one step with the gradients 3 and 5."""
    net = Net()
    optimizer = manager.OPTIMIZERS[name](**arguments)(net, lr)
    net().backward()
    optimizer.step()
    return float(net.body.numpy()[0]), float(net.head.numpy()[0]), optimizer


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("sgd", {}, "Momentum"),
        ("sgd", {"momentum": 0.9}, "Momentum"),
        ("SGD", {}, "SGD"),
        ("SGD", {"momentum": 0.9}, "Momentum"),
        ("adam", {}, "Adam"),
        ("adamw", {}, "AdamW"),
        ("AdamW", {}, "AdamW"),
        ("rmsprop", {}, "RMSProp"),
        ("nothing", {}, "nothing"),
        (None, {}, None),
    ],
)
def test_names(name, arguments, expected):
    assert optimizer_name(name, arguments) == expected


def test_every_optimizer_of_paddle_is_registered():
    assert set(paddle.optimizer.__all__) - set(manager.OPTIMIZERS) == {"Optimizer", "LBFGS"}


def test_arguments_are_those_of_paddle_and_two_more():
    named, takes_any = parameters(manager.OPTIMIZERS["Momentum"])
    assert not takes_any
    assert {"momentum", "use_nesterov", "weight_decay", "grad_clip_cfg", "custom_cfg"} <= set(named)
    assert not {"learning_rate", "parameters", "grad_clip", "name"} & set(named)


@pytest.mark.parametrize("name", ["SGD", "Momentum"])
def test_one_step(name):
    body, head, _ = step(name)
    assert (body, head) == pytest.approx((2 - 0.3, 4 - 0.5))


@pytest.mark.parametrize("decay", [0.5, 1])
def test_weight_decay_is_l2(decay):
    body, head, _ = step("Momentum", weight_decay=decay)
    assert (body, head) == pytest.approx((2 - 0.1 * (3 + decay * 2), 4 - 0.1 * (5 + decay * 4)))


def test_weight_decay_of_adamw_is_decoupled():
    body, head, _ = step("AdamW", weight_decay=0.5)
    assert (body, head) == pytest.approx((2 * (1 - 0.05) - 0.1, 4 * (1 - 0.05) - 0.1), rel=1e-5)


def test_clip_by_global_norm():
    body, head, _ = step("SGD", grad_clip_cfg={"name": "ClipGradByGlobalNorm", "clip_norm": 1.0})
    norm = np.sqrt(34)
    assert (body, head) == pytest.approx((2 - 0.3 / norm, 4 - 0.5 / norm), rel=1e-5)


def test_gradients_within_the_global_norm_are_left_alone():
    clip = {"name": "ClipGradByGlobalNorm", "clip_norm": 6.0}
    assert step("SGD", grad_clip_cfg=clip)[:2] == step("SGD")[:2]
    assert step("SGD", grad_clip_cfg=clip | {"auto_skip_clip": False})[:2] == step("SGD")[:2]


def test_clip_by_value():
    body, head, _ = step("SGD", grad_clip_cfg={"name": "ClipGradByValue", "max": 4})
    assert (body, head) == pytest.approx((2 - 0.3, 4 - 0.4), rel=1e-5)


def test_groups_of_momentum():
    custom = [{"name": "head", "lr_mult": 10, "weight_decay_mult": 0}]
    body, head, _ = step("Momentum", weight_decay=0.5, custom_cfg=custom)
    assert (body, head) == pytest.approx((2 - 0.1 * (3 + 0.5 * 2), 4 - 1.0 * 5), rel=1e-5)


def test_groups_of_adamw():
    custom = [{"name": "head", "lr_mult": 2, "weight_decay_mult": 0}]
    body, head, _ = step("AdamW", weight_decay=0.5, custom_cfg=custom)
    assert (body, head) == pytest.approx((2 * (1 - 0.05) - 0.1, 4 - 0.2), rel=1e-5)


def test_groups_that_take_everything():
    custom = [{"name": "o"}, {"name": "head", "lr_mult": 0}]
    body, head, _ = step("SGD", custom_cfg=custom)
    assert (body, head) == pytest.approx((1.7, 4.0))


def test_frozen_parameters_are_left_out():
    net = Net()
    net.head.stop_gradient = True
    optimizer = manager.OPTIMIZERS["SGD"]()(net, 0.1)
    assert len(optimizer._parameter_list) == 1


def test_a_group_without_members_is_told():
    with pytest.raises(ConfigError, match=r"contains 'heda'.*names begin with: body, head; did you mean 'head'\?"):
        step("SGD", custom_cfg=[{"name": "heda"}])


def test_schedule_drives_the_optimizer():
    schedule = paddle.optimizer.lr.StepDecay(0.1, 1, gamma=0.5)
    _, _, optimizer = step("SGD", lr=schedule)
    schedule.step()
    assert optimizer.get_lr() == pytest.approx(0.05)
