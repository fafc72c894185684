"""Which networks can be one ensemble: those of the same classes, and on one grid those that see the same input too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medicalseg.errors import ConfigError
from medicalseg.inference.task import TaskSpec
from medicalseg.utils.logger import logger

ANSWER = ("num_classes", "head", "threshold", "labels")
"""What an average needs to be of one thing."""
ROAD = ("in_channels", "preprocessing", "slices", "sliding", "restoring", "previous_classes")
"""What has to be the same where probabilities are averaged on the network's grid."""


def same_road(tasks: Sequence[TaskSpec]) -> bool:
    """Whether networks see the same input in the same windows, so that one `Ensemble` can stand for them."""
    return all(_difference(tasks[0], task, ROAD) is None for task in tasks[1:])


def check_answers(tasks: Sequence[TaskSpec]) -> None:
    """Refuse networks that cannot be averaged on any grid.

    Raises:
        ConfigError: if there is none, or they give other classes or take other contrasts; names the field of the task.
    """
    if not tasks:
        raise ConfigError("an ensemble needs at least one network")
    _check(tasks, ANSWER, "networks of an ensemble need the same classes")
    telling = [task for task in tasks if task.contrasts]
    for task in telling[1:]:
        if task.contrasts != telling[0].contrasts:
            given, other = (", ".join(each.contrasts) for each in (task, telling[0]))
            raise ConfigError(f"networks of an ensemble see one image, but these take {other} and {given}")


def check_one_grid(tasks: Sequence[TaskSpec], way_out: str) -> None:
    """Refuse networks that cannot be averaged on one grid; tell of postprocessing that will not be done.

    Args:
        tasks: of the networks.
        way_out: what to do instead, for the message.

    Raises:
        ConfigError: names the network and the field of the task.
    """
    check_answers(tasks)
    _check(tasks, ROAD, f"they are averaged on one grid here: {way_out}")
    tell_postprocessing(tasks)


def tell_postprocessing(tasks: Sequence[TaskSpec]) -> None:
    """Warn of networks whose postprocessing will not be done."""
    for number, task in enumerate(tasks[1:], start=2):
        if task.postprocessing != tasks[0].postprocessing:
            logger.warning(
                "Network %d has other postprocessing than the first, whose steps the ensemble takes.", number
            )


def _check(tasks: Sequence[TaskSpec], fields: Sequence[str], why: str) -> None:
    for number, task in enumerate(tasks[1:], start=2):
        name = _difference(tasks[0], task, fields)
        if name is not None:
            first, other = (each.to_dict()[name] for each in (tasks[0], task))
            where, first, other = _part(f"task.{name}", first, other)
            raise ConfigError(f"network {number} differs from the first in {where} ({other!r} and {first!r}); {why}")


def _part(where: str, first: Any, other: Any) -> tuple[str, Any, Any]:
    """Of two dictionaries the first key whose values differ, and these; of other values themselves."""
    if not (isinstance(first, Mapping) and isinstance(other, Mapping)):
        return where, first, other
    key = next(key for key in (*first, *other) if first.get(key) != other.get(key))
    return _part(f"{where}.{key}", first.get(key), other.get(key))


def _difference(first: TaskSpec, other: TaskSpec, fields: Sequence[str]) -> str | None:
    """The first field in which two tasks differ."""
    one, two = first.to_dict(), other.to_dict()
    return next((name for name in fields if one[name] != two[name]), None)
