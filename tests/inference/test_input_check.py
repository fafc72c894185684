"""Pictures for networks of volumes, volumes for networks of pictures, other channels."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from medicalseg.errors import VolumeError
from medicalseg.inference import Preprocessing, SliceSpec, TaskSpec
from medicalseg.inference.input_check import check_input
from medicalseg.io import Volume
from medicalseg.utils.logger import logger

OF_PICTURES = TaskSpec(2, slices=SliceSpec())


def image(name, slices=1, channels=1):
    shape = (4, 5, slices)
    return Volume(np.zeros((channels, *shape) if channels > 1 else shape, np.uint8), np.eye(4), path=name)


def warnings_of(volume, task):
    lines = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    try:
        check_input(volume, task)
    finally:
        logger.removeHandler(handler)
    return lines


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.tif", "a.bmp"])
def test_a_picture_for_a_model_of_volumes(name):
    task = TaskSpec(2, preprocessing=Preprocessing(orientation="PIL"), slices=SliceSpec())
    with pytest.raises(VolumeError, match=rf"{name}: a picture has no directions and one slice.*orientation PIL"):
        check_input(image(name), task)
    with pytest.raises(VolumeError, match=r"trained on volumes \(a network for volumes\): give it volumes"):
        check_input(image(name), TaskSpec(2))


def test_a_stack_of_pages_is_a_volume_without_directions():
    check_input(image("a.tif", slices=3), TaskSpec(2))
    with pytest.raises(VolumeError, match="has no directions; this model"):
        check_input(image("a.tif", slices=3), TaskSpec(2, preprocessing=Preprocessing(orientation="RAS")))


def test_what_belongs_together_passes_in_silence():
    oriented = TaskSpec(2, preprocessing=Preprocessing(orientation="RAS"), slices=SliceSpec())
    for volume, task in (
        (image("a.png"), OF_PICTURES),
        (image("a.nii.gz"), OF_PICTURES),
        (image("a.npy", 3), OF_PICTURES),
        (image(None, 3), OF_PICTURES),
        (image("a.nii.gz", 3), TaskSpec(2)),
        (image("a.nii.gz", 3), oriented),
        (image("a.nii.gz", 3), TaskSpec(2, slices=SliceSpec(num_slices=3))),
    ):
        assert warnings_of(volume, task) == []


def test_a_volume_for_a_model_of_pictures():
    (line,) = warnings_of(image("a.nii.gz", 3), OF_PICTURES)
    assert "a.nii.gz: has 3 slices" in line


def test_channels_say_what_to_do():
    with pytest.raises(VolumeError, match=r"a.png has 3 channels, the network takes 1: convert it to grey.*grey: True"):
        check_input(image("a.png", channels=3), OF_PICTURES)
    colour = TaskSpec(2, in_channels=3, slices=SliceSpec())
    with pytest.raises(VolumeError, match=r"a.png has 1 channel, the network takes 3: convert it to RGB"):
        check_input(image("a.png"), colour)
    with pytest.raises(VolumeError, match=r"a.nii has 4 channels, the network takes 2$"):
        check_input(image("a.nii", channels=4), TaskSpec(2, in_channels=2))
