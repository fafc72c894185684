"""What PaddleSeg3D's networks for slices have in common: one image size, and its layout of slices in five axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle

from medicalseg.errors import ConfigError, UserError
from medicalseg.models.base_2d import SegmentationModel2D
from medicalseg.models.layers.arguments import is_count


class SliceModel(SegmentationModel2D):
    """Base of networks for slices of one size, as PaddleSeg3D trains them; a subclass writes `main_logits`.

    Images (N, C, H, W) give logits (N, num_classes, H, W), as of every network for images. PaddleSeg3D's layouts of
    single-channel slices are taken too: a batch of slices (N, 1, 1, H, W) gives (N, num_classes, 1, H, W), and one
    volume (1, D, 1, H, W) gives (D, num_classes, 1, H, W). `main_logits` always sees (N, in_channels, H, W): images of
    one channel are repeated to all of `in_channels`.

    Args:
        in_channels: channels of the first layer.
        num_classes: channels of the output.
        image_size: (H, W), or one number for both: the only size that is taken.

    Attributes:
        only_size: (H, W).

    Raises:
        ConfigError: an argument is wrong; names it.
    """

    only_size: tuple[int, int]

    def __init__(self, in_channels: int, num_classes: int, image_size: int | Sequence[int]) -> None:
        super().__init__(in_channels, num_classes)
        self.only_size = as_image_size(image_size, f"{type(self).__name__}.img_size")

    @property
    def smallest_input(self) -> tuple[int, int]:
        """The one size (H, W) that is taken."""
        return self.only_size

    def next_input_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The one size (H, W) that is taken, whatever `shape` is."""
        return self.only_size

    def fits_channels(self, channels: int) -> bool:
        """Whether images of so many channels are taken: all of `in_channels`, or one, which is repeated."""
        return channels in (1, self.in_channels)

    def check_input_shape(self, shape: Sequence[int]) -> None:
        """Refuse an input that the network cannot take.

        Args:
            shape: (N, C, H, W), (H, W), or PaddleSeg3D's (N, 1, 1, H, W) and (1, D, 1, H, W).

        Raises:
            UserError: wrong number of axes or channels, or another size.
        """
        shape = tuple(int(size) for size in shape)
        name = type(self).__name__
        if len(shape) not in (2, 4, 5):
            raise UserError(f"{name} takes images (N, C, H, W), got an array of {len(shape)} axes: {list(shape)}")
        if len(shape) == 5 and (shape[2] != 1 or 1 not in shape[:2]):
            raise UserError(
                f"{name} takes five axes only as slices (N, 1, 1, H, W) or one volume (1, D, 1, H, W), "
                f"got {list(shape)}"
            )
        if len(shape) == 4 and not self.fits_channels(shape[1]):
            raise UserError(
                f"{name} was built for in_channels {self.in_channels}, got {shape[1]} channels in {list(shape)}; "
                "give it images of one channel, which is repeated, or of as many"
            )
        if shape[-2:] != self.only_size:
            given, wanted = ("x".join(map(str, size)) for size in (shape[-2:], self.only_size))
            raise UserError(
                f"{name} takes images of {wanted} pixels (rows x columns) only, as its tables of positions have that "
                f"size; got {given}. Resize with preprocess.size, or build it with another model.img_size"
            )

    def _prepared(self, x: paddle.Tensor) -> paddle.Tensor:
        return as_images(x, self.in_channels)

    def _finished(self, logits: paddle.Tensor, x: paddle.Tensor) -> paddle.Tensor:
        return laid_out_as(logits, x)


def as_images(x: paddle.Tensor, channels: int) -> paddle.Tensor:
    """Images (N, channels, H, W) of slices in one of the layouts of `SliceModel`.

    Args:
        x: (N, C, H, W), (N, 1, 1, H, W) or (1, D, 1, H, W).
        channels: wanted; a single channel is repeated.
    """
    if x.ndim == 5:
        x = x.flatten(0, 2).unsqueeze(1)
    return paddle.concat([x] * channels, axis=1) if x.shape[1] == 1 and channels > 1 else x


def laid_out_as(logits: paddle.Tensor, x: paddle.Tensor) -> paddle.Tensor:
    """Logits (N, K, H, W) in the layout of the input `x`: (N, K, 1, H, W) where that has five axes."""
    return logits.unsqueeze(2) if x.ndim == 5 else logits


def as_image_size(value: Any, name: str) -> tuple[int, int]:
    """(H, W) of one positive integer or two.

    Raises:
        ConfigError: it is something else; names the argument.

    Example:
        >>> as_image_size(224, "img_size")
        (224, 224)
    """
    sizes = [value] * 2 if isinstance(value, int) else value
    right = isinstance(sizes, (list, tuple)) and len(sizes) == 2
    if not right or not all(map(is_count, sizes)):
        raise ConfigError(f"{name}: needs a positive integer, or two (H, W), got {value!r}")
    return sizes[0], sizes[1]
