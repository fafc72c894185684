"""What every network has in common: its contract with training, evaluation and export."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from medicalseg.errors import UserError
from medicalseg.models.layers.arguments import count
from medicalseg.models.layers.sizes import SizeRule
from medicalseg.ops import functional as fast


class SegmentationModel(nn.Layer):
    """Base of the networks for volumes (N, C, X, Y, Z); those for images (N, C, H, W) see `SegmentationModel2D`.

    `forward` returns a list of logits (N, num_classes, X, Y, Z), the main head first. A subclass writes `main_logits`;
    one with auxiliary heads overrides `all_logits` too.

    Args:
        in_channels: C of the input.
        num_classes: channels of the output: classes, background included, for a softmax; structures for sigmoids.

    Attributes:
        spatial_axes: 3 for volumes, 2 for images.
        main_head_only: when true, `forward` computes and returns the main head alone (inference, export).
        data_format: "NCDHW", as PaddleSeg calls channels-first volumes.
        size_rule: which spatial sizes fit; None means any.
        only_size: the only spatial size that fits, which an export then has too; None where more than one does.
        channels_last: whether accelerated layers may hand channels-last tensors to each other, see
            `medicalseg.ops.accelerate`; `forward` turns the logits into plain tensors again.
        heads: names of the layers that give the logits; in bfloat16 arithmetic their outputs stay float32.
    """

    spatial_axes = 3
    data_format = "NCDHW"
    only_size: tuple[int, ...] | None = None
    channels_last = False
    heads: tuple[str, ...] = ()

    def __init__(self, in_channels: int, num_classes: int, size_rule: SizeRule | None = None) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("num_classes", num_classes)):
            count(f"{type(self).__name__}.{name}", value)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.size_rule = size_rule
        self.main_head_only = False

    @property
    def unused_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that belong to the checkpoint format alone and never get a gradient."""
        return ()

    def fits_channels(self, channels: int) -> bool:
        """Whether images of so many channels are taken."""
        return channels == self.in_channels

    @property
    def size_divisor(self) -> tuple[int, ...] | None:
        """Distance between fitting sizes per axis (X, Y, Z); None where any size fits, or one alone (`only_size`)."""
        return self.size_rule.step if self.size_rule and self.only_size is None else None

    @property
    def smallest_input(self) -> tuple[int, ...] | None:
        """Smallest spatial size (X, Y, Z) the network can take; None where any fits."""
        return self.size_rule.smallest if self.size_rule else None

    def next_input_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The smallest spatial size (X, Y, Z) that fits and is not below `shape`."""
        return self.size_rule.next_fitting(shape) if self.size_rule else tuple(shape)

    def check_input_shape(self, shape: Sequence[int]) -> None:
        """Refuse an input that the network cannot take.

        Args:
            shape: (N, C, X, Y, Z), or the spatial (X, Y, Z) alone; (N, C, H, W) or (H, W) of a network for images.

        Raises:
            UserError: wrong number of axes or channels, or a size that does not fit; names the next one that does.
        """
        shape = tuple(int(n) for n in shape)
        name = type(self).__name__
        axes = self.spatial_axes
        if len(shape) not in (axes, axes + 2):
            taken = "images (N, C, H, W)" if axes == 2 else "volumes (N, C, X, Y, Z)"
            raise UserError(f"{name} takes {taken}, got an array of {len(shape)} axes: {list(shape)}")
        if len(shape) == axes + 2 and shape[1] != self.in_channels:
            raise UserError(
                f"{name} was built for in_channels {self.in_channels}, got {shape[1]} channels in {list(shape)}; "
                "set model.in_channels to the number of channels of the images"
            )
        if self.size_rule:
            self.size_rule.check(shape[-axes:], name)

    def __call__(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Check the input, then `forward`. The check stays outside of `forward`, which `to_static` traces.

        Raises:
            UserError: see `check_input_shape`.
        """
        if paddle.in_dynamic_mode():
            self.check_input_shape(x.shape)
        return super().__call__(x)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Logits (N, num_classes, X, Y, Z) of every head, the main one first; `x` is (N, C, X, Y, Z)."""
        ready = self._prepared(x)
        heads = [self.main_logits(ready)] if self.main_head_only else self.all_logits(ready)
        return [self._finished(logits, x) for logits in heads]

    def inference_forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """As `forward`, but the main head alone, whatever `main_head_only` says."""
        if paddle.in_dynamic_mode():
            self.check_input_shape(x.shape)
        return [self._finished(self.main_logits(self._prepared(x)), x)]

    def _prepared(self, x: paddle.Tensor) -> paddle.Tensor:
        """What `main_logits` and `all_logits` get of the input `x`."""
        return x

    def _finished(self, logits: paddle.Tensor, x: paddle.Tensor) -> paddle.Tensor:
        """What `forward` gives of their logits for the input `x`."""
        return fast.plain(logits)

    def all_logits(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Logits of every head, the main one first."""
        return [self.main_logits(x)]

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        """Logits (N, num_classes, X, Y, Z) of the main head."""
        raise NotImplementedError

    def _load_pretrained(self, pretrained: str | None) -> None:
        if pretrained:
            from medicalseg.utils.checkpoint import load_pretrained

            load_pretrained(self, pretrained)
