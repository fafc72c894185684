"""Stored label values as a configuration writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from medicalseg.errors import ConfigError


def values_by_name(content: Any, key: str) -> dict[str, tuple[int, ...]]:
    """Stored values of each class, from {name: value or values} in that order, or {value: name} in the values' order.

    Args:
        content: what a configuration says.
        key: for messages.

    Raises:
        ConfigError: if it is something else, or a name occurs twice.
    """
    if not isinstance(content, Mapping) or not content:
        raise ConfigError(f"{key}: expected stored values by name, as {{background: 0, L5: 20}}, got {content!r}")
    if all(isinstance(value, str) and not is_whole(value) for value in content.values()):
        pairs = sorted(
            ((str(name), as_values(value, key)) for value, name in content.items()), key=lambda pair: pair[1]
        )
        if len(dict(pairs)) < len(pairs):
            raise ConfigError(f"{key}: a name occurs twice; values of one class are a list: {{name: [1, 2]}}")
        return dict(sorted(pairs, key=lambda pair: pair[1]))
    return {str(name): as_values(value, f"{key}.{name}") for name, value in content.items()}


def as_values(value: Any, where: str) -> tuple[int, ...]:
    """One or several whole numbers.

    Raises:
        ConfigError: if they are none; `where` begins the message.
    """
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, (str, Mapping)) else [value]
    if not all(is_whole(item) for item in items):
        raise ConfigError(f"{where}: expected a whole number or a list of them, got {value!r}")
    return tuple(int(item) for item in items)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, or a text of one."""
    if isinstance(value, str):
        return value.strip().lstrip("-").isdigit()
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_values(values: Sequence[int], where: str, least: int = 1) -> None:
    """Raise ConfigError unless there are `least` values, all different, within 32 bits."""
    if len(values) < least or len(set(values)) < len(values):
        raise ConfigError(f"{where}: expected different stored values, got {list(values)}")
    wrong = [value for value in values if not np.iinfo(np.int32).min < value <= np.iinfo(np.int32).max]
    if wrong:
        raise ConfigError(f"{where}: stored values beyond 32 bits: {wrong}")
