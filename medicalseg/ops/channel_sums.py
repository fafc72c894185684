"""Sums over batch and space of channels-last arrays, as products with a row of ones."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import paddle

from medicalseg.ops import library as dnn
from medicalseg.ops.primitives import Operand, Primitive, cached, contiguous, descriptor, strided

KINDS = {dnn.F32: paddle.float32, dnn.BF16: paddle.bfloat16}


class ChannelSums:
    """Sums of one shape; a product keeps them in float32 and reads the array once.

    The channels of a whole line of voxels are the columns of the product, so that each sum has few terms; the line is
    added up at the end.

    Args:
        shape: (N, C, *spatial).
        kind: oneDNN's number type of the array.
    """

    def __init__(self, shape: Sequence[int], kind: int) -> None:
        self._line, self._channels = shape[-1], shape[1]
        rows, columns = prod(shape) // (self._line * self._channels), self._line * self._channels
        sizes = ((1, rows), (rows, columns), (1, columns))
        ones, values, result = (
            strided(size, contiguous(size), number) for size, number in zip(sizes, (kind, kind, dnn.F32), strict=True)
        )
        self._ones = paddle.ones([rows], "float32").astype(KINDS[kind])
        operands = {
            dnn.ARG_SRC: Operand(ones),
            dnn.ARG_WEIGHTS: Operand(values),
            dnn.ARG_DST: Operand(result, output=True),
        }
        self._product = Primitive(descriptor("matmul", ones, values, None, result), operands)

    def __call__(self, address: int, result: int) -> None:
        """Write the (C,) float32 sums of the channels-last array at `address` to `result`."""
        sums = np.empty((self._line, self._channels), np.float32)
        self._product({dnn.ARG_SRC: self._ones.data_ptr(), dnn.ARG_WEIGHTS: address, dnn.ARG_DST: sums.ctypes.data})
        target: Any = (ctypes.c_float * self._channels).from_address(result)
        np.sum(sums, axis=0, out=np.ndarray((self._channels,), np.float32, target))


@cached
def channel_sums(shape: tuple[int, ...], kind: int) -> ChannelSums:
    """The sums of arrays of a shape.

    Raises:
        OneDNNError: oneDNN has no implementation for it.
    """
    return ChannelSums(shape, kind)
