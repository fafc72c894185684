"""A network of somebody's own, as the reference page writes it, is tried as the others are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import paddle
import pytest

from medicalseg.cvlibs import manager
from medicalseg.models import SegmentationModel
from tests.models.base import ModelTests


class OneLayer(SegmentationModel):
    def __init__(self, in_channels: int = 1, num_classes: int = 2) -> None:
        super().__init__(in_channels, num_classes)
        self.head = paddle.nn.Conv3D(in_channels, num_classes, kernel_size=3, padding=1)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(x)


class TestOneLayer(ModelTests):
    name = "OneLayer"
    arguments: ClassVar = {"in_channels": 1, "num_classes": 3}
    shape = (2, 1, 4, 5, 6)

    @pytest.fixture(autouse=True, scope="class")
    def registered(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(manager.MODELS.components_dict, "OneLayer", OneLayer)
            yield
