"""nnU-Net's U-Net with a residual encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from medicalseg.cvlibs import manager
from medicalseg.models.base_2d import SegmentationModel2D
from medicalseg.models.layers.unet_blocks import ConvBlock, residual_blocks
from medicalseg.models.layers.unet_stages import per_stage
from medicalseg.models.presets import residual_blocks_of, stage_features
from medicalseg.models.staged_unet import StagedUNet


@manager.MODELS.add_component
class ResidualEncoderUNet(StagedUNet):
    """U-Net with a residual encoder for volumes (Isensee et al. 2024, "nnU-Net Revisited", arXiv 2404.09556).

    A convolution, then stages of residual blocks (ResNet-D); the decoder is that of `PlainConvUNet` with one
    convolution per stage. Topology and number of parameters are those of nnU-Net's `ResidualEncoderUNet` with biases,
    as its plans have it. What nnU-Net calls ResEnc M, L and XL is this network, see `medicalseg.models.presets`.

    Args:
        in_channels: channels of the image, any number.
        num_classes: channels of the output.
        features: channels of each stage, the finest first.
        kernel_size: convolution kernel: one odd integer, or one entry per stage, an integer or three of them; null
            is 3.
        strides: one entry per stage, an integer or three of them, the first of them 1; null is 1, 2, 2, ...
        blocks: residual blocks of each stage, an integer or a list; null is 1, 3, 4, 6, 6, ...
        decoder_convolutions: of each stage of the decoder, the deepest first; null is 1.
        deep_supervision: true: a head at every stage but the deepest; an integer: so many heads; false: one. In
            training a head's logits have the size of its stage.
        pretrained: file or address of weights to start from.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        features: Sequence[int] = stage_features(6),
        kernel_size: int | Sequence[Any] | None = None,
        strides: Sequence[Any] | None = None,
        blocks: int | Sequence[int] | None = None,
        decoder_convolutions: int | Sequence[int] | None = None,
        deep_supervision: bool | int = True,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(in_channels, num_classes, features, kernel_size, strides, deep_supervision)
        name, widths = type(self).__name__, self.stages.features
        count = len(widths)
        counts = per_stage(blocks, residual_blocks_of(count), f"{name}.blocks")
        decoder_counts = per_stage(decoder_convolutions, [1] * (count - 1), f"{name}.decoder_convolutions")
        self.stem = ConvBlock(in_channels, widths[0], self.stages.kernels[0])
        self.encoder = nn.LayerList()
        for level, (width, kernel, stride) in enumerate(zip(*self.stages, strict=True)):
            self.encoder.append(residual_blocks(counts[level], widths[max(0, level - 1)], width, kernel, stride))
        self._add_decoder(decoder_counts)
        self._load_pretrained(pretrained)

    def encode(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """See `StagedUNet`."""
        return self._encoded(self.stem(x))


@manager.MODELS.add_component
class ResidualEncoderUNet2D(ResidualEncoderUNet, SegmentationModel2D):
    """`ResidualEncoderUNet` for images (N, C, H, W) of any size.

    Sizes that the strides do not divide are rounded up on the way down and cropped on the way up.

    Args:
        in_channels: channels of the image.
        num_classes: channels of the output.
        features: as `ResidualEncoderUNet`.
        kernel_size: as `ResidualEncoderUNet`, two numbers where that has three.
        strides: as `ResidualEncoderUNet`, two numbers where that has three.
        blocks: as `ResidualEncoderUNet`.
        decoder_convolutions: as `ResidualEncoderUNet`.
        deep_supervision: as `ResidualEncoderUNet`.
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
        blocks: int | Sequence[int] | None = None,
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
            blocks,
            decoder_convolutions,
            deep_supervision,
            pretrained,
        )
