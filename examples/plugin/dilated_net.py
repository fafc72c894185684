"""A network from outside the package: a few dilated convolutions at full resolution."""

from __future__ import annotations

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.models import SegmentationModel


@manager.MODELS.add_component
class DilatedNet(SegmentationModel):
    """Convolutions 3³ with growing dilation, then 1³ to the classes; takes any input size.

    Args:
        in_channels: C of the input (N, C, X, Y, Z).
        num_classes: classes, background included.
        width: channels of every hidden layer.
        dilations: one layer each.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        width: int = 16,
        dilations: tuple[int, ...] = (1, 2, 4, 2),
    ) -> None:
        super().__init__(in_channels, num_classes)
        layers: list[nn.Layer] = []
        for number, dilation in enumerate(dilations):
            channels = in_channels if number == 0 else width
            layers += [
                nn.Conv3D(channels, width, 3, padding=dilation, dilation=dilation),
                nn.BatchNorm3D(width),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv3D(width, num_classes, 1)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, X, Y, Z)."""
        return self.head(self.body(x))
