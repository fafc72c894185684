"""SegFormer: a Mix Transformer and a decoder of linear layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.models.backbones import mix_transformer
from medicalseg.models.base_2d import SegmentationModel2D
from medicalseg.models.layers.arguments import count, flag
from medicalseg.models.layers.conv_bn_relu import ConvBNReLU
from medicalseg.models.layers.mix_attention import channels_first, channels_last
from medicalseg.models.layers.resize import image_size, resize

WIDTHS = {"B0": 256, "B1": 256, "B2": 768, "B3": 768, "B4": 768, "B5": 768}


class MLP(nn.Layer):
    """A linear layer for the channels of a map (N, H, W, C)."""

    def __init__(self, input_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(input_dim, embed_dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, H, W, input_dim)."""
        return self.proj(x)


@manager.MODELS.add_component
class SegFormer(SegmentationModel2D):
    """SegFormer (Xie et al. 2021, "SegFormer: Simple and Efficient Design for Semantic Segmentation with
    Transformers"), with the layer names, shapes and numbers of PaddleSeg's checkpoints.

    Args:
        num_classes: channels of the output.
        backbone: the encoder; gives four maps at 1/4, 1/8, 1/16 and 1/32 of the image, and has `feat_channels` and
            `in_channels`.
        embedding_dim: channels of the decoder.
        align_corners: whether resizing aligns the centres of the outermost pixels.
        pretrained: weights to start from, see `medicalseg.utils.checkpoint.load_pretrained`.

    Attributes:
        as_published: compute the decoder operation for operation as the paper writes it, from which its cost is
            counted; else the same function with fewer operations. A traced graph always has the published ones: there
            oneDNN goes on with a convolution's weights of its first run, which must not be computed anew in each.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    heads = ("linear_pred",)
    as_published = False

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Layer,
        embedding_dim: int,
        align_corners: bool = False,
        pretrained: Any = None,
    ) -> None:
        super().__init__(_in_channels(backbone), num_classes)
        count("SegFormer.embedding_dim", embedding_dim)
        self.backbone = backbone
        self.smallest_side = getattr(backbone, "smallest_side", 1)
        self.align_corners = flag("SegFormer.align_corners", align_corners)
        widths = backbone.feat_channels
        self.linear_c4 = MLP(widths[3], embedding_dim)
        self.linear_c3 = MLP(widths[2], embedding_dim)
        self.linear_c2 = MLP(widths[1], embedding_dim)
        self.linear_c1 = MLP(widths[0], embedding_dim)
        self.dropout = nn.Dropout2D(0.1)
        self.linear_fuse = ConvBNReLU(4 * embedding_dim, embedding_dim, 1, bias_attr=False)
        self.linear_pred = nn.Conv2D(embedding_dim, num_classes, 1)
        self._load_pretrained(pretrained)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, H, W)."""
        c1, c2, c3, c4 = self.backbone(x)
        published = self.as_published or not paddle.in_dynamic_mode()
        fused = self._fused_as_published(c1, c2, c3, c4) if published else self._fused(c1, c2, c3, c4)
        return self._resized(self.linear_pred(self.dropout(fused)), x)

    def _fused(self, c1: paddle.Tensor, c2: paddle.Tensor, c3: paddle.Tensor, c4: paddle.Tensor) -> paddle.Tensor:
        """Each level's linear layer and its share of the fusing convolution as one matrix, applied before resizing.

        Resizing leaves constants as they are and works on each channel alone, so it may come last.
        """
        w4, w3, w2, w1 = paddle.split(self.linear_fuse._conv.weight.flatten(1), 4, axis=1)
        joined = _share(c1, self.linear_c1.proj, w1)
        joined = joined + self._resized(_share(c2, self.linear_c2.proj, w2), c1)
        joined = joined + self._resized(_share(c3, self.linear_c3.proj, w3), c1)
        joined = joined + self._resized(_share(c4, self.linear_c4.proj, w4), c1)
        return self.linear_fuse.activated(joined)

    def _fused_as_published(
        self, c1: paddle.Tensor, c2: paddle.Tensor, c3: paddle.Tensor, c4: paddle.Tensor
    ) -> paddle.Tensor:
        finest = channels_first(self.linear_c1(channels_last(c1)))
        levels = ((self.linear_c4, c4), (self.linear_c3, c3), (self.linear_c2, c2))
        coarser = [self._resized(channels_first(linear(channels_last(level))), finest) for linear, level in levels]
        return self.linear_fuse(paddle.concat([*coarser, finest], axis=1))

    def _resized(self, x: paddle.Tensor, like: paddle.Tensor) -> paddle.Tensor:
        return resize(x, image_size(like), self.align_corners)


def _share(x: paddle.Tensor, linear: nn.Linear, weight: paddle.Tensor) -> paddle.Tensor:
    """A linear layer (C to D) and behind it `weight` (D, D) of a 1x1 convolution, on a map (N, C, H, W)."""
    kernel = paddle.matmul(weight, linear.weight, transpose_y=True)
    return F.conv2d(x, kernel.unsqueeze([2, 3]), paddle.matmul(weight, linear.bias))


def _in_channels(backbone: nn.Layer) -> int:
    for name in ("feat_channels", "in_channels"):
        if not hasattr(backbone, name):
            raise ConfigError(
                f"SegFormer.backbone: {type(backbone).__name__} has no {name}; use a MixVisionTransformer"
            )
    return int(backbone.in_channels)


def _variant(size: str) -> Callable[..., SegFormer]:
    make_backbone = getattr(mix_transformer, f"MixVisionTransformer_{size}")

    def build(
        num_classes: int = 2,
        in_channels: int = 3,
        embedding_dim: int = WIDTHS[size],
        align_corners: bool = False,
        drop_path_rate: float = 0.1,
        backbone_pretrained: Any = None,
        pretrained: Any = None,
    ) -> SegFormer:
        backbone = make_backbone(in_channels=in_channels, drop_path_rate=drop_path_rate, pretrained=backbone_pretrained)
        return SegFormer(num_classes, backbone, embedding_dim, align_corners, pretrained)

    doc = f"`SegFormer` with `MixVisionTransformer_{size}`, {WIDTHS[size]} channels in the decoder."
    return manager.MODELS.add_function(build, f"SegFormer_{size}", doc)


SegFormer_B0 = _variant("B0")
SegFormer_B1 = _variant("B1")
SegFormer_B2 = _variant("B2")
SegFormer_B3 = _variant("B3")
SegFormer_B4 = _variant("B4")
SegFormer_B5 = _variant("B5")
