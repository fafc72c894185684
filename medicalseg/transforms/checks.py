"""Checks of constructor arguments: one clear error instead of a crash in a data worker."""

from __future__ import annotations

import math
import numbers
from typing import Any, NoReturn

from medicalseg.errors import ConfigError

PLANES = ((0, 1), (0, 2), (1, 2))

Interval = tuple[float, float]


class Arguments:
    """Checks the constructor arguments of one transform.

    Args:
        owner: the transform, or its name, for messages.

    Raises:
        ConfigError: by every method, naming the transform, the argument, what is allowed and what was given.

    Example:
        >>> Arguments("RandomFlip3D").probability("prob", 0.5)
        0.5
    """

    def __init__(self, owner: object) -> None:
        self.owner = owner if isinstance(owner, str) else type(owner).__name__

    def refuse(self, name: str, allowed: str, value: Any) -> NoReturn:
        """Raise the error for argument `name`."""
        raise ConfigError(f"{self.owner}: {name} must be {allowed}, got {value!r}")

    def flag(self, name: str, value: Any) -> bool:
        """True or False."""
        if not isinstance(value, bool):
            self.refuse(name, "true or false", value)
        return value

    def number(self, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number within [low, high]."""
        if not _is_number(value) or not low <= value <= high:
            self.refuse(name, "a number" + _bounds(low, high), value)
        return float(value)

    def probability(self, name: str, value: Any) -> float:
        """A number within [0, 1]."""
        return self.number(name, value, 0, 1)

    def whole(self, name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
        """A whole number within [low, high]."""
        above = low is None or (_is_whole(value) and value >= low)
        below = high is None or (_is_whole(value) and value <= high)
        if not (_is_whole(value) and above and below):
            bounds = _bounds(-math.inf if low is None else low, math.inf if high is None else high)
            self.refuse(name, "a whole number" + bounds, value)
        return int(value)

    def interval(self, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> Interval:
        """Two finite numbers [a, b] with low <= a <= b <= high."""
        items = _items(value, 2)
        if items is None or not all(_is_number(item) for item in items):
            self.refuse(name, "two numbers [low, high]" + _bounds(low, high), value)
        if not low <= items[0] <= items[1] <= high:
            self.refuse(name, "two numbers [low, high], the smaller first," + _bounds(low, high), value)
        return float(items[0]), float(items[1])

    def spread(self, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> Interval:
        """A number d >= 0, which stands for (-d, d), or an interval."""
        if _is_number(value):
            if value < 0:
                self.refuse(name, "a number >= 0 (it stands for -d ... d) or two numbers [low, high]", value)
            value = (-value, value)
        return self.interval(name, value, low, high)

    def size(self, name: str, value: Any) -> tuple[int, int, int]:
        """A whole number >= 1, which stands for three equal ones, or three of them."""
        items = [value] * 3 if _is_whole(value) else _items(value, 3)
        if items is None or not all(_is_whole(item) and item >= 1 for item in items):
            self.refuse(name, "a whole number >= 1 or three of them [x, y, z]", value)
        return int(items[0]), int(items[1]), int(items[2])

    def grid(self, name: str, value: Any) -> int | tuple[int, int, int]:
        """As `size`, but one number stays one."""
        sides = self.size(name, value)
        return sides if isinstance(value, (list, tuple)) else sides[0]

    def axes(self, name: str, value: Any, first: int = 0) -> tuple[int, ...]:
        """One axis or a list of different axes; returned counted from 0, where `first` is the number of X."""
        items = [value] if _is_whole(value) else value
        allowed = (first, first + 1, first + 2)
        right = isinstance(items, (list, tuple)) and items and all(_is_whole(i) and i in allowed for i in items)
        if not right or len(set(items)) != len(items):
            self.refuse(name, f"one or several different axes of {list(allowed)}{_channel_note(first)}", value)
        return tuple(int(item) - first for item in items)

    def planes(self, name: str, value: Any, first: int = 0) -> tuple[tuple[int, int], ...]:
        """A non-empty list of pairs of different axes; returned sorted and counted from 0."""
        allowed = [[a + first, b + first] for a, b in PLANES]
        message = f"a list of planes, each one of {allowed}{_channel_note(first)}"
        if not isinstance(value, (list, tuple)) or not value:
            self.refuse(name, message, value)
        planes = []
        for plane in value:
            pair = _items(plane, 2)
            if pair is None or not all(_is_whole(axis) for axis in pair) or sorted(pair) not in allowed:
                self.refuse(name, message, value)
            planes.append((min(pair) - first, max(pair) - first))
        return tuple(planes)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _items(value: Any, count: int) -> list[Any] | None:
    if not isinstance(value, (list, tuple)) or len(value) != count:
        return None
    return list(value)


def _bounds(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return ""
    if math.isinf(high):
        return f" >= {low:g}"
    if math.isinf(low):
        return f" <= {high:g}"
    return f" from {low:g} to {high:g}"


def _channel_note(first: int) -> str:
    return " (axis 0 is the channel axis)" if first else ""
