"""Numbers of things in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number and what it is of, in the singular where it is one.

    Example:
        >>> counted(1, "case"), counted(3, "case"), counted(0, "class", "classes")
        ('1 case', '3 cases', '0 classes')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def few(items: Iterable[object], shown: int = 5) -> str:
    """The first of them, for a message.

    Example:
        >>> few(["a", "b", "c"], 2), few([1, 2], 2)
        ('a, b, …', '1, 2')
    """
    names = list(map(str, items))
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")
