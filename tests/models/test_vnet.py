"""VNet."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from medicalseg.models import VNet
from tests.models.base import ModelTests
from tests.models.configs import check_keys
from tests.models.golden import check_golden

SPINE = {
    "kernel_size": [[2, 2, 4], [2, 2, 2], [2, 2, 2], [2, 2, 2]],
    "stride_size": [[2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2]],
}


class TestVNet(ModelTests):
    name = "VNet"
    config = "mri_spine_seg/vnet_mri_spine_seg_512_512_12_15k.yml"
    published = "vnet_mri_spine_seg"
    random = True
    other_channels = (4,)
    arguments: ClassVar = {"in_channels": 2, "num_classes": 3, **SPINE}
    shape = (1, 2, 16, 16, 8)
    misfits = (((15, 16, 8), (16, 16, 8)), ((16, 17, 9), (16, 32, 12)), ((1, 1, 1), (16, 16, 8)))
    wrong_arguments = (
        ({"in_channels": 3}, "3 does not divide 16.*1, 2, 4, 8 or 16"),
        ({"elu": "false"}, "VNet.elu: needs true or false"),
        ({"kernel_size": [[2, 2, 2]] * 3}, "VNet.kernel_size: needs a list of 4"),
        ({"stride_size": [[2, 2, 2]] * 3 + [[2, 2]]}, r"VNet.stride_size: \[2, 2\]"),
        ({"stride_size": [[2, 2, 0]] * 4}, "VNet.stride_size"),
    )

    def test_spine_sizes(self, model: VNet) -> None:
        assert model.next_input_shape((512, 512, 12)) == (512, 512, 12)
        assert (model.size_divisor, model.smallest_input) == ((16, 16, 4), (16, 16, 8))


@pytest.fixture(scope="module")
def lung() -> VNet:
    return VNet(num_classes=3)


def test_default_sizes(lung: VNet) -> None:
    assert lung.next_input_shape((512, 500, 12)) == (512, 512, 16)
    assert lung.size_divisor == lung.smallest_input == (16, 16, 16)


def test_keys_of_lung_coronavirus(lung: VNet, shared_compat: Path) -> None:
    check_keys(lung, shared_compat, "vnet_lung_coronavirus")


@pytest.mark.parametrize("name", ["vnet_mri", "vnet_default", "vnet_elu"])
def test_numbers_of_paddleseg3d(shared_compat: Path, name: str) -> None:
    check_golden(shared_compat / "golden" / f"{name}.json")
