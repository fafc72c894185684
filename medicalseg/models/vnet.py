"""VNet: a residual encoder-decoder with 5x5x5 convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.base import SegmentationModel
from medicalseg.models.layers.arguments import flag
from medicalseg.models.layers.sizes import SizeRule, as_triples
from medicalseg.models.layers.vnet_blocks import DownTransition, InputTransition, OutputTransition, UpTransition
from medicalseg.ops import functional as fast

STEM = 16
HALVING = ((2, 2, 2),) * 4


class VNetTrunk(SegmentationModel):
    """Encoder and decoder of VNet without the heads; `features` gives the decoder's four outputs.

    Args:
        elu: ELU instead of PReLU.
        in_channels: channels of the image; must divide 16.
        num_classes: classes, background included.
        kernel_size: kernel (X, Y, Z) of each of the four down-samplings, and of its up-sampling.
        stride_size: their strides.

    Raises:
        ConfigError: a count is not positive, `in_channels` does not divide 16, or the kernels are not four triples.
    """

    channels_last = True

    def __init__(
        self,
        elu: bool,
        in_channels: int,
        num_classes: int,
        kernel_size: Sequence[object],
        stride_size: Sequence[object],
    ) -> None:
        flag(f"{type(self).__name__}.elu", elu)
        k = as_triples(kernel_size, 4, f"{type(self).__name__}.kernel_size")
        s = as_triples(stride_size, 4, f"{type(self).__name__}.stride_size")
        super().__init__(in_channels, num_classes, SizeRule(k, s))
        if STEM % in_channels:
            raise ConfigError(
                f"{type(self).__name__}.in_channels: {in_channels} does not divide {STEM} (the image is repeated to "
                f"{STEM} channels and added); use 1, 2, 4, 8 or 16 channels, or UNet3D, which takes any number"
            )
        self.in_tr = InputTransition(in_channels, STEM, elu)
        self.down_tr32 = DownTransition(16, 1, elu, k[0], s[0])
        self.down_tr64 = DownTransition(32, 2, elu, k[1], s[1])
        self.down_tr128 = DownTransition(64, 3, elu, k[2], s[2], dropout=True)
        self.down_tr256 = DownTransition(128, 2, elu, k[3], s[3], dropout=True)
        self.up_tr256 = UpTransition(256, 256, 2, elu, k[3], s[3], dropout=True)
        self.up_tr128 = UpTransition(256, 128, 2, elu, k[2], s[2], dropout=True)
        self.up_tr64 = UpTransition(128, 64, 1, elu, k[1], s[1])
        self.up_tr32 = UpTransition(64, 32, 1, elu, k[0], s[0])

    def features(self, x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        """Outputs of up_tr32, up_tr64, up_tr128, up_tr256: 32, 64, 128, 256 channels, finest first."""
        level16, skip16 = fast.fork(self.in_tr(x))
        level32, skip32 = fast.fork(self.down_tr32(level16))
        level64, skip64 = fast.fork(self.down_tr64(level32))
        level128, skip128 = fast.fork(self.down_tr128(level64))
        up256, head256 = fast.fork(self.up_tr256(self.down_tr256(level128), skip128))
        up128, head128 = fast.fork(self.up_tr128(up256, skip64))
        up64, head64 = fast.fork(self.up_tr64(up128, skip32))
        return self.up_tr32(up64, skip16), head64, head128, head256


@manager.MODELS.add_component
class VNet(VNetTrunk):
    """VNet (Milletari et al. 2016, "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image
    Segmentation"), with the layer names, shapes and numbers of PaddleSeg3D's checkpoints.

    Args:
        elu: ELU instead of PReLU.
        in_channels: channels of the image; must divide 16.
        num_classes: classes, background included.
        pretrained: file or address of weights to start from.
        kernel_size: kernel (X, Y, Z) of each of the four down-samplings, and of its up-sampling. Thin volumes such as
            512x512x12 use [[2, 2, 4], [2, 2, 2], [2, 2, 2], [2, 2, 2]].
        stride_size: their strides; for 512x512x12 [[2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2]].

    Raises:
        ConfigError: an argument is wrong; the message names it.

    Example:
        >>> VNet(num_classes=20).next_input_shape((500, 512, 12))
        (512, 512, 16)
    """

    heads = ("out_tr.conv2",)

    def __init__(
        self,
        elu: bool = False,
        in_channels: int = 1,
        num_classes: int = 4,
        pretrained: str | None = None,
        kernel_size: Sequence[object] = HALVING,
        stride_size: Sequence[object] = HALVING,
    ) -> None:
        super().__init__(elu, in_channels, num_classes, kernel_size, stride_size)
        self.out_tr = OutputTransition(32, num_classes, elu)
        self._load_pretrained(pretrained)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, X, Y, Z)."""
        return self.out_tr(self.features(x)[0])
