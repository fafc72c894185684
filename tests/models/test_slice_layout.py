"""The layouts of slices that PaddleSeg3D's networks for images take."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg.core.export import checked_shape
from medicalseg.core.fit import check_network
from medicalseg.errors import ConfigError, UserError
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.task import TaskSpec
from medicalseg.models.slice_layout import SliceModel
from tests.models.base import image


class Pointwise(SliceModel):
    """The smallest network of its kind."""

    def __init__(self, image_size: Any = (6, 8)) -> None:
        super().__init__(in_channels=3, num_classes=2, image_size=image_size)
        self.conv = paddle.nn.Conv2D(3, 2, 1)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv(x)


@pytest.fixture(scope="module")
def model() -> Pointwise:
    return Pointwise()


def test_all_layouts_give_the_same_numbers(model: Pointwise) -> None:
    slices = image((4, 1, 6, 8))
    expected = model(paddle.to_tensor(np.repeat(slices, 3, axis=1)))[0].numpy()
    assert expected.shape == (4, 2, 6, 8)
    for shape, laid_out in (
        ((4, 1, 6, 8), expected),
        ((4, 1, 1, 6, 8), expected[:, :, None]),
        ((1, 4, 1, 6, 8), expected[:, :, None]),
    ):
        for run in (model, model.inference_forward):
            np.testing.assert_array_equal(run(paddle.to_tensor(slices.reshape(shape)))[0].numpy(), laid_out)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((2, 2, 6, 8), "in_channels 3, got 2 channels"),
        ((1, 6, 8), "got an array of 3 axes"),
        ((2, 3, 1, 6, 8), "one volume"),
        ((1, 4, 2, 6, 8), "one volume"),
        ((1, 1, 8, 6), "images of 6x8 pixels.*got 8x6"),
    ],
)
def test_what_it_cannot_take(model: Pointwise, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        model(paddle.zeros(shape))


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "224", [224], [224, 0]])
def test_wrong_sizes(size: Any) -> None:
    with pytest.raises(ConfigError, match=r"Pointwise\.img_size"):
        Pointwise(size)


def test_one_size_has_no_distance_to_the_next(model: Pointwise) -> None:
    assert model.only_size == model.smallest_input == model.next_input_shape((1, 99)) == (6, 8)
    assert model.size_divisor is None


def test_slices_of_one_channel_and_of_all_fit(model: Pointwise) -> None:
    for channels in (1, 3):
        check_network(model, TaskSpec(num_classes=2, in_channels=channels, slices=SliceSpec()))
    with pytest.raises(ConfigError, match="takes 3 channels, the task gives 2"):
        check_network(model, TaskSpec(num_classes=2, in_channels=2, slices=SliceSpec()))


def test_an_export_has_the_only_size() -> None:
    task = TaskSpec(num_classes=2, slices=SliceSpec())
    paddleseg3d = ([1, -1, 1, 48, 64], [1, 1, 1, 48, 64], [-1, 1, 1, 48, 64])
    for given in (None, [-1, 1, -1, -1], [None, 1, 48, -1], *paddleseg3d):
        assert checked_shape(given, task, (48, 64)) == [None, 1, 48, 64]
    with pytest.raises(UserError, match=r"takes \[48, 64\] only, got \[64, 64\]"):
        checked_shape([1, 1, 64, 64], task, (48, 64))
    with pytest.raises(UserError, match="needs four sizes"):
        checked_shape([2, 2, 1, 48, 64], task, (48, 64))
