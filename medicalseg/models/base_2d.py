"""What networks for images have in common."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle.nn import functional as F

from medicalseg.models.base import SegmentationModel


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

    @property
    def size_divisor(self) -> tuple[int, int]:
        """Distance between fitting sizes per axis (H, W): 1."""
        return (1, 1)

    def next_input_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The size (H, W) that the layers compute on for an image of size `shape`."""
        return tuple(max(int(size), self.smallest_side) for size in shape)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Logits (N, num_classes, H, W) of every head, the main one first; `x` is (N, C, H, W)."""
        if not paddle.in_dynamic_mode():
            return super().forward(x)
        heads = super().forward(self._padded(x))
        return [_cropped(logits, x.shape[2:]) for logits in heads]

    def inference_forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """As `forward`, but the main head alone, whatever `main_head_only` says."""
        heads = super().inference_forward(self._padded(x))
        return [_cropped(logits, x.shape[2:]) for logits in heads]

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, H, W) of the main head."""
        raise NotImplementedError

    def _padded(self, x: paddle.Tensor) -> paddle.Tensor:
        if x.ndim != 4 or min(x.shape[2:]) >= self.smallest_side:
            return x
        height, width = self.next_input_shape(x.shape[2:])
        return F.pad(x, [0, width - x.shape[3], 0, height - x.shape[2]])


def _cropped(logits: paddle.Tensor, size: Sequence[int]) -> paddle.Tensor:
    return logits if list(logits.shape[2:]) == list(size) else logits[:, :, : size[0], : size[1]]
