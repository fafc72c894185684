"""Networks for volumes of one size: larger and smaller ones go through them in windows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from medicalseg.errors import ConfigError
from medicalseg.inference.task import TaskSpec


def with_windows(task: TaskSpec, model: Any) -> TaskSpec:
    """A task with windows of the one size that a network takes, where volumes can have another.

    Args:
        task: of the network.
        model: the network; of one that tells no `only_size`, or sees slices, the task stays as it is.

    Volumes smaller than the window are padded at their end, as by the crops that such networks are trained on; where
    the task has windows already, as of patches, it keeps their padding.

    Raises:
        ConfigError: the task asks for windows of another size.
    """
    size = _only_size(task, model)
    if size is None:
        return task
    sliding = dict(task.sliding or {})
    if sliding.get("window") is None and _is_brought_to(task, size):
        return task
    check_window(task, model, sliding.get("window"))
    if sliding.get("window") is None:
        sliding.setdefault("padding", "end")
    return replace(task, sliding={**sliding, "window": list(size)})


def check_window(task: TaskSpec, model: Any, window: int | Sequence[int] | None) -> None:
    """Refuse windows that a network for volumes of one size cannot take.

    Raises:
        ConfigError: names the size that it takes.
    """
    size = _only_size(task, model)
    if size is None or window is None:
        return
    asked = [window] * 3 if isinstance(window, int) else list(window)
    if asked != list(size):
        raise ConfigError(
            f"sliding.window: {asked}, but {type(model).__name__} was built for volumes of {list(size)} voxels; leave "
            "the window out, or build the network for that size"
        )


def _only_size(task: TaskSpec, model: Any) -> tuple[int, ...] | None:
    size = getattr(model, "only_size", None)
    return None if task.slices is not None or size is None or len(size) != 3 else tuple(size)


def _is_brought_to(task: TaskSpec, size: tuple[int, ...]) -> bool:
    """Whether preprocessing gives every volume this size."""
    steps = task.preprocessing
    return steps.size == size and steps.fit == "resize" and steps.divisor is None
