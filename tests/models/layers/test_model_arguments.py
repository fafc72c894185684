"""Checks of networks' arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from medicalseg.errors import ConfigError
from medicalseg.models.layers.arguments import count, counts, flag, positive, positives, rate

NO_NUMBERS = ("1", None, True, [1], float("nan"), float("inf"))


@pytest.mark.parametrize(
    ("check", "right", "wrong", "said"),
    [
        (count, (1, 7), (*NO_NUMBERS, 0, -1, 1.0), "a positive integer"),
        (counts, ([1], (2, 3)), (3, "12", [], [1, 0], [1, 2.0], [True], None), "a list of positive integers"),
        (positive, (1, 0.5), (*NO_NUMBERS, 0, -1), "a finite positive number"),
        (positives, ([1], (0.5, 2)), (3, [], [1, 0], ["1"], [True], None), "a list of positive numbers"),
        (rate, (0, 0.999), (*NO_NUMBERS, 1, -0.1, 2.0), "a number from 0 to below 1"),
        (flag, (True, False), ("true", "false", 0, 1, None), "true or false"),
    ],
)
def test_checks(check: Callable[..., Any], right: tuple[Any, ...], wrong: tuple[Any, ...], said: str) -> None:
    for value in right:
        assert check("Net.a", value) == (tuple(value) if isinstance(value, list) else value)
    for value in wrong:
        with pytest.raises(ConfigError, match=rf"^Net\.a: needs {said}.*, got "):
            check("Net.a", value)


def test_limits_that_are_given() -> None:
    assert count("a", 0, least=0) == 0
    with pytest.raises(ConfigError, match="a: needs an integer of at least 2, got 1"):
        count("a", 1, least=2)
    for check in (counts, positives):
        assert check("a", [1, 2], 2) == (1, 2)
        with pytest.raises(ConfigError, match="a: needs a list of 3 positive"):
            check("a", [1, 2], 3)
