"""Structures with a side, which mirroring would turn into the other side's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from medicalseg.inference.task import TaskSpec
from medicalseg.utils.logger import logger

_ENGLISH = ("left", "right", "lh", "rh", "lt", "rt")
_GERMAN = ("links", "rechts", "linke", "rechte", "linker", "rechter", "linkes", "rechtes")
_LATIN = ("sinister", "sinistra", "sinistro", "dexter", "dextra", "destra", "destro")
_ROMANCE = ("gauche", "droit", "droite", "izquierdo", "izquierda", "derecho", "derecha")
_WORDS = frozenset({*_ENGLISH, *_GERMAN, *_LATIN, *_ROMANCE})
_LETTERS = frozenset("lr")
_HAN = ("左", "右")
_FEWEST = 3


def sided_names(names: Iterable[str]) -> list[str]:
    """The names that tell a side: left or right in several languages, or L and R set apart ("kidney_l", "R-femur").

    A single L or R counts only where the same name with the other letter is among them, since L5 and "lesion r" do not
    mean a side.

    Example:
        >>> sided_names(["liver", "kidney_left", "femur L", "femur R", "L5", "nodule l"])
        ['kidney_left', 'femur L', 'femur R']
    """
    listed = list(names)
    parts = {name: words_of(name) for name in listed}
    known = {tuple(words) for words in parts.values()}
    return [name for name in listed if _has_side(name, parts[name], known)]


def warn_of_mirrored_sides(task: TaskSpec, transforms: Sequence[Any]) -> None:
    """Log a warning if a transform mirrors left and right, and names of classes have sides."""
    names = sided_names(task.names)
    axis = left_right_axis(task.preprocessing.orientation)
    for transform in transforms if names else ():
        if axis in mirrored_axes(transform):
            logger.warning(
                "%s mirrors axis %d, left and right of orientation %s, but labels have sides: %s%s; leave it out.",
                *(type(transform).__name__, axis, task.preprocessing.orientation or "as stored"),
                *(", ".join(names[:_FEWEST]), ", …" if len(names) > _FEWEST else ""),
            )


def words_of(name: str) -> list[str]:
    """Words of a name, small; "LeftKidney" has two."""
    apart = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^0-9a-zà-ÿ]+", apart.lower()) if word]


def left_right_axis(orientation: str | None) -> int:
    """Which axis of "RAS" and the like runs from left to right; the first where images are kept as stored."""
    if orientation is None:
        return 0
    return next(axis for axis, letter in enumerate(orientation.upper()) if letter in "LR")


def mirrored_axes(transform: Any) -> set[int]:
    """Spatial axes, X = 0, that a transform may mirror."""
    for key in ("mirror_axes", "axes", "flip_axis"):
        axes = getattr(transform, key, None)
        if axes is not None and (key != "axes" or type(transform).__name__.startswith("Mirror")):
            return {axes} if isinstance(axes, int) else set(axes)
    return set()


def _has_side(name: str, words: list[str], known: set[tuple[str, ...]]) -> bool:
    if any(word in _WORDS for word in words) or any(sign in name for sign in _HAN):
        return True
    for index, word in enumerate(words):
        if word in _LETTERS and len(words) > 1:
            other = [*words[:index], "r" if word == "l" else "l", *words[index + 1 :]]
            if tuple(other) in known:
                return True
    return False
