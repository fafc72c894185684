"""Colour and grey as part of the preprocessing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medicalseg.errors import VolumeError
from medicalseg.inference.pipeline import prepare
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.inference.task import TaskSpec
from medicalseg.inference.timings import Timings
from medicalseg.io import Volume

COLOUR = np.random.default_rng(3).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def volume(channels=3):
    array = COLOUR.transpose(2, 1, 0)[:channels, ..., None]
    return Volume(array[0] if channels == 1 else array, np.eye(4))


def test_grey_is_pillows_up_to_rounding():
    image, record = Preprocessing(colour="grey").apply(volume())
    assert image.shape == (1, 5, 6, 1)
    assert record.shape == (5, 6, 1)
    np.testing.assert_allclose(image[0, ..., 0].T, np.asarray(Image.fromarray(COLOUR).convert("L")), atol=0.51)
    np.testing.assert_array_equal(*(Preprocessing(colour=how).apply(volume(1))[0] for how in ("grey", "keep")))


def test_rgb_repeats_a_grey_picture():
    image, _ = Preprocessing(colour="rgb", size=(3, 4, 1)).apply(volume(1))
    assert image.shape == (3, 3, 4, 1)
    np.testing.assert_array_equal(image[0], image[2])
    np.testing.assert_array_equal(*(Preprocessing(colour=how).apply(volume())[0] for how in ("rgb", "keep")))


def test_two_channels_stay():
    for how in ("keep", "grey", "rgb"):
        assert Preprocessing(colour=how).apply(volume(2))[0].shape == (2, 5, 6, 1)
        assert Preprocessing(colour=how).channels_of(2) == 2


def test_the_pipeline_takes_what_the_preprocessing_can_convert():
    task = TaskSpec(2, preprocessing=Preprocessing(colour="grey"))
    assert prepare(volume(), task, Timings())[0].shape[0] == 1
    with pytest.raises(VolumeError, match="3 channel"):
        prepare(volume(), TaskSpec(2), Timings())
