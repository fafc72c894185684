"""Convolutions and transposed convolutions as sets of oneDNN primitives.

A `Convolution` holds the primitives of one shape: forward, backward to data and backward to weights. They compute on
channels-last arrays; plain ones are reordered on the way in and out. Weights are reordered from Paddle's layout to the
one oneDNN prefers at every call. The gradient of a transposed convolution's bias takes oneDNN longer than all others
together; where arrays are channels-last it is summed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medicalseg.ops import library as dnn
from medicalseg.ops.channel_sums import channel_sums
from medicalseg.ops.library import Handle
from medicalseg.ops.primitives import (
    Operand,
    Owned,
    Primitive,
    any_layout,
    cached,
    channels_last,
    contiguous,
    descriptor,
    dims,
    query,
    strided,
)


@dataclass(frozen=True)
class Geometry:
    """Everything that decides which primitives a convolution needs.

    Attributes:
        source: (N, I, *spatial).
        weight: as Paddle stores it: (O, I/groups, *kernel), transposed (I, O/groups, *kernel).
        stride, padding, dilation: per spatial axis, in voxels.
        output_padding: extra voxels at the end of each axis of a transposed convolution.
        bf16: multiply in bfloat16 and sum in float32.
        source_bf16, output_bf16: that array and its gradient hold bfloat16, not float32.
        plain: the arrays are plain, not channels-last.
    """

    source: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    bias: bool = True
    transposed: bool = False
    output_padding: tuple[int, ...] = ()
    bf16: bool = False
    source_bf16: bool = False
    output_bf16: bool = False
    plain: bool = False

    @property
    def output(self) -> tuple[int, ...]:
        """(N, O, *spatial)."""
        size, kernel = self.source[2:], self.weight[2:]
        axes = zip(size, kernel, self.stride, self.padding, self.dilation, strict=True)
        if not self.transposed:
            spatial = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
            return (self.source[0], self.weight[0], *spatial)
        extra = self.output_padding or (0,) * len(size)
        grown = ((n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in axes)
        return (self.source[0], self.weight[1] * self.groups, *(n + e for n, e in zip(grown, extra, strict=True)))

    @property
    def padding_end(self) -> tuple[int, ...]:
        """Padding at the end of each axis; differs from the start where `output_padding` is set."""
        if not self.output_padding:
            return self.padding
        return tuple(p - e for p, e in zip(self.padding, self.output_padding, strict=True))

    @property
    def extent(self) -> tuple[int, ...]:
        """Voxels from the first to the last tap of the kernel, per axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.weight[2:], self.dilation, strict=True))

    @property
    def sound_in_bf16(self) -> bool:
        """Whether oneDNN's bfloat16 kernels can be trusted; they err with more padding than half the kernel."""
        return all(2 * p <= extent for p, extent in zip(self.padding, self.extent, strict=True))

    @property
    def weights_in_bf16(self) -> bool:
        """Whether the gradient of the weights can be computed in bfloat16.

        oneDNN's can be wrong or NaN where an axis has fewer voxels than the kernel (seen in 3.2.1 and 3.6.2).
        """
        axes = zip(self.source[2:], self.output[2:], self.extent, strict=True)
        return self.bf16 and all(min(source, output) >= extent for source, output, extent in axes)

    def weight_layout(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Logical dimensions ([G,] O, I, *kernel) and the strides, in elements, at which Paddle stores them."""
        kernel = self.weight[2:]
        inner = contiguous(self.weight)
        if not self.transposed:
            out, channels = self.weight[0] // self.groups, self.weight[1]
            logical, strides = (out, channels, *kernel), inner
            group_stride = out * inner[0]
        else:
            channels, out = self.weight[0] // self.groups, self.weight[1]
            logical, strides = (out, channels, *kernel), (inner[1], inner[0], *inner[2:])
            group_stride = channels * inner[0]
        if self.groups == 1:
            return logical, strides
        return (self.groups, *logical), (group_stride, *strides)


class Convolution:
    """Forward and backward of one convolution geometry; arrays are given by data pointer.

    Raises:
        OneDNNError: if oneDNN has no implementation for the geometry.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        g = geometry
        logical, strides = g.weight_layout()
        kinds = (dnn.BF16 if low else dnn.F32 for low in (g.bf16, g.source_bf16, g.output_bf16))
        arithmetic, source_kind, output_kind = kinds
        given = contiguous if g.plain else channels_last
        self._given = {
            "src": strided(g.source, given(g.source), source_kind),
            "weights": strided(logical, strides),
            "dst": strided(g.output, given(g.output), output_kind),
        }
        self._bias = strided((g.output[1],), (1,)) if g.bias else None
        self._sums_bias = g.bias and g.transposed and not g.plain
        self._source, self._output = self._ends(arithmetic)
        self._weights, self._weights_gradient = any_layout(logical, arithmetic), any_layout(logical)
        self._hint = self._describe("forward", self._source, self._weights, self._bias, self._output)
        self._forward = self._make(self._hint, ("src", "weights"), "dst")
        self._backward_data: Primitive | None = None
        self._backward_weights: Primitive | None = None

    def forward(self, source: int, weight: int, bias: int | None, output: int) -> None:
        """Write the convolution of `source` to `output`."""
        arguments = {dnn.ARG_SRC: source, dnn.ARG_WEIGHTS: weight, dnn.ARG_DST: output}
        self._forward(arguments if bias is None else {**arguments, dnn.ARG_BIAS: bias})

    def backward_data(self, gradient: int, weight: int, source_gradient: int) -> None:
        """Write the gradient with respect to the source."""
        if self._backward_data is None:
            operation = self._describe("backward_data", self._source, self._weights, self._output, hint=self._hint)
            self._backward_data = self._make(operation, ("diff_dst", "weights"), "diff_src")
        self._backward_data({dnn.ARG_DIFF_DST: gradient, dnn.ARG_WEIGHTS: weight, dnn.ARG_DIFF_SRC: source_gradient})

    def backward_weights(
        self, source: int, gradient: int, weight_gradient: int, bias_gradient: int | None = None
    ) -> None:
        """Write the gradients with respect to the weights and the bias."""
        if self._backward_weights is None:
            operation = self._describe_backward_weights()
            self._backward_weights = self._make(operation, ("src", "diff_dst"), "diff_weights")
        arguments = {dnn.ARG_SRC: source, dnn.ARG_DIFF_DST: gradient, dnn.ARG_DIFF_WEIGHTS: weight_gradient}
        if bias_gradient is not None and self._sums_bias:
            g = self.geometry
            channel_sums(g.output, dnn.BF16 if g.output_bf16 else dnn.F32)(gradient, bias_gradient)
        elif bias_gradient is not None:
            arguments[dnn.ARG_DIFF_BIAS] = bias_gradient
        self._backward_weights(arguments)

    def _ends(self, arithmetic: int) -> tuple[Owned, Owned]:
        shapes = (self.geometry.source, self.geometry.output)
        source, output = (strided(shape, channels_last(shape), arithmetic) for shape in shapes)
        return source, output

    def _describe_backward_weights(self) -> Owned:
        source, output, hint = self._source, self._output, self._hint
        bias = None if self._sums_bias else self._bias
        if self.geometry.bf16 and not self.geometry.weights_in_bf16:
            source, output = self._ends(dnn.F32)
            hint = self._describe("forward", source, self._weights_gradient, bias, output)
        return self._describe("backward_weights", source, self._weights_gradient, bias, output, hint=hint)

    def _describe(self, direction: str, *arrays: Handle | None, hint: Handle | None = None) -> Owned:
        g = self.geometry
        kind = "deconvolution" if g.transposed else "convolution"
        algorithm = dnn.DECONVOLUTION_DIRECT if g.transposed else dnn.CONVOLUTION_DIRECT
        window = (dims(g.stride), dims([d - 1 for d in g.dilation]), dims(g.padding), dims(g.padding_end))
        leading: tuple[Any, ...] = (dnn.FORWARD_TRAINING, algorithm) if hint is None else (algorithm,)
        trailing = () if hint is None else (hint,)
        return descriptor(f"{kind}_{direction}", *leading, *arrays, *window, *trailing)

    def _make(self, operation: Handle, inputs: Sequence[str], output: str) -> Primitive:
        operands = {}
        for name in (*inputs, output):
            argument, what = OPERANDS[name]
            given = self._given[name.removeprefix("diff_")]
            operands[argument] = Operand(given, query(operation, what), output=name == output)
        if self._bias is not None and output == "dst":
            operands[dnn.ARG_BIAS] = Operand(self._bias)
        if self._bias is not None and output == "diff_weights" and not self._sums_bias:
            operands[dnn.ARG_DIFF_BIAS] = Operand(self._bias, output=True)
        return Primitive(operation, operands)


OPERANDS = {
    "src": (dnn.ARG_SRC, dnn.QUERY_SRC),
    "weights": (dnn.ARG_WEIGHTS, dnn.QUERY_WEIGHTS),
    "dst": (dnn.ARG_DST, dnn.QUERY_DST),
    "diff_src": (dnn.ARG_DIFF_SRC, dnn.QUERY_DIFF_SRC),
    "diff_weights": (dnn.ARG_DIFF_WEIGHTS, dnn.QUERY_DIFF_WEIGHTS),
    "diff_dst": (dnn.ARG_DIFF_DST, dnn.QUERY_DIFF_DST),
}


@cached
def convolution(geometry: Geometry) -> Convolution:
    """The primitives for `geometry`.

    Raises:
        OneDNNError: oneDNN has no implementation for it.
    """
    return Convolution(geometry)
