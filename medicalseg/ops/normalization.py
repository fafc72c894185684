"""Batch normalisation of channels-last arrays; instance normalisation is that of every sample for itself."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import paddle

from medicalseg.ops import layout
from medicalseg.ops import library as dnn
from medicalseg.ops.primitives import Operand, Owned, Primitive, cached, channels_last, descriptor, strided

Ends = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Statistics:
    """What decides the primitives of a normalisation.

    Attributes:
        shape: (N, C, *spatial).
        kind: oneDNN's number type of the arrays.
        epsilon: added to the variance.
        given: mean and variance are inputs, not computed.
    """

    shape: tuple[int, ...]
    kind: int
    epsilon: float
    given: bool


class BatchNormalization:
    """Forward and backward of one shape, with scale and shift."""

    def __init__(self, key: Statistics) -> None:
        self._key = key
        self._data = strided(key.shape, channels_last(key.shape), key.kind)
        self._vector = strided((key.shape[1],), (1,))
        self._flags = dnn.USE_SCALE | dnn.USE_SHIFT | (dnn.USE_GLOBAL_STATISTICS if key.given else 0)
        self._hint = self._describe("forward", dnn.FORWARD_TRAINING, self._data, self._data)
        statistics = (dnn.ARG_MEAN, dnn.ARG_VARIANCE)
        known = statistics if key.given else ()
        self.forward = self._make(
            self._hint,
            arrays=((dnn.ARG_SRC,), (dnn.ARG_DST,)),
            vectors=((dnn.ARG_SCALE, dnn.ARG_SHIFT, *known), () if key.given else statistics),
        )
        self._backward: Primitive | None = None

    @property
    def backward(self) -> Primitive:
        """From the gradient of the output to those of the source, the scale and the shift."""
        if self._backward is None:
            self._backward = self._make(
                self._describe("backward", dnn.BACKWARD, self._data, self._data, self._data),
                arrays=((dnn.ARG_SRC, dnn.ARG_DIFF_DST), (dnn.ARG_DIFF_SRC,)),
                vectors=((dnn.ARG_SCALE, dnn.ARG_MEAN, dnn.ARG_VARIANCE), (dnn.ARG_DIFF_SCALE, dnn.ARG_DIFF_SHIFT)),
            )
        return self._backward

    def _describe(self, direction: str, *arguments: Any) -> Owned:
        trailing = (self._hint,) if direction == "backward" else ()
        epsilon = ctypes.c_float(self._key.epsilon)
        return descriptor(f"batch_normalization_{direction}", *arguments, epsilon, self._flags, *trailing)

    def _make(self, operation: Owned, arrays: Ends, vectors: Ends) -> Primitive:
        operands: dict[int, Operand] = {}
        for layout_of, (inputs, outputs) in ((self._data, arrays), (self._vector, vectors)):
            operands |= {index: Operand(layout_of) for index in inputs}
            operands |= {index: Operand(layout_of, output=True) for index in outputs}
        return Primitive(operation, operands)


@cached
def batch_normalization(key: Statistics) -> BatchNormalization:
    """The primitives for `key`.

    Raises:
        OneDNNError: oneDNN has no implementation for it.
    """
    return BatchNormalization(key)


class BatchNormFunction(paddle.autograd.PyLayer):
    """y = (x - mean) / sqrt(variance + epsilon) * scale + shift, with gradients to x, scale and shift."""

    @staticmethod
    def forward(
        ctx: Any,
        x: paddle.Tensor,
        scale: paddle.Tensor,
        shift: paddle.Tensor,
        mean: paddle.Tensor,
        variance: paddle.Tensor,
        key: Statistics,
        samples: int,
    ) -> paddle.Tensor:
        """See `normalize`."""
        ctx.key, ctx.samples, ctx.wanted = key, samples, layout.trained(x, scale, shift)
        ctx.save_for_backward(x, scale, mean, variance)
        return _forward(x, scale, shift, mean, variance, key, samples)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        """Gradients of x, scale and shift."""
        x, scale, mean, variance = layout.taken(ctx)
        gradient = layout.as_channels_last(gradient, x.dtype)
        result = layout.empty(x.shape, x.dtype)
        vectors = paddle.empty([2, ctx.samples, x.shape[1]], "float32")
        primitive = batch_normalization(ctx.key).backward
        step, row = _steps(x, ctx.samples)
        for sample in range(ctx.samples):
            primitive(
                {
                    dnn.ARG_SRC: x.data_ptr() + sample * step,
                    dnn.ARG_DIFF_DST: gradient.data_ptr() + sample * step,
                    dnn.ARG_DIFF_SRC: result.data_ptr() + sample * step,
                    dnn.ARG_SCALE: scale.data_ptr(),
                    dnn.ARG_MEAN: mean.data_ptr() + sample * row,
                    dnn.ARG_VARIANCE: variance.data_ptr() + sample * row,
                    dnn.ARG_DIFF_SCALE: vectors.data_ptr() + sample * row,
                    dnn.ARG_DIFF_SHIFT: vectors.data_ptr() + (ctx.samples + sample) * row,
                }
            )
        sums = vectors.sum(axis=1)
        return (*layout.only(ctx.wanted, (result, sums[0], sums[1])), None, None)


def _steps(x: paddle.Tensor, samples: int) -> tuple[int, int]:
    """Bytes from one normalised part of `x` to the next, and from one row of channels to the next."""
    return x.size // samples * x.element_size(), x.shape[1] * 4


def _forward(
    x: paddle.Tensor,
    scale: paddle.Tensor,
    shift: paddle.Tensor,
    mean: paddle.Tensor,
    variance: paddle.Tensor,
    key: Statistics,
    samples: int,
) -> paddle.Tensor:
    result = layout.empty(x.shape, x.dtype)
    primitive = batch_normalization(key).forward
    step, row = _steps(x, samples)
    for sample in range(samples):
        primitive(
            {
                dnn.ARG_SRC: x.data_ptr() + sample * step,
                dnn.ARG_DST: result.data_ptr() + sample * step,
                dnn.ARG_SCALE: scale.data_ptr(),
                dnn.ARG_SHIFT: shift.data_ptr(),
                dnn.ARG_MEAN: mean.data_ptr() + sample * row,
                dnn.ARG_VARIANCE: variance.data_ptr() + sample * row,
            }
        )
    return result


def normalize(
    x: paddle.Tensor,
    scale: paddle.Tensor,
    shift: paddle.Tensor,
    epsilon: float,
    statistics: tuple[paddle.Tensor, paddle.Tensor] | None = None,
    per_sample: bool = False,
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Normalise over the batch and space, or each sample over space.

    Args:
        x: (N, C, *spatial) with channels-last memory.
        scale: (C,) float32.
        shift: (C,) float32.
        epsilon: added to the variance.
        statistics: mean and variance (C,) to use; None: those of `x`.
        per_sample: statistics of each sample, as in instance normalisation.

    Returns:
        The normalised array, and mean and (biased) variance, (1, C) or (N, C).

    Raises:
        OneDNNError: oneDNN has no implementation for the shape.
    """
    samples = x.shape[0] if per_sample else 1
    shape = (x.shape[0] // samples, *x.shape[1:])
    key = Statistics(_split(shape), layout.kind(x), epsilon, statistics is not None)
    mean, variance = statistics or (paddle.empty([samples, x.shape[1]], "float32") for _ in range(2))
    apply = BatchNormFunction.apply if paddle.is_grad_enabled() else _forward
    return apply(x, scale, shift, mean, variance, key, samples), mean, variance


def _split(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The same memory with space divided into a larger batch, over which oneDNN's threads share the work."""
    batch, channels, first, *rest = shape
    return (batch * first, channels, *(rest or (1,)))
