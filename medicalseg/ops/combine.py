"""Sums, products and concatenations of channels-last arrays, with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import paddle

from medicalseg.ops import layout
from medicalseg.ops import library as dnn
from medicalseg.ops.primitives import Operand, Primitive, cached, channels_last, descriptor, strided


@cached
def _binary(algorithm: int, shape: tuple[int, ...], kind: int, second: tuple[int, ...], second_kind: int) -> Primitive:
    first, other = strided(shape, channels_last(shape), kind), strided(second, channels_last(second), second_kind)
    operation = descriptor("binary", algorithm, first, other, first)
    return Primitive(
        operation,
        {dnn.ARG_SRC: Operand(first), dnn.ARG_SRC_1: Operand(other), dnn.ARG_DST: Operand(first, output=True)},
    )


def _combine(algorithm: int, a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
    result = layout.empty(a.shape, a.dtype)
    primitive = _binary(algorithm, tuple(a.shape), layout.kind(a), tuple(b.shape), layout.kind(b))
    primitive({dnn.ARG_SRC: a.data_ptr(), dnn.ARG_SRC_1: b.data_ptr(), dnn.ARG_DST: result.data_ptr()})
    return result


def sum_of(a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
    """a + b of the same shape, in a's type, without a gradient."""
    return _combine(dnn.BINARY_ADD, layout.as_channels_last(a), layout.as_channels_last(b, a.dtype))


class AddFunction(paddle.autograd.PyLayer):
    """a + b of the same shape."""

    @staticmethod
    def forward(ctx: Any, a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
        """a, b: (N, C, *spatial); the result has a's type."""
        ctx.types, ctx.wanted = (a.dtype, b.dtype), layout.trained(a, b)
        return sum_of(a, b)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        """The gradient itself, for both."""
        ends = zip(ctx.types, ctx.wanted, strict=True)
        first, second = (layout.as_channels_last(gradient, dtype) if wanted else None for dtype, wanted in ends)
        return first, layout.shared(second) if first is second and second is not None else second


class ForkFunction(paddle.autograd.PyLayer):
    """An array that is used twice: sums the two gradients in their own layout."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Two views of x."""
        ctx.dtype = x.dtype
        return layout.view(x), layout.view(x)

    @staticmethod
    def backward(ctx: Any, first: paddle.Tensor, second: paddle.Tensor) -> paddle.Tensor:
        """Sum of the gradients."""
        return sum_of(layout.as_channels_last(first, ctx.dtype), second)


class ScaleChannelsFunction(paddle.autograd.PyLayer):
    """x times one constant per sample and channel, as channel dropout does."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, factors: paddle.Tensor) -> paddle.Tensor:
        """x: (N, C, *spatial); factors: (N, C, 1, ...) float32."""
        ctx.save_for_backward(factors)
        return _combine(dnn.BINARY_MUL, x, factors)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor, None]:
        """Gradient of x."""
        (factors,) = layout.taken(ctx)
        return _combine(dnn.BINARY_MUL, layout.as_channels_last(gradient), factors), None


class ConcatFunction(paddle.autograd.PyLayer):
    """Arrays one behind the other along the channels."""

    @staticmethod
    def forward(ctx: Any, *parts: paddle.Tensor) -> paddle.Tensor:
        """parts: (N, C_i, *spatial); the result has the first one's type."""
        ctx.channels = [part.shape[1] for part in parts]
        ctx.types = [part.dtype for part in parts]
        ctx.wanted = layout.trained(*parts)
        return join(parts)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        """Each part's share."""
        starts = accumulate([0, *ctx.channels[:-1]])
        gradient = layout.as_channels_last(gradient)
        shape = gradient.shape
        return tuple(
            layout.copy(gradient, layout.empty([shape[0], channels, *shape[2:]], dtype), source_offset=start)
            if wanted
            else None
            for start, channels, dtype, wanted in zip(starts, ctx.channels, ctx.types, ctx.wanted, strict=True)
        )


def join(parts: Sequence[paddle.Tensor]) -> paddle.Tensor:
    """Concatenation without a gradient."""
    channels = [part.shape[1] for part in parts]
    first = parts[0]
    result = layout.empty([first.shape[0], sum(channels), *first.shape[2:]], first.dtype)
    for start, part in zip(accumulate([0, *channels[:-1]]), parts, strict=True):
        layout.copy(part, result, target_offset=start)
    return result


class PlainFunction(paddle.autograd.PyLayer):
    """The same numbers as a plain float32 tensor."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor) -> paddle.Tensor:
        """x: (N, C, *spatial) in any layout."""
        ctx.dtype = x.dtype
        return layout.as_plain(x)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        """The gradient, channels-last again."""
        return layout.as_channels_last(gradient, ctx.dtype)
