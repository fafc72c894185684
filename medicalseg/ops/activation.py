"""Activations of channels-last arrays: rectifiers from their own output, PReLU with one slope per channel."""

from __future__ import annotations

import ctypes
from typing import Any

import paddle

from medicalseg.ops import layout
from medicalseg.ops import library as dnn
from medicalseg.ops.primitives import Operand, Primitive, cached, channels_last, descriptor, strided


class _Pair:
    """Forward and backward primitive of an activation of one shape."""

    def __init__(self, forward: Primitive, backward: Primitive) -> None:
        self.forward, self.backward = forward, backward


@cached
def rectifier(shape: tuple[int, ...], kind: int, algorithm: int, alpha: float) -> _Pair:
    """Elementwise activation whose gradient is computed from its output."""
    data = strided(shape, channels_last(shape), kind)
    parameters = (ctypes.c_float(alpha), ctypes.c_float(0.0))
    forward = descriptor("eltwise_forward", dnn.FORWARD_TRAINING, algorithm, data, data, *parameters)
    backward = descriptor("eltwise_backward", algorithm, data, data, data, *parameters, forward)
    return _Pair(
        Primitive(forward, {dnn.ARG_SRC: Operand(data), dnn.ARG_DST: Operand(data, output=True)}),
        Primitive(
            backward,
            {
                dnn.ARG_DST: Operand(data),
                dnn.ARG_DIFF_DST: Operand(data),
                dnn.ARG_DIFF_SRC: Operand(data, output=True),
            },
        ),
    )


class RectifierFunction(paddle.autograd.PyLayer):
    """ReLU, leaky ReLU (alpha: its slope) or ELU (alpha: its scale)."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, algorithm: int, alpha: float) -> paddle.Tensor:
        """x: (N, C, *spatial) with channels-last memory."""
        ctx.parameters = (algorithm, alpha)
        result = rectify(x, algorithm, alpha)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        """Gradient of x."""
        (output,) = layout.taken(ctx)
        gradient = layout.as_channels_last(gradient, output.dtype)
        result = layout.empty(output.shape, output.dtype)
        rectifier(tuple(output.shape), layout.kind(output), *ctx.parameters).backward(
            {
                dnn.ARG_DST: output.data_ptr(),
                dnn.ARG_DIFF_DST: gradient.data_ptr(),
                dnn.ARG_DIFF_SRC: result.data_ptr(),
            }
        )
        return result


def rectify(x: paddle.Tensor, algorithm: int, alpha: float) -> paddle.Tensor:
    """The activation without a gradient."""
    result = layout.empty(x.shape, x.dtype)
    pair = rectifier(tuple(x.shape), layout.kind(x), algorithm, alpha)
    pair.forward({dnn.ARG_SRC: x.data_ptr(), dnn.ARG_DST: result.data_ptr()})
    return result


@cached
def prelu(shape: tuple[int, ...], kind: int, slopes: int) -> _Pair:
    """PReLU; `slopes` is 1 or the number of channels."""
    data = strided(shape, channels_last(shape), kind)
    weights = strided((1, slopes, *(1 for _ in shape[2:])), (slopes, *(1 for _ in shape[1:])))
    forward = descriptor("prelu_forward", dnn.FORWARD_TRAINING, data, weights, data)
    backward = descriptor("prelu_backward", data, weights, data, weights, data, forward)
    inputs = {dnn.ARG_SRC: Operand(data), dnn.ARG_WEIGHTS: Operand(weights)}
    return _Pair(
        Primitive(forward, {**inputs, dnn.ARG_DST: Operand(data, output=True)}),
        Primitive(
            backward,
            {
                dnn.ARG_SRC: Operand(data),
                dnn.ARG_WEIGHTS: Operand(weights),
                dnn.ARG_DIFF_DST: Operand(data),
                dnn.ARG_DIFF_SRC: Operand(data, output=True),
                dnn.ARG_DIFF_WEIGHTS: Operand(weights, output=True),
            },
        ),
    )


class PReLUFunction(paddle.autograd.PyLayer):
    """PReLU with gradients to x and the slopes."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
        """x: (N, C, *spatial) with channels-last memory; weight: (1,) or (C,) float32."""
        ctx.wanted = layout.trained(x, weight)
        ctx.save_for_backward(x, weight)
        return leak(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        """Gradients of x and the slopes."""
        x, weight = layout.taken(ctx)
        gradient = layout.as_channels_last(gradient, x.dtype)
        result, slopes = layout.empty(x.shape, x.dtype), paddle.empty(weight.shape, "float32")
        prelu(tuple(x.shape), layout.kind(x), weight.size).backward(
            {
                dnn.ARG_SRC: x.data_ptr(),
                dnn.ARG_WEIGHTS: weight.data_ptr(),
                dnn.ARG_DIFF_DST: gradient.data_ptr(),
                dnn.ARG_DIFF_SRC: result.data_ptr(),
                dnn.ARG_DIFF_WEIGHTS: slopes.data_ptr(),
            }
        )
        return layout.only(ctx.wanted, (result, slopes))


def leak(x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
    """PReLU without a gradient."""
    result = layout.empty(x.shape, x.dtype)
    prelu(tuple(x.shape), layout.kind(x), weight.size).forward(
        {dnn.ARG_SRC: x.data_ptr(), dnn.ARG_WEIGHTS: weight.data_ptr(), dnn.ARG_DST: result.data_ptr()}
    )
    return result
