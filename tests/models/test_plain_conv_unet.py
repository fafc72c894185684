"""nnU-Net's plain U-Net."""

from __future__ import annotations

import paddle
import pytest

from medicalseg.models import PlainConvUNet, PlainConvUNet2D
from tests.models.configs import trainable_elements
from tests.models.staged import Images, StagedTests, Volumes, check_numbers_of_nnunet

MORE = (({"convolutions": [2, 2]}, "convolutions: needs a list of 3"), ({"convolutions": -1}, "convolutions"))


class TestVolumes(Volumes, StagedTests):
    name = "PlainConvUNet"
    wrong_arguments = (*Volumes.wrong_arguments, *MORE)


class TestImages(Images, StagedTests):
    name = "PlainConvUNet2D"
    wrong_arguments = (*Images.wrong_arguments, *MORE)


@pytest.mark.parametrize(
    ("network", "arguments", "count"),
    [
        (PlainConvUNet, {}, 31_195_594),
        (PlainConvUNet, {"num_classes": 3}, 31_196_399),
        (PlainConvUNet, {"num_classes": 3, "features": [32, 64, 128, 256]}, 5_603_177),
        (PlainConvUNet2D, {}, 33_471_820),
    ],
)
def test_parameter_counts_of_dynamic_network_architectures(network: type, arguments: dict, count: int) -> None:
    """Counted in version 0.4.4 of that package, with which nnU-Net 2.8.1 builds its networks."""
    with paddle.LazyGuard():
        model = network(**arguments)
    assert trainable_elements(model) == count


def test_plan_of_hippocampus() -> None:
    model = PlainConvUNet(1, 3, [32, 64, 128, 256], 3, [1, 2, 2, 2])
    assert model.next_input_shape((40, 56, 40)) == (40, 56, 40)
    assert model.next_input_shape((36, 50, 35)) == (40, 56, 40)
    assert model.size_divisor == (8, 8, 8)
    assert len(model.heads) == 3


def test_convolutions_per_stage() -> None:
    model = PlainConvUNet(1, 2, [2, 4, 6], convolutions=[1, 2, 3], decoder_convolutions=[2, 1])
    assert [len(stage) for stage in model.encoder] == [1, 2, 3]
    assert [len(stage) for stage in model.decoder] == [2, 1]


@pytest.mark.parametrize("name", ["PlainConvUNet", "PlainConvUNet2D"])
def test_numbers_of_nnunet(name: str) -> None:
    check_numbers_of_nnunet(name)
