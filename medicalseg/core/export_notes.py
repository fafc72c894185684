"""What `export.transforms` and `export.inference_helper` ask for and prediction does not do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medicalseg.inference.inference_helper import helper_note
from medicalseg.inference.task import TaskSpec

RECORDED = "`preprocess` of the dataset (of a prepared folder: `preprocessing` in its dataset.json)"


def notes(
    transforms: Sequence[Mapping[str, Any]] | None, inference_helper: Mapping[str, Any] | None, task: TaskSpec
) -> list[str]:
    """A sentence for each thing asked for that the task does not do, with what to write instead.

    Args:
        transforms: `export.transforms` of a configuration.
        inference_helper: its `export.inference_helper`, which `check_helper` has passed.
        task: of the network that is exported.
    """
    found = [
        f"export.transforms[{number}]: {said}"
        for number, item in enumerate(transforms or ())
        if (said := _transform_note(item, task))
    ]
    helper = helper_note(inference_helper, task)
    return [*found, f"export.inference_helper: {helper}"] if helper else found


def _transform_note(item: Mapping[str, Any], task: TaskSpec) -> str:
    kind = item.get("type")
    if kind is None:
        return ""
    if kind != "Resize3D":
        return (
            f"{kind} is not done by infer and predict, which do what the task says; a step on grey values or the grid "
            f"belongs into {RECORDED}, and the network must be trained with it"
        )
    wanted, known = item.get("size"), task.preprocessing.size
    if _is_resized(wanted, task):
        return ""
    where = "the datasets' transforms (Abdomen), or as size into " if task.slices else "size of "
    return (
        f"Resize3D to {wanted} is not done by infer and predict, which by the task "
        f"{'keep the size as stored' if known is None else f'bring images to {list(known)}'}; write it into "
        f"{where}{RECORDED}, and train with it"
    )


def _is_resized(wanted: Any, task: TaskSpec) -> bool:
    """Whether the preprocessing brings images to that size; of slices, either axis of the plane first."""
    known = task.preprocessing.size
    if known is None or task.preprocessing.fit != "resize":
        return False
    axes = (0, 1, 2) if task.slices is None else task.slices.plane
    sizes = [known[axis] for axis in axes]
    if None in sizes:
        return False
    if isinstance(wanted, int):
        return min(size for size in sizes if size is not None) == wanted
    given = list(wanted or ())
    if task.slices is None:
        return given == sizes
    return len(given) == 3 and sorted(map(str, given)) == sorted(map(str, [1, *sizes]))
