"""VNet with auxiliary heads on the coarser decoder levels."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.cvlibs import manager
from medicalseg.models.layers.vnet_blocks import OutputTransition
from medicalseg.models.vnet import HALVING, VNetTrunk
from medicalseg.ops import functional as fast


@manager.MODELS.add_component
class VNetDeepSup(VNetTrunk):
    """VNet with deep supervision, compatible with PaddleSeg3D's checkpoints.

    `forward` returns four heads `[main, 256, 128, 64]`, named by the channels of the level they look at, each of the
    input's size, in training and in evaluation. `inference_forward`, or `main_head_only = True`, computes the first
    alone. `out_tr_all` belongs to the checkpoint format and takes no part in the computation: `unused_parameters` lists
    its names.

    Args:
        elu: ELU instead of PReLU.
        in_channels: channels of the image; must divide 16.
        num_classes: classes, background included.
        pretrained: file or address of weights to start from.
        kernel_size: kernel (X, Y, Z) of each of the four down-samplings, and of its up-sampling.
        stride_size: their strides.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    heads = ("out_tr32.conv2", "out_tr64", "out_tr128", "out_tr256")

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
        self.out_tr32 = OutputTransition(32, num_classes, elu)
        self.out_tr64 = nn.Conv3D(64, num_classes, kernel_size=3, padding=1)
        self.out_tr128 = nn.Conv3D(128, num_classes, kernel_size=3, padding=1)
        self.out_tr256 = nn.Conv3D(256, num_classes, kernel_size=3, padding=1)
        self.out_tr_all = OutputTransition(4 * num_classes, num_classes, elu)
        self._load_pretrained(pretrained)

    @property
    def unused_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that never get a gradient."""
        return tuple(name for name, _ in self.named_parameters() if name.startswith("out_tr_all."))

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, X, Y, Z) of the finest head."""
        return self.out_tr32(self.features(x)[0])

    def all_logits(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Logits of the heads `[main, 256, 128, 64]`, all of the input's size."""
        up32, up64, up128, up256 = self.features(x)
        size = x.shape[2:] if paddle.in_dynamic_mode() else paddle.shape(x)[2:]
        heads = ((self.out_tr256, up256), (self.out_tr128, up128), (self.out_tr64, up64))
        return [self.out_tr32(up32)] + [_resized(head(level), size) for head, level in heads]


def _resized(logits: paddle.Tensor, size: Sequence[int] | paddle.Tensor) -> paddle.Tensor:
    logits = fast.plain(logits)
    return F.interpolate(logits, size=size, mode="trilinear", align_corners=False, data_format="NCDHW")
