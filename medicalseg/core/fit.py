"""Whether a network, its datasets and its task belong together; asked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medicalseg.datasets.image_dataset import ImageDataset
from medicalseg.datasets.splits import LEAKING_NOTE
from medicalseg.errors import ConfigError, UserError
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.task import TaskSpec
from medicalseg.utils.logger import logger

SAME_PREPROCESSING = ("colour", "orientation", "intensity", "spacing", "normalize")


def check_network(model: Any, task: TaskSpec, where: str = "the task", *, pictures: bool = False) -> None:
    """Refuse a network that cannot solve a task.

    Args:
        model: the network; what it does not tell about itself (spatial_axes, in_channels, num_classes) is not asked.
        task: classes, head and slices.
        where: whose task it is, for messages.
        pictures: it is of pictures, not of volumes.

    Raises:
        ConfigError: names what to change.
    """
    name = type(model).__name__
    axes = getattr(model, "spatial_axes", task.spatial_axes)
    if axes == 2 and task.slices is None:
        raise ConfigError(
            f"{name} is a network for images, but {where} gives volumes: "
            "add slices: {axis: 2} to train_dataset and val_dataset"
        )
    if axes == 3 and task.slices is not None:
        given = "gives pictures: choose" if pictures else "has slices: remove slices, or choose"
        raise ConfigError(f"{name} is a network for volumes, but {where} {given} a network for images")
    fits = getattr(model, "fits_channels", None)
    if fits is None or not fits(task.network_channels):
        _check_channels(name, getattr(model, "in_channels", None), task, where, pictures)
    outputs = getattr(model, "num_classes", None)
    if outputs is not None and outputs != task.num_classes:
        unit = "structures (head sigmoid counts no background)" if task.head == "sigmoid" else "classes"
        raise ConfigError(
            f"model.num_classes: {name} has {outputs} outputs, {where} {task.num_classes} {unit}; give both one number"
        )


def check_together(train: Any, val: Any) -> None:
    """Refuse datasets for training and evaluation that show the network something different.

    Raises:
        ConfigError: names the first key that differs.
    """
    tasks = [getattr(dataset, "task", None) for dataset in (train, val)]
    if not all(isinstance(task, TaskSpec) for task in tasks):
        return
    for key in ("head", "threshold", "num_classes", "in_channels", "slices"):
        first, second = (getattr(task, key) for task in tasks)
        if first != second:
            given, other = (value.to_dict() if isinstance(value, SliceSpec) else value for value in (second, first))
            raise ConfigError(f"val_dataset.{key}: {given} differs from train_dataset's, {other}; both need the same")
    _tell_other_preprocessing(*(task.preprocessing.to_dict() for task in tasks if isinstance(task, TaskSpec)))


def _tell_other_preprocessing(train: Mapping[str, Any], val: Mapping[str, Any]) -> None:
    """Grids may differ, as of patches and whole volumes; grey values and voxels hardly ever should."""
    for key in SAME_PREPROCESSING:
        if train[key] != val[key]:
            logger.warning(
                "val_dataset: preprocessing.%s is %s, but train_dataset's is %s: the network is evaluated on other "
                "images than it learns from, and deployed with the training's.",
                *(key, val[key], train[key]),
            )


def leaking_notes(train: Any, val: Any) -> tuple[str, ...]:
    """A note for reports where validation cases are trained on and the dataset does not know it, as of two folds."""
    if any(LEAKING_NOTE in note for note in getattr(val, "notes", ())):
        return ()
    trained, held_out = (
        {path.resolve() for case in getattr(dataset, "cases", ()) for path in getattr(case, "images", ())[:1]}
        for dataset in (train, val)
    )
    both = len(trained & held_out)
    return (f"{LEAKING_NOTE}: {both} of {len(held_out)}",) if both else ()


def check_fit(model: Any, train: Any, val: Any = None) -> None:
    """`check_network` for what a network is trained on, `check_together` for what it is evaluated on.

    Raises:
        ConfigError: names what to change.
    """
    task = getattr(train, "task", None)
    if isinstance(task, TaskSpec):
        check_network(model, task, "train_dataset", pictures=gives_pictures(train))
    if val is not None:
        check_together(train, val)


def check_heads(model: Any, loss: Mapping[str, Any]) -> None:
    """Refuse coefficients of a loss that are not one per head, where the network tells how many it has.

    Raises:
        ConfigError: names both numbers.
    """
    heads, coefficients = len(getattr(model, "heads", ())), len(loss["coef"])
    if coefficients == 1 and getattr(loss["types"][0], "of_all_heads", False):
        return
    if heads and heads != coefficients:
        values = ", ".join(f"{0.5**k:g}" for k in range(heads))
        raise ConfigError(
            f"loss.coef: has {coefficients} values, but {type(model).__name__} has {heads} "
            f"{'head' if heads == 1 else 'heads, the main one first'}; give one for each, such as [{values}]"
        )


def check_patches(model: Any, train: Any, val: Any = None) -> None:
    """Refuse patches of a size that the network cannot take.

    Raises:
        ConfigError: names the next size that fits.
    """
    for key, dataset in (("train_dataset", train), ("val_dataset", val)):
        size = getattr(dataset, "patch_size", None)
        axes = getattr(model, "spatial_axes", 3)
        if size is None or not hasattr(model, "check_input_shape") or len(size) != axes:
            continue
        try:
            model.check_input_shape(size)
        except UserError as error:
            raise ConfigError(f"{key}.patch_size: {error}") from error


def gives_pictures(dataset: Any) -> bool:
    """Whether a dataset is of pictures rather than of volumes."""
    return isinstance(dataset, ImageDataset)


def _check_channels(name: str, channels: int | None, task: TaskSpec, where: str, pictures: bool) -> None:
    if channels is None or channels == task.network_channels:
        return
    why = remedy = ""
    if task.slices is not None and task.slices.num_slices > 1:
        why = f" ({task.slices.num_slices} slices of {task.in_channels})"
    if pictures and (channels, task.in_channels) == (1, 3):
        remedy = ", or grey: True in the datasets"
    if pictures and (channels, task.in_channels) == (3, 1):
        remedy = ", or img_channels: 3 in the datasets"
    raise ConfigError(
        f"model.in_channels: {name} takes {channels} {'channel' if channels == 1 else 'channels'}, {where} gives "
        f"{task.network_channels}{why}; set model.in_channels to {task.network_channels}{remedy}"
    )
