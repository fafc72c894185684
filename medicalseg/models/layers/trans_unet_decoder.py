"""TransUNet's decoder: from the tokens back to the image's size, with the ResNet's maps as skips."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from medicalseg.models.layers.resize import image_size, resize


def conv_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution without bias, batch norm, ReLU."""
    convolution = nn.Conv2D(in_channels, out_channels, 3, padding=1, bias_attr=False)
    return nn.Sequential(convolution, nn.BatchNorm2D(out_channels), nn.ReLU())


class DecoderBlock(nn.Layer):
    """Twice the size, the skip beside it, two convolutions."""

    def __init__(self, in_channels: int, out_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.conv1 = conv_block(in_channels + skip_channels, out_channels)
        self.conv2 = conv_block(out_channels, out_channels)

    def forward(self, x: paddle.Tensor, skip: paddle.Tensor | None) -> paddle.Tensor:
        """(N, in_channels, H, W) and a skip (N, skip_channels, 2 H, 2 W) to (N, out_channels, 2 H, 2 W)."""
        size = image_size(x)
        x = resize(x, [2 * side for side in size] if isinstance(size, list) else 2 * size, align_corners=True)
        return self.conv2(self.conv1(x if skip is None else paddle.concat([x, skip], axis=1)))


class Decoder(nn.Layer):
    """The tokens as a map, and four blocks up to the image's size ("cascaded upsampler").

    Args:
        hidden_size: numbers of a token.
        grid: rows and columns of the tokens' map.
        channels: of the blocks' outputs, coarsest first.
        skip_channels: of the skips at 1/8, 1/4 and 1/2; 0 where there is none.
    """

    def __init__(
        self, hidden_size: int, grid: tuple[int, int], channels: Sequence[int], skip_channels: Sequence[int]
    ) -> None:
        super().__init__()
        self.grid, self.hidden_size = grid, hidden_size
        first = 2 * channels[0]
        self.conv_more = conv_block(hidden_size, first)
        sizes = zip([first, *channels[:-1]], channels, [*skip_channels, 0], strict=True)
        self.blocks = nn.LayerList([DecoderBlock(*size) for size in sizes])
        self.skipped = [bool(count) for count in (*skip_channels, 0)]

    def forward(self, tokens: paddle.Tensor, maps: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """Tokens (N, T, hidden_size) and maps at 1/2, 1/4 and 1/8 to (N, channels[-1], H, W)."""
        x = tokens.transpose([0, 2, 1]).reshape([0, self.hidden_size, *self.grid])
        x = self.conv_more(x)
        for number, block in enumerate(self.blocks):
            x = block(x, maps[-1 - number] if self.skipped[number] else None)
        return x
