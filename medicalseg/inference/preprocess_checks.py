"""Whether the fields of a preprocessing are right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from medicalseg.errors import ConfigError
from medicalseg.inference.intensity import nearest


def check_orientation(value: Any) -> str | None:
    """Axis codes in capital letters, or None.

    Raises:
        ConfigError: if they name no three axes.
    """
    if value is None:
        return None
    if isinstance(value, str) and len(value) == 3:
        code = value.upper()
        if {frozenset(pair) for pair in ("RL", "AP", "SI")} == {_axis_of(letter) for letter in code}:
            return code
    raise ConfigError(f"preprocessing.orientation: expected one of R/L, A/P, S/I each, as in 'RAS', got {value!r}")


def _axis_of(letter: str) -> frozenset[str]:
    return next((frozenset(pair) for pair in ("RL", "AP", "SI") if letter in pair), frozenset())


def check_triple(value: Any, kind: type, where: str, open_axes: bool = False) -> Any:
    """Three positive numbers of a kind as a tuple, or None.

    Args:
        value: what the configuration holds.
        kind: int or float.
        where: its key, for the message.
        open_axes: whether some of the three, but not all, may be None.

    Raises:
        ConfigError: if they are something else.
    """
    if value is None:
        return None
    items = list(value) if isinstance(value, (list, tuple)) else []
    given = [item for item in items if item is not None or not open_axes]
    right = len(items) == 3 and bool(given) and all(_is_positive(item, kind) for item in given)
    if not right:
        noun = "integers" if kind is int else "numbers (mm)"
        hint = " (preprocess.size of pictures: [96, 128, 1])" if len(items) == 2 and where.endswith(".size") else ""
        raise ConfigError(f"{where}: expected three positive {noun}, got {value!r}{hint}")
    return tuple(None if item is None else kind(item) for item in items)


def check_channels(value: Any) -> tuple[int, ...] | None:
    """Channel numbers as a tuple, or None.

    Raises:
        ConfigError: if they are something else.
    """
    if value is None:
        return None
    numbers = list(value) if isinstance(value, (list, tuple)) else []
    if not numbers or any(isinstance(item, bool) or not isinstance(item, int) or item < 0 for item in numbers):
        raise ConfigError(f"preprocessing.channels: expected a list of channel numbers from 0 on, got {value!r}")
    return tuple(numbers)


def check_order(value: Any) -> Any:
    """A spline order, or a tuple of three.

    Raises:
        ConfigError: if it is neither.
    """
    orders = list(value) if isinstance(value, (list, tuple)) else [value] * 3
    if len(orders) != 3 or any(isinstance(order, bool) or order not in range(6) for order in orders):
        raise ConfigError(f"preprocessing.image_order: expected 0 to 5, or three of them (one per axis), got {value!r}")
    return int(value) if len(set(orders)) == 1 and not isinstance(value, (list, tuple)) else tuple(orders)


def _is_positive(value: Any, kind: type) -> bool:
    allowed = (int, np.integer) if kind is int else (int, float, np.integer, np.floating)
    return isinstance(value, allowed) and not isinstance(value, bool) and bool(math.isfinite(value) and value > 0)


def check_choice(value: Any, allowed: Sequence[str], where: str) -> None:
    """Raise ConfigError unless `value` is allowed."""
    if value not in allowed:
        raise ConfigError(f"{where}: expected one of {list(allowed)}, got {value!r}{nearest(value, allowed)}")
