"""What networks for images have in common."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle.nn import functional as F

from medicalseg.models.base import SegmentationModel
from medicalseg.ops import functional as fast


class SegmentationModel2D(SegmentationModel):
    """Base of the networks for images (N, C, H, W): H counts rows, W columns.

    An image of any size is taken. One whose side is below `smallest_side` is padded with 0 at its end, and the logits
    are cropped; in a traced graph sizes are not known, so there the caller pads (`SliceWise` does).

    Attributes:
        smallest_side: fewest rows and columns that the layers can compute on.
    """

    spatial_axes = 2
    data_format = "NCHW"
    smallest_side = 1

    @property
    def smallest_input(self) -> tuple[int, int]:
        """Fewest rows and columns (H, W) that the layers can compute on; smaller images are padded."""
        return (self.smallest_side, self.smallest_side)

    def next_input_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The size (H, W) that the layers compute on for an image of size `shape`."""
        return tuple(max(int(size), self.smallest_side) for size in shape)

    def _prepared(self, x: paddle.Tensor) -> paddle.Tensor:
        return _padded(x, self.smallest_side)

    def _finished(self, logits: paddle.Tensor, x: paddle.Tensor) -> paddle.Tensor:
        return _cropped(logits, x)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, H, W) of the main head."""
        raise NotImplementedError


@paddle.jit.not_to_static
def _padded(x: paddle.Tensor, smallest_side: int) -> paddle.Tensor:
    if not paddle.in_dynamic_mode() or min(x.shape[2:]) >= smallest_side:
        return x
    height, width = (max(size, smallest_side) for size in x.shape[2:])
    return F.pad(x, [0, width - x.shape[3], 0, height - x.shape[2]])


@paddle.jit.not_to_static
def _cropped(logits: paddle.Tensor, image: paddle.Tensor) -> paddle.Tensor:
    logits = fast.plain(logits)
    if not paddle.in_dynamic_mode() or all(a <= b for a, b in zip(logits.shape[2:], image.shape[2:], strict=True)):
        return logits
    return logits[:, :, : image.shape[2], : image.shape[3]]
