"""nnU-Net's plain convolutional U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.models.base_2d import SegmentationModel2D
from medicalseg.models.layers.unet_blocks import conv_blocks
from medicalseg.models.layers.unet_stages import per_stage
from medicalseg.models.presets import stage_features
from medicalseg.models.staged_unet import StagedUNet


@manager.MODELS.add_component
class PlainConvUNet(StagedUNet):
    """Plain convolutional U-Net for volumes (Isensee et al. 2021, "nnU-Net: a self-configuring method ...").

    Each stage has convolutions with instance norm and LeakyReLU; the first one of a stage has the stride. The decoder
    goes up by transposed convolutions whose kernel is the stride. Topology and number of parameters are those of
    nnU-Net's `PlainConvUNet` with biases, as its plans have it.

    Args:
        in_channels: channels of the image, any number.
        num_classes: channels of the output.
        features: channels of each stage, the finest first.
        kernel_size: convolution kernel: one odd integer, or one entry per stage, an integer or three of them; null
            is 3. Thin volumes may start with [3, 3, 1].
        strides: one entry per stage, an integer or three of them, the first of them 1; null is 1, 2, 2, ...
        convolutions: of each stage of the encoder, an integer or a list; null is 2.
        decoder_convolutions: of each stage of the decoder, the deepest first; null is 2.
        deep_supervision: true: a head at every stage but the deepest; an integer: so many heads; false: one. In
            training a head's logits have the size of its stage.
        pretrained: file or address of weights to start from.

    Raises:
        ConfigError: an argument is wrong; the message names it.

    Example:
        >>> net = PlainConvUNet(features=[8, 16, 32], strides=[1, [2, 2, 1], 2])
        >>> [head.shape[2:] for head in net(paddle.zeros([1, 1, 8, 8, 4]))]
        [[8, 8, 4], [4, 4, 4]]
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        features: Sequence[int] = stage_features(6),
        kernel_size: int | Sequence[Any] | None = None,
        strides: Sequence[Any] | None = None,
        convolutions: int | Sequence[int] | None = None,
        decoder_convolutions: int | Sequence[int] | None = None,
        deep_supervision: bool | int = True,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(in_channels, num_classes, features, kernel_size, strides, deep_supervision)
        name, count = type(self).__name__, len(self.stages.features)
        counts = per_stage(convolutions, [2] * count, f"{name}.convolutions")
        decoder_counts = per_stage(decoder_convolutions, [2] * (count - 1), f"{name}.decoder_convolutions")
        self.encoder = nn.LayerList()
        for level, (width, kernel, stride) in enumerate(zip(*self.stages, strict=True)):
            first = self.stages.features[level - 1] if level else in_channels
            self.encoder.append(conv_blocks(counts[level], first, width, kernel, stride))
        self._add_decoder(decoder_counts)
        self._load_pretrained(pretrained)

    def encode(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """See `StagedUNet`."""
        return self._encoded(x)


@manager.MODELS.add_component
class PlainConvUNet2D(PlainConvUNet, SegmentationModel2D):
    """`PlainConvUNet` for images (N, C, H, W) of any size.

    Sizes that the strides do not divide are rounded up on the way down and cropped on the way up.

    Args:
        in_channels: channels of the image.
        num_classes: channels of the output.
        features: as `PlainConvUNet`.
        kernel_size: as `PlainConvUNet`, two numbers where that has three.
        strides: as `PlainConvUNet`, two numbers where that has three.
        convolutions: as `PlainConvUNet`.
        decoder_convolutions: as `PlainConvUNet`.
        deep_supervision: as `PlainConvUNet`.
        pretrained: file or address of weights to start from.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        features: Sequence[int] = stage_features(7, axes=2),
        kernel_size: int | Sequence[Any] | None = None,
        strides: Sequence[Any] | None = None,
        convolutions: int | Sequence[int] | None = None,
        decoder_convolutions: int | Sequence[int] | None = None,
        deep_supervision: bool | int = True,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            num_classes,
            features,
            kernel_size,
            strides,
            convolutions,
            decoder_convolutions,
            deep_supervision,
            pretrained,
        )
