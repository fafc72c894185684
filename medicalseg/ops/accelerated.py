"""What every accelerated layer has in common."""

from __future__ import annotations

from typing import Any

import paddle

from medicalseg.ops import layout
from medicalseg.ops.combine import PlainFunction
from medicalseg.ops.library import OneDNNError


class Accelerated:
    """Mixed in before one of Paddle's layers, whose class it replaces at run time.

    Attributes:
        bf16: multiply in bfloat16; chained layers also keep their outputs in it.
        chained: takes and gives channels-last tensors; else plain float32 ones.
        head: a chained layer whose output stays float32.
    """

    bf16 = False
    chained = False
    head = False

    def _takes(self, x: paddle.Tensor) -> bool:
        """Whether an input can be computed on: eager, on the CPU, a float array of at least one voxel."""
        return (
            paddle.in_dynamic_mode()
            and x.place.is_cpu_place()
            and x.dtype in layout.KINDS
            and (self.chained or x.dtype == paddle.float32)
            and min(x.shape) > 0
        )


class ChainLayer(Accelerated):
    """A layer between convolutions: fast on channels-last tensors, Paddle's own on all others."""

    @paddle.jit.not_to_static
    def forward(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> paddle.Tensor:
        """Same as the layer it stands for."""
        if not (self.chained and layout.is_fast(x) and not args and not kwargs):
            return super().forward(x, *args, **kwargs)  # type: ignore[misc]
        try:
            result = self._fast(x)
        except OneDNNError:
            result = None
        if result is not None:
            return result
        plain = PlainFunction.apply(x) if paddle.is_grad_enabled() else layout.as_plain(x)
        return super().forward(plain)  # type: ignore[misc]

    def _fast(self, x: paddle.Tensor) -> paddle.Tensor | None:
        """The result for a channels-last tensor, None where there is no fast form for the layer's arguments."""
        return None
