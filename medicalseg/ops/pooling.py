"""Max and average pooling of channels-last arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import paddle

from medicalseg.ops import layout
from medicalseg.ops import library as dnn
from medicalseg.ops.primitives import (
    Operand,
    Primitive,
    byte_size,
    cached,
    channels_last,
    descriptor,
    dims,
    query,
    strided,
)


@dataclass(frozen=True)
class Window:
    """What decides the primitives of a pooling.

    Attributes:
        source: (N, C, *spatial).
        kind: oneDNN's number type.
        algorithm: oneDNN's number of the pooling.
        kernel, stride, padding: per spatial axis, in voxels.
    """

    source: tuple[int, ...]
    kind: int
    algorithm: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]

    @property
    def output(self) -> tuple[int, ...]:
        """(N, C, *spatial) of the result; a window that does not fit whole is left out."""
        axes = zip(self.source[2:], self.kernel, self.stride, self.padding, strict=True)
        return (*self.source[:2], *((n + 2 * p - k) // s + 1 for n, k, s, p in axes))

    @property
    def padding_end(self) -> tuple[int, ...]:
        """Padding after each axis that makes oneDNN's output size the same."""
        axes = zip(self.source[2:], self.output[2:], self.kernel, self.stride, self.padding, strict=True)
        return tuple((o - 1) * s + k - n - p for n, o, k, s, p in axes)


class Pooling:
    """Forward and backward primitive of one shape; `workspace` is the size in bytes of what backward needs."""

    def __init__(self, window: Window) -> None:
        source = strided(window.source, channels_last(window.source), window.kind)
        output = strided(window.output, channels_last(window.output), window.kind)
        shape = [dims(window.stride), dims(window.kernel), dims([0] * len(window.kernel))]
        shape += [dims(window.padding), dims(window.padding_end)]
        forward = descriptor("pooling_forward", dnn.FORWARD_TRAINING, window.algorithm, source, output, *shape)
        backward = descriptor("pooling_backward", window.algorithm, source, output, *shape, forward)
        workspace = query(forward, dnn.QUERY_WORKSPACE)
        self.workspace = byte_size(workspace) if workspace.value else 0
        ends = {dnn.ARG_SRC: Operand(source), dnn.ARG_DST: Operand(output, output=True)}
        gradients = {dnn.ARG_DIFF_DST: Operand(output), dnn.ARG_DIFF_SRC: Operand(source, output=True)}
        if self.workspace:
            ends[dnn.ARG_WORKSPACE] = Operand(workspace, output=True)
            gradients[dnn.ARG_WORKSPACE] = Operand(workspace)
        self.forward, self.backward = Primitive(forward, ends), Primitive(backward, gradients)


@cached
def pooling(window: Window) -> Pooling:
    """The primitives for `window`.

    Raises:
        OneDNNError: oneDNN has no implementation for it.
    """
    return Pooling(window)


class PoolingFunction(paddle.autograd.PyLayer):
    """Pooling with a gradient to its source."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, window: Window) -> paddle.Tensor:
        """x: (N, C, *spatial) with channels-last memory."""
        result, workspace = pool(x, window)
        ctx.window, ctx.dtype = window, x.dtype
        ctx.save_for_backward(workspace)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        """Gradient of x."""
        (workspace,) = layout.taken(ctx)
        gradient = layout.as_channels_last(gradient, ctx.dtype)
        result = layout.empty(ctx.window.source, ctx.dtype)
        addresses = {dnn.ARG_DIFF_DST: gradient.data_ptr(), dnn.ARG_DIFF_SRC: result.data_ptr()}
        primitives = pooling(ctx.window)
        if primitives.workspace:
            addresses[dnn.ARG_WORKSPACE] = workspace.data_ptr()
        primitives.backward(addresses)
        return result


def pool(x: paddle.Tensor, window: Window) -> tuple[paddle.Tensor, paddle.Tensor]:
    """The pooled array and what its gradient needs."""
    primitives = pooling(window)
    result = layout.empty(window.output, x.dtype)
    workspace = paddle.empty([max(1, primitives.workspace)], "uint8")
    addresses = {dnn.ARG_SRC: x.data_ptr(), dnn.ARG_DST: result.data_ptr()}
    if primitives.workspace:
        addresses[dnn.ARG_WORKSPACE] = workspace.data_ptr()
    primitives.forward(addresses)
    return result, workspace
