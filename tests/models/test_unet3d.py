"""3D U-Net."""

from __future__ import annotations

from typing import ClassVar

import paddle
import pytest
from paddle import nn

from medicalseg.models import UNet3D
from tests.models.base import ModelTests, image
from tests.models.configs import trainable_elements

PUBLISHED = 19_069_955
PUBLISHED_WITH_NORM = 19_074_627
THIN = [[2, 2, 1], [2, 2, 2]]


class UNet3DTests(ModelTests):
    name = "UNet3D"
    shape = (2, 3, 8, 12, 6)
    misfits = (((8, 13, 5), (8, 16, 6)), ((1, 1, 1), (4, 4, 2)))
    wrong_arguments = (
        ({"norm": "layer"}, "norm: 'layer' is not one of"),
        ({"depth": 1}, "UNet3D.depth"),
        ({"base_channels": 0}, "UNet3D.base_channels"),
        ({"kernel_size": [3, 3, 2]}, "UNet3D.kernel_size: .*even"),
        ({"pool_size": [2]}, "UNet3D.pool_size: needs a list of 2"),
        ({"dropout": 1.0}, "UNet3D.dropout"),
    )


SMALL = {"in_channels": 3, "num_classes": 2, "base_channels": 4, "depth": 3, "pool_size": THIN}


class TestBatchNorm(UNet3DTests):
    arguments: ClassVar = SMALL
    config = "hippocampus/unet3d.yml"


class TestInstanceNorm(UNet3DTests):
    arguments: ClassVar = {**SMALL, "norm": "instance", "dropout": 0.2}
    random = True


class TestGroupNorm(UNet3DTests):
    arguments: ClassVar = {**SMALL, "norm": "group", "kernel_size": [[3, 3, 1], 3, [5, 3, 3]]}


def test_parameter_count_of_the_paper() -> None:
    model = UNet3D(in_channels=3, num_classes=3)
    norms = [layer for layer in model.sublayers() if isinstance(layer, nn.BatchNorm3D)]
    scale_and_shift = sum(int(layer.weight.size + layer.bias.size) for layer in norms)
    assert trainable_elements(model) == PUBLISHED_WITH_NORM
    assert trainable_elements(model) - scale_and_shift == PUBLISHED
    ups = [layer for layer in model.sublayers() if isinstance(layer, nn.Conv3DTranspose)]
    assert len(ups) == 3
    assert all(layer.bias is None for layer in ups)


def test_widths_of_the_paper() -> None:
    model = UNet3D()
    widths = [(block.conv.weight.shape[0]) for encoder in model.encoders for block in encoder]
    assert widths == [32, 64, 64, 128, 128, 256, 256, 512]
    assert model.size_divisor == (8, 8, 8)


def test_thin_volumes() -> None:
    model = UNet3D(base_channels=2, pool_size=[[2, 2, 1], [2, 2, 2], [2, 2, 2]])
    model.check_input_shape((512, 512, 12))
    assert model.next_input_shape((500, 512, 13)) == (504, 512, 16)


def test_dropout_only_in_training() -> None:
    model = UNet3D(base_channels=4, depth=2, dropout=0.5)
    x = paddle.to_tensor(image((1, 1, 4, 4, 4)))
    model.eval()
    assert bool((model(x)[0] == model(x)[0]).all().item())
    model.train()
    assert not bool((model(x)[0] == model(x)[0]).all().item())


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_cases_of_a_batch_are_independent(norm: str) -> None:
    model = UNet3D(base_channels=4, depth=2, norm=norm)
    x = image((2, 1, 4, 4, 4))
    together = model(paddle.to_tensor(x))[0].numpy()
    alone = model(paddle.to_tensor(x[:1]))[0].numpy()
    assert abs(together[:1] - alone).max() < 1e-5
