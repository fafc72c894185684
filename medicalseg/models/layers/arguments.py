"""Checks of what a configuration gives to a network: each returns the value, or says what is wrong with it."""

from __future__ import annotations

import math
from typing import Any

from medicalseg.errors import ConfigError


def is_count(value: Any, least: int = 1) -> bool:
    """Whether `value` is an integer of at least `least`, and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number, and no boolean."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def count(name: str, value: Any, least: int = 1) -> int:
    """An integer of at least `least`.

    Args:
        name: the argument's, with its network, for the message.
        value: what the configuration holds.
        least: smallest that is allowed.

    Raises:
        ConfigError: it is something else.

    Example:
        >>> count("UNet3D.depth", 4)
        4
    """
    if not is_count(value, least):
        wanted = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise ConfigError(f"{name}: needs {wanted}, got {value!r}")
    return int(value)


def counts(name: str, values: Any, length: int | None = None) -> tuple[int, ...]:
    """Positive integers, one per stage.

    Args:
        name: the argument's, with its network, for the message.
        values: what the configuration holds.
        length: how many are needed; None: any number but none.

    Raises:
        ConfigError: they are something else.
    """
    if not _is_list(values, length) or not all(map(is_count, values)):
        raise ConfigError(f"{name}: needs a list of {_number(length)}positive integers, one per stage, got {values!r}")
    return tuple(values)


def positive(name: str, value: Any) -> float:
    """A finite number above 0.

    Raises:
        ConfigError: it is something else.
    """
    if not is_number(value) or value <= 0:
        raise ConfigError(f"{name}: needs a finite positive number, got {value!r}")
    return float(value)


def positives(name: str, values: Any, length: int | None = None) -> tuple[float, ...]:
    """Finite numbers above 0, one per stage.

    Raises:
        ConfigError: they are something else.
    """
    if not _is_list(values, length) or not all(is_number(value) and value > 0 for value in values):
        raise ConfigError(f"{name}: needs a list of {_number(length)}positive numbers, one per stage, got {values!r}")
    return tuple(map(float, values))


def rate(name: str, value: Any) -> float:
    """A probability of dropping something: from 0 to below 1.

    Raises:
        ConfigError: it is something else.
    """
    if not is_number(value) or not 0 <= value < 1:
        raise ConfigError(f"{name}: needs a number from 0 to below 1, got {value!r}")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """True or false; a text such as "false" is neither.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name}: needs true or false, got {value!r}")
    return value


def _is_list(values: Any, length: int | None) -> bool:
    return isinstance(values, (list, tuple)) and (len(values) > 0 if length is None else len(values) == length)


def _number(length: int | None) -> str:
    return "" if length is None else f"{length} "
