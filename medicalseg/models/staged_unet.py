"""What the U-Nets of stages have in common: decoder, heads at several sizes, forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from medicalseg.models.base import SegmentationModel
from medicalseg.models.layers.unet_blocks import conv_blocks, convolution, up_convolution
from medicalseg.models.layers.unet_stages import count_heads, make_stages
from medicalseg.ops import functional as fast


class StagedUNet(SegmentationModel):
    """Base of the U-Nets that nnU-Net configures; a subclass makes the encoder.

    In training `forward` returns one head per supervised stage, the finest first, each of its own stage's size. In
    evaluation it returns the main head alone.

    Args:
        in_channels: channels of the image.
        num_classes: channels of the output.
        features: channels of each stage.
        kernel_size: see `make_stages`.
        strides: see `make_stages`.
        deep_supervision: see `count_heads`.

    Attributes:
        stages: features, kernels and strides.
        encoder: a layer for each stage, made by the subclass.
    """

    channels_last = True
    encoder: nn.LayerList

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        features: Sequence[int],
        kernel_size: Any,
        strides: Any,
        deep_supervision: bool | int,
    ) -> None:
        name, axes = type(self).__name__, self.spatial_axes
        stages = make_stages(name, axes, features, kernel_size, strides)
        count = count_heads(deep_supervision, len(stages.features), name)
        super().__init__(in_channels, num_classes, stages.size_rule if axes == 3 else None)
        self.stages = stages
        self.heads = tuple(f"outputs.{number}" for number in range(count))

    def _add_decoder(self, convolutions: Sequence[int]) -> None:
        """Up-convolutions, decoder stages from the deepest to the finest, and the heads, the main one first."""
        features, kernels, strides = self.stages
        self.ups, self.decoder = nn.LayerList(), nn.LayerList()
        for level in reversed(range(len(features) - 1)):
            count, width = convolutions[len(self.decoder)], features[level]
            self.ups.append(up_convolution(features[level + 1], width, strides[level + 1]))
            self.decoder.append(conv_blocks(count, 2 * width, width, kernels[level]))
        ones = [1] * self.spatial_axes
        self.outputs = nn.LayerList([convolution(features[k], self.num_classes, ones) for k in range(len(self.heads))])

    def encode(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """What every stage of the encoder gives, the finest first."""
        raise NotImplementedError

    def _encoded(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        skips = []
        for stage in self.encoder[:-1]:
            x, skip = fast.fork(stage(x))
            skips.append(skip)
        skips.append(self.encoder[-1](x))
        return skips

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, ...) of the finest head, in the size of `x`."""
        return self._decode(self.encode(x), 1)[0]

    def all_logits(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """In training the logits of every head, each of its stage's size; else of the main one."""
        return self._decode(self.encode(x), len(self.heads) if self.training else 1)

    def _decode(self, skips: list[paddle.Tensor], heads: int) -> list[paddle.Tensor]:
        x = skips.pop()
        logits = []
        for up, decoder in zip(self.ups, self.decoder):  # noqa: B905 (LayerList; traced code knows no strict)
            skip = skips.pop()
            x = decoder(fast.concat([cropped(up(x), skip), skip]))
            if 0 < len(skips) < heads:
                x, seen = fast.fork(x)
                logits.append(self.outputs[len(skips)](seen))
        logits.append(self.outputs[0](x))
        return logits[::-1]


def cropped(x: paddle.Tensor, like: paddle.Tensor) -> paddle.Tensor:
    """An image (N, C, h, w) without the rows and columns that `like` has not; a stride rounds odd sizes up."""
    if x.ndim == 5:
        return x
    if paddle.in_dynamic_mode():
        size = like.shape[2:]
        return x if x.shape[2:] == size else fast.plain(x)[:, :, : size[0], : size[1]]
    size = paddle.shape(like)
    return x[:, :, : size[2], : size[3]]
