"""Whether an image is of the kind that a network was trained on."""

from __future__ import annotations

from medicalseg.errors import VolumeError
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume, has_directions, is_picture
from medicalseg.utils.logger import logger


def check_input(volume: Volume, task: TaskSpec) -> None:
    """Refuse what the network cannot segment: a picture where it knows volumes, other channels.

    Raises:
        VolumeError: names the file and what to do.
    """
    if volume.path is not None and is_picture(volume.path):
        _check_picture(volume, task)
    elif volume.shape[2] > 1 and _may_know_pictures_only(task):
        _tell_volume(volume)
    _check_channels(volume, task)


def _check_picture(volume: Volume, task: TaskSpec) -> None:
    orientation = task.preprocessing.orientation
    if orientation is not None:
        reason = f"orientation {orientation}"
    elif task.slices is None and volume.shape[2] == 1:
        reason = "a network for volumes"
    else:
        return
    has = "no directions and one slice" if volume.shape[2] == 1 else "no directions"
    raise VolumeError(
        f"{volume.path}: a picture has {has}; this model was trained on volumes ({reason}): give it volumes, "
        "or train a network for images on pictures (ImageDataset)"
    )


def _may_know_pictures_only(task: TaskSpec) -> bool:
    """Tasks of pictures have neither directions nor millimetres, and one slice along the last axis."""
    steps, slices = task.preprocessing, task.slices
    alone = slices is not None and slices.axis == 2 and slices.num_slices == 1
    return alone and steps.orientation is None and steps.spacing is None


def _tell_volume(volume: Volume) -> None:
    if volume.path is None or not has_directions(volume.path):
        return
    logger.warning(
        "%s: has %d slices, and the model knows neither orientation nor spacing, as one of pictures: each slice along "
        "the third axis, as stored, is segmented as a picture",
        volume.path,
        volume.shape[2],
    )


def _check_channels(volume: Volume, task: TaskSpec) -> None:
    given, wanted = task.preprocessing.channels_of(volume.channels), task.in_channels
    if given == wanted:
        return
    remedy = ""
    if (given, wanted) == (3, 1):
        remedy = ": convert it to grey, or train with grey: True in the datasets (preprocess.colour: grey)"
    if (given, wanted) == (1, 3):
        remedy = ": convert it to RGB, or train with img_channels: 3 in the datasets (preprocess.colour: rgb)"
    noun = "channel" if volume.channels == 1 else "channels"
    where = volume.path or "the volume"
    raise VolumeError(f"{where} has {volume.channels} {noun}, the network takes {wanted}{remedy}")
