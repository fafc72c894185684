"""The steps that a task names, one after the other on a label volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medicalseg.cvlibs import components, manager
from medicalseg.errors import ConfigError
from medicalseg.inference.decision import pack, unpack
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume
from medicalseg.postprocessing.base import Postprocessing


def build_postprocessing(steps: Sequence[Mapping[str, Any]], num_ids: int | None = None) -> list[Postprocessing]:
    """The steps that blocks {type, ...} describe.

    Args:
        steps: blocks of a configuration's `postprocessing`.
        num_ids: classes with the background; ids that do not exist are then an error. None = not looked at.

    Raises:
        ConfigError: names the step and the key that is wrong.
    """
    return [_build(block, position, num_ids) for position, block in enumerate(steps)]


def postprocess(volume: Volume, task: TaskSpec) -> Volume:
    """What `task.postprocessing` makes of labels on the grid of the image.

    Args:
        volume: (X, Y, Z) ids, or codes of sigmoids; not changed.
        task: names the steps.

    Returns:
        The same volume if there are no steps, else one of the same grid and type of number.

    Raises:
        ConfigError: if a step is wrong.
    """
    return apply_steps(volume, build_postprocessing(task.postprocessing, task.num_ids), task)


def apply_steps(volume: Volume, steps: Sequence[Postprocessing], task: TaskSpec) -> Volume:
    """As `postprocess`, with steps that are built already."""
    if not steps:
        return volume
    array = volume.array
    if task.overlapping:
        masks = unpack(array, task.num_classes)
        for step in steps:
            masks = step.masks(masks, volume.spacing, volume.axcodes)
        result = pack(masks)
    else:
        result = array
        for step in steps:
            result = step(result, volume.spacing, volume.axcodes)
    return volume.with_array(np.asfortranarray(result.astype(array.dtype, copy=False)), labels=True)


def _build(block: Any, position: int, num_ids: int | None) -> Postprocessing:
    path = ("postprocessing", position)
    kind = components.check(block, path, manager.POSTPROCESSING)
    arguments = {key: value for key, value in block.items() if key != "type"}
    step = components.call(kind, arguments, path, str(block["type"]))
    if num_ids is not None:
        unknown = [label for label in step.classes or () if label >= num_ids]
        if unknown:
            raise ConfigError(f"postprocessing[{position}]: ids {unknown} do not exist; ids are 1 to {num_ids - 1}")
    return step
