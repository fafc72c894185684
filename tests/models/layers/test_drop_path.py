"""Stochastic depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg.errors import ConfigError
from medicalseg.models.layers.drop_path import DropPath, rising_rates


@pytest.mark.parametrize("shape", [(400, 3), (400, 2, 3, 2), (400, 2, 1, 2, 3)])
def test_whole_samples_are_dropped_and_the_others_scaled(shape: tuple[int, ...]) -> None:
    paddle.seed(4)
    layer = DropPath(0.25)
    x = np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)
    given = paddle.to_tensor(x, stop_gradient=False)
    output = layer(given)
    output.sum().backward()
    ratios = (output.numpy() / x).reshape(len(x), -1)
    np.testing.assert_allclose(ratios, np.broadcast_to(ratios[:, :1], ratios.shape), rtol=1e-5)
    np.testing.assert_allclose(np.unique(ratios[:, 0].round(4)), [0, 1.3333])
    assert 0.15 < (ratios[:, 0] == 0).mean() < 0.35
    np.testing.assert_allclose(given.grad.numpy().reshape(len(x), -1), ratios, rtol=1e-5)


def test_nothing_is_dropped_in_evaluation_or_at_rate_0() -> None:
    x = paddle.ones([50, 2])
    evaluated = DropPath(0.5)
    evaluated.eval()
    for layer in (evaluated, DropPath(0.0)):
        np.testing.assert_array_equal(layer(x).numpy(), x.numpy())


@pytest.mark.parametrize("rate", [1, -0.1, "0.1", None, float("nan"), True])
def test_rates_out_of_range(rate: Any) -> None:
    with pytest.raises(ConfigError, match="drop_path_rate: needs a number from 0 to below 1"):
        DropPath(rate)


def test_rates_rise_from_0() -> None:
    assert rising_rates(0.3, 1) == [0.0]
    np.testing.assert_allclose(rising_rates(0.3, 4), [0, 0.1, 0.2, 0.3])
