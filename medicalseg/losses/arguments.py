"""Checks of what a configuration gives to a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medicalseg.errors import ConfigError


def is_number(value: Any) -> bool:
    """Whether `value` is an int or a float, and no boolean."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_number(value: Any, name: str, low: float = 0.0) -> float:
    """`value` as a float.

    Raises:
        ConfigError: it is no number or below `low`.
    """
    if not is_number(value) or not value >= low:
        raise ConfigError(f"{name}: needs a number of at least {low:g}, got {value!r}")
    return float(value)


def check_class_weights(value: Any, name: str, words: Sequence[str] = ()) -> list[float] | str | None:
    """Class weights: None, a list of numbers that are not negative, or one of `words`.

    Raises:
        ConfigError: it is something else.
    """
    if value is None or (isinstance(value, str) and value in words):
        return value
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)) and value and all(is_number(w) and w >= 0 for w in value) and any(value):
        return [float(weight) for weight in value]
    choices = "".join(f", '{word}'" for word in words)
    raise ConfigError(f"{name}: needs null, a list with one weight (not negative) per class{choices}, got {value!r}")


def check_length(values: Sequence[float], num_classes: int, name: str) -> None:
    """Refuse a list that has not one entry per class.

    Raises:
        ConfigError: the lengths differ.
    """
    if len(values) != num_classes:
        raise ConfigError(f"{name}: has {len(values)} entries, but the network has {num_classes} classes")
