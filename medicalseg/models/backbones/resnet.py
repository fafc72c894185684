"""The ResNet in front of TransUNet's transformer."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.layers.arguments import count, counts, is_number
from medicalseg.models.layers.trans_unet_resnet import EXPANSION, Root, stage

WIDTH = 64
STAGES = 3


@manager.BACKBONES.add_component
class ResNet(nn.Layer):
    """ResNet of three stages with weight standardisation and group norm (Kolesnikov et al. 2020, "Big Transfer (BiT):
    General Visual Representation Learning"), as the hybrid ViT has it, with the names of PaddleSeg3D's checkpoints.

    Args:
        block_units: bottlenecks in each of the three stages; [3, 4, 9] is R50 of the hybrid ViT.
        width_factor: multiplies all channels; the first layer has 64 of them.
        in_channels: channels of the image.

    Attributes:
        in_channels: channels of the image.
        width: channels of the first layer.
        feat_channels: channels of the maps that `forward` gives at 1/2, 1/4, 1/8 and 1/16 of the image.

    Raises:
        ConfigError: an argument is wrong; the message names it.

    Example:
        >>> ResNet([3, 4, 9], 1).feat_channels
        [64, 256, 512, 1024]
    """

    def __init__(self, block_units: Sequence[int], width_factor: float = 1, in_channels: int = 3) -> None:
        super().__init__()
        _check(block_units, width_factor, in_channels)
        self.in_channels = in_channels
        self.width = width = int(WIDTH * width_factor)
        self.feat_channels = [width, *(width * EXPANSION * 2**number for number in range(STAGES))]
        self.root = Root(in_channels, width)
        self.pool = nn.MaxPool2D(3, stride=2, padding=0)
        stages = zip(block_units, self.feat_channels[:-1], self.feat_channels[1:], (1, 2, 2), strict=True)
        self.body = nn.Sequential(*[(f"block{number}", stage(*one)) for number, one in enumerate(stages, start=1)])

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Maps (N, C_i, H_i, W_i) at 1/2, 1/4, 1/8 and 1/16 of the image (N, in_channels, H, W).

        H and W are multiples of 16. The pooling leaves a row and a column less than H / 4 and W / 4; the map at 1/4
        gets them back as zeros at its end, the layers behind do not see them.
        """
        maps = [self.root(x)]
        first = self.body["block1"](self.pool(maps[0]))
        maps.append(_with_zeros(_with_zeros(first, 2), 3))
        maps.append(self.body["block2"](first))
        return [*maps, self.body["block3"](maps[-1])]


def _with_zeros(x: paddle.Tensor, axis: int) -> paddle.Tensor:
    """One more place with 0 at the end of an axis.

    Not by `paddle.nn.functional.pad`, for which Paddle2ONNX 2 writes a value that it has never set.
    """
    edge = x[:, :, :1] if axis == 2 else x[:, :, :, :1]
    return paddle.concat([x, paddle.zeros_like(edge)], axis=axis)


def _check(block_units: Sequence[int], width_factor: float, in_channels: int) -> None:
    counts("ResNet.block_units", block_units, STAGES)
    if not is_number(width_factor) or width_factor <= 0 or WIDTH * width_factor % 32:
        raise ConfigError(
            f"ResNet.width_factor: needs 0.5, 1, 1.5, 2, ... (groups of 32 channels), got {width_factor!r}"
        )
    count("ResNet.in_channels", in_channels)
