"""VNet with deep supervision."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from medicalseg.models import VNetDeepSup
from tests.models.base import ModelTests
from tests.models.golden import check_golden
from tests.models.test_vnet import SPINE


class TestVNetDeepSup(ModelTests):
    name = "VNetDeepSup"
    arguments: ClassVar = {"in_channels": 1, "num_classes": 3, **SPINE}
    shape = (1, 1, 16, 16, 8)
    heads = 4
    config = "mri_spine_seg/vnetdeepsup_mri_spine_seg_512_512_12_15k.yml"
    published = "vnetdeepsup_mri_spine_seg"
    random = True
    other_channels = (2,)
    misfits = (((16, 17, 9), (16, 32, 12)),)
    wrong_arguments = (({"in_channels": 5}, "VNetDeepSup.in_channels: 5 does not divide 16"),)

    def test_unused_parameters(self, model: VNetDeepSup) -> None:
        assert {name.split(".")[0] for name in model.unused_parameters} == {"out_tr_all"}
        assert len(model.unused_parameters) == 9


def test_numbers_of_paddleseg3d(shared_compat: Path) -> None:
    check_golden(shared_compat / "golden" / "vnetdeepsup_mri.json")
