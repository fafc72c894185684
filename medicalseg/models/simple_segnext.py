"""SegNeXt as simplified in a comparison of networks on spine radiographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import paddle
from paddle import nn
from paddle.nn import functional as F

from medicalseg.cvlibs import manager
from medicalseg.models.backbones.mscan import LAYER_SCALE, SIZES, FeedForward, Stem, depthwise, init_convolutions
from medicalseg.models.base_2d import SegmentationModel2D
from medicalseg.models.layers.arguments import count, counts, rate
from medicalseg.models.layers.drop_path import DropPath, rising_rates
from medicalseg.models.layers.matrix_decomposition import NMF2D
from medicalseg.models.layers.resize import image_size, resize

STRIPS = (7, 11, 21)
RATIOS = (8, 8, 4, 4)
WIDTH = 512
ALIGNED = {"T": 256, "S": 256, "B": 512, "L": 1024}
RANK = 64
STEPS = 6
EPSILON = 1e-7


class ParallelAttention(nn.Layer):
    """Multi-scale attention whose 5x5 and strip convolutions all see the block's input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.square = depthwise(channels, (5, 5))
        self.strips = nn.LayerList(
            [nn.Sequential(depthwise(channels, (1, size)), depthwise(channels, (size, 1))) for size in STRIPS]
        )
        self.mix = nn.Conv2D(channels, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) to the same shape."""
        seen = self.square(x)
        for strips in self.strips:
            seen = seen + strips(x)
        return self.mix(seen) * x


class Residual(nn.Layer):
    """Batch norm, then `body`, scaled per channel and added to the input."""

    def __init__(self, channels: int, body: nn.Layer, momentum: float, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2D(channels, momentum)
        self.body = body
        self.scale = self.create_parameter([channels, 1, 1], default_initializer=nn.initializer.Constant(LAYER_SCALE))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) to the same shape."""
        return x + self.drop_path(self.scale * self.body(self.norm(x)))


class Encoder(nn.Layer):
    """Four stages at 1/4, 1/8, 1/16 and 1/32 of the size; only the first one's entry has batch norm."""

    def __init__(
        self, in_channels: int, widths: Sequence[int], depths: Sequence[int], momentum: float, drop_path_rate: float
    ) -> None:
        super().__init__()
        rates = rising_rates(drop_path_rate, sum(depths))
        self.entries, self.stages = nn.LayerList(), nn.LayerList()
        for stage, (channels, depth, ratio) in enumerate(zip(widths, depths, RATIOS, strict=True)):
            if stage:
                self.entries.append(nn.Conv2D(widths[stage - 1], channels, 3, stride=2, padding=1))
            else:
                self.entries.append(Stem(in_channels, channels, momentum))
            drops, rates = rates[:depth], rates[depth:]
            blocks = [part for rate in drops for part in _block(channels, ratio, momentum, rate)]
            self.stages.append(nn.Sequential(*blocks, nn.BatchNorm2D(channels, momentum)))

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """(N, in, H, W) to the outputs (N, C_i, H / 2^(i+2), W / 2^(i+2)) of the four stages."""
        outputs = []
        for index in range(len(self.entries)):
            x = self.stages[index](self.entries[index](x))
            outputs.append(x)
        return outputs


class Hamburger(nn.Layer):
    """Matrix decomposition between two 1x1 convolutions, with a shortcut and no norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lower = nn.Conv2D(channels, channels, 1)
        self.ham = NMF2D(channels, RANK, STEPS, STEPS, epsilon=EPSILON)
        self.upper = nn.Conv2D(channels, channels, 1, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) to the same shape."""
        return F.relu(x + self.upper(self.ham(F.relu(self.lower(x)))))


