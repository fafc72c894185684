"""nnU-Net's U-Net with a residual encoder."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import paddle
import pytest

from medicalseg.models import ResidualEncoderUNet, ResidualEncoderUNet2D
from medicalseg.models.layers.unet_blocks import ResidualBlock
from medicalseg.models.presets import PRESETS, residual_blocks_of, stage_features
from tests.models.base import image
from tests.models.configs import trainable_elements
from tests.models.staged import Images, StagedTests, Volumes, check_numbers_of_nnunet

MORE = (({"blocks": [2, 2]}, "blocks: needs a list of 3"), ({"blocks": "6"}, "blocks"))
FEW = {"blocks": [1, 2, 1]}


class TestVolumes(Volumes, StagedTests):
    name = "ResidualEncoderUNet"
    arguments: ClassVar = {**Volumes.arguments, **FEW}
    wrong_arguments = (*Volumes.wrong_arguments, *MORE)


class TestImages(Images, StagedTests):
    name = "ResidualEncoderUNet2D"
    arguments: ClassVar = {**Images.arguments, **FEW}
    wrong_arguments = (*Images.wrong_arguments, *MORE)


class TestSameWidths(Volumes, StagedTests):
    """Shortcuts that pool without a projection."""

    name = "ResidualEncoderUNet"
    arguments: ClassVar = {**Volumes.arguments, "features": [4, 4, 4], "blocks": 1}


@pytest.mark.parametrize(
    ("network", "arguments", "count"),
    [
        (ResidualEncoderUNet, {}, 102_349_770),
        (ResidualEncoderUNet, {"num_classes": 3}, 102_350_575),
        (ResidualEncoderUNet2D, {}, 105_916_812),
    ],
)
def test_parameter_counts_of_dynamic_network_architectures(network: type, arguments: dict, count: int) -> None:
    """Counted in version 0.4.4 of that package, with which nnU-Net 2.8.1 builds its networks."""
    with paddle.LazyGuard():
        model = network(**arguments)
    assert trainable_elements(model) == count


def test_a_block_starts_as_its_shortcut() -> None:
    block = ResidualBlock(4, 4, (3, 3, 3))
    x = paddle.to_tensor(image((1, 4, 4, 4, 4)))
    expected = np.where(x.numpy() > 0, x.numpy(), 0.01 * x.numpy())
    np.testing.assert_allclose(block(x).numpy(), expected, atol=1e-6)


def test_stages_of_nnunet() -> None:
    assert stage_features(7, axes=2) == (32, 64, 128, 256, 512, 512, 512)
    assert stage_features(3) == (32, 64, 128)
    assert stage_features(4, base=16) == (16, 32, 64, 128)
    assert residual_blocks_of(2) == (1, 3)
    assert residual_blocks_of(7) == (1, 3, 4, 6, 6, 6, 6)
    assert [PRESETS[name].memory_gb for name in ("plain", "ResEncM", "ResEncL", "ResEncXL")] == [8, 8, 24, 40]


@pytest.mark.parametrize("name", ["ResidualEncoderUNet", "ResidualEncoderUNet2D"])
def test_numbers_of_nnunet(name: str) -> None:
    check_numbers_of_nnunet(name)