@manager.MODELS.add_component
class SimpleSegNeXt(SegmentationModel2D):
    """The simplified SegNeXt whose parameter and operation counts a published comparison gives.

    It differs from the official design (`SegNeXt`): no batch norm in the entries of stages 2 to 4, batch norm instead
    of layer norm after each stage, strip convolutions on the block's input instead of on the 5x5 convolution's output,
    no shortcut within the attention, no stochastic depth, a decoder always 512 wide without group norm, a
    decomposition of rank 64 with 6 updates in training and evaluation, and a 1x1 convolution with bias and no
    activation before the classes. The logits are resized with aligned corners.

    It differs from the comparison's network in three points. It returns logits; the sigmoid is part of the loss and of
    the decision. The first bases of the decomposition are fixed in evaluation, see `NMF2D`. And the running statistics
    of batch norm move slowly: Paddle's momentum is the share of the old value that is kept, 0.9 here. The comparison
    keeps 0.1 (a momentum of 0.9 in torch's convention), so there the statistics used in evaluation are nearly those of
    the last batch that was trained on; `bn_momentum: 0.1` gives that back.

    An image of any size is taken without padding: the sizes of the stages are rounded up, and the logits are resized
    to the image's size.

    Args:
        in_channels: channels of the image, any number.
        num_classes: channels of the output.
        embed_dims: channels of the four stages.
        depths: blocks of the four stages.
        align_channels: channels before the classes.
        bn_momentum: share of the running mean and variance that each training step keeps.
        drop_path_rate: stochastic depth of the last block; rises linearly from 0.
        dropout_rate: probability of dropping a channel before the classes.
        pretrained: file or address of weights to start from.

    Raises:
        ConfigError: an argument is wrong; the message names it.
    """

    heads = ("classes",)

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        embed_dims: Sequence[int] = (32, 64, 160, 256),
        depths: Sequence[int] = (3, 3, 5, 2),
        align_channels: int = 256,
        bn_momentum: float = 0.9,
        drop_path_rate: float = 0.0,
        dropout_rate: float = 0.1,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(in_channels, num_classes)
        _check(embed_dims, depths, align_channels, bn_momentum, drop_path_rate, dropout_rate)
        self.encoder = Encoder(in_channels, embed_dims, depths, bn_momentum, drop_path_rate)
        self.squeeze = nn.Conv2D(sum(embed_dims[1:]), WIDTH, 1, bias_attr=False)
        self.hamburger = Hamburger(WIDTH)
        self.align = nn.Conv2D(WIDTH, align_channels, 1)
        self.dropout = nn.Dropout2D(dropout_rate)
        self.classes = nn.Conv2D(align_channels, num_classes, 1)
        init_convolutions(self)
        self._load_pretrained(pretrained)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, H, W)."""
        features = self.encoder(x)[1:]
        size = image_size(features[0])
        joined = paddle.concat([resize(feature, size) for feature in features], axis=1)
        features = self.align(self.hamburger(F.relu(self.squeeze(joined))))
        return resize(self.classes(self.dropout(features)), image_size(x), align_corners=True)


def _block(channels: int, ratio: int, momentum: float, drop_path: float) -> tuple[nn.Layer, nn.Layer]:
    attention = nn.Sequential(
        nn.Conv2D(channels, channels, 1), nn.GELU(), ParallelAttention(channels), nn.Conv2D(channels, channels, 1)
    )
    return (
        Residual(channels, attention, momentum, drop_path),
        Residual(channels, FeedForward(channels, channels * ratio, 0.0), momentum, drop_path),
    )


def _check(
    embed_dims: Sequence[int],
    depths: Sequence[int],
    align_channels: int,
    bn_momentum: float,
    drop_path_rate: float,
    dropout_rate: float,
) -> None:
    counts("SimpleSegNeXt.embed_dims", embed_dims, 4)
    counts("SimpleSegNeXt.depths", depths, 4)
    count("SimpleSegNeXt.align_channels", align_channels)
    rate("SimpleSegNeXt.bn_momentum", bn_momentum)
    rate("SimpleSegNeXt.drop_path_rate", drop_path_rate)
    rate("SimpleSegNeXt.dropout_rate", dropout_rate)


def _variant(size: str) -> Callable[..., SimpleSegNeXt]:
    widths, depths = SIZES[size]

    def build(
        in_channels: int = 3,
        num_classes: int = 1,
        pretrained: str | None = None,
        bn_momentum: float = 0.9,
        drop_path_rate: float = 0.0,
        dropout_rate: float = 0.1,
    ) -> SimpleSegNeXt:
        rates = (bn_momentum, drop_path_rate, dropout_rate)
        return SimpleSegNeXt(in_channels, num_classes, widths, depths, ALIGNED[size], *rates, pretrained)

    doc = f"`SimpleSegNeXt` with {list(widths)} channels and {list(depths)} blocks."
    return manager.MODELS.add_function(build, f"SimpleSegNeXt_{size}", doc)


SimpleSegNeXt_T = _variant("T")
SimpleSegNeXt_S = _variant("S")
SimpleSegNeXt_B = _variant("B")
SimpleSegNeXt_L = _variant("L")
