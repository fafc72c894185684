"""Paddle tensors of shape (N, C, *spatial) whose memory is channels-last.

Such a tensor is an ordinary Paddle tensor with strides: every operation of Paddle takes it (and makes a plain copy
first), and the operations of this package know it by its strides and keep the layout. That spares a reorder before and
after each convolution, since channels-last is what oneDNN's fastest kernels work on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle

from medicalseg.ops import library as dnn
from medicalseg.ops import pool
from medicalseg.ops.primitives import channels_last, contiguous, copy_primitive

KINDS = {paddle.float32: dnn.F32, paddle.bfloat16: dnn.BF16}


def kind(x: paddle.Tensor) -> int:
    """oneDNN's number of the tensor's type."""
    return KINDS[x.dtype]


def has_strides(x: paddle.Tensor, strides: Sequence[int]) -> bool:
    """Whether the memory is laid out so; axes of one voxel do not count."""
    return all(own == wanted or size == 1 for own, wanted, size in zip(x.strides, strides, x.shape, strict=True))


def is_channels_last(x: paddle.Tensor) -> bool:
    """Whether the memory is channels-last; true also for arrays where that is no difference."""
    return has_strides(x, channels_last(x.shape))


def is_fast(x: Any) -> bool:
    """Whether `x` comes from an accelerated layer: an eager float tensor on the CPU with channels-last memory."""
    return (
        paddle.in_dynamic_mode()
        and x.ndim > 2
        and x.place.is_cpu_place()
        and x.dtype in KINDS
        and (x.dtype == paddle.bfloat16 or not x.is_contiguous())
        and is_channels_last(x)
    )


def empty(shape: Sequence[int], dtype: Any) -> paddle.Tensor:
    """Uninitialised (N, C, *spatial) with channels-last memory."""
    return _channels_second(pool.empty([shape[0], *shape[2:], shape[1]], dtype))


def view(x: paddle.Tensor) -> paddle.Tensor:
    """Another tensor on the same channels-last memory."""
    return _channels_second(x.transpose([0, *range(2, x.ndim), 1]))


def trained(*tensors: paddle.Tensor) -> tuple[bool, ...]:
    """Which of them want a gradient; Paddle insists on None for the others."""
    return tuple(not tensor.stop_gradient for tensor in tensors)


def only(wanted: Sequence[bool], gradients: Sequence[paddle.Tensor]) -> tuple[paddle.Tensor | None, ...]:
    """The gradients that `trained` says are wanted, None for the others."""
    return tuple(value if want else None for want, value in zip(wanted, gradients, strict=True))


def taken(context: Any) -> tuple[paddle.Tensor, ...]:
    """What a PyLayer saved for its backward, which gives it up: Paddle would keep it to the end of the whole pass."""
    saved = tuple(context.saved_tensor())
    context.container = ()
    return saved


def shared(x: paddle.Tensor) -> paddle.Tensor:
    """`x` for a second owner: a view, or a copy where Paddle would add to a plain `x` in place."""
    return copy(x, empty(x.shape, x.dtype)) if has_strides(x, contiguous(x.shape)) else view(x)


def _channels_second(stored: paddle.Tensor) -> paddle.Tensor:
    return stored.transpose([0, stored.ndim - 1, *range(1, stored.ndim - 1)])


def copy(x: paddle.Tensor, target: paddle.Tensor, source_offset: int = 0, target_offset: int = 0) -> paddle.Tensor:
    """Copy between two layouts and number types; `target`'s or `x`'s channels may be a part of the other's.

    Args:
        x: (N, C, *spatial).
        target: receives it.
        source_offset: elements to skip in `x`, whose first channels are then the ones after these.
        target_offset: likewise in `target`.
    """
    shape = (x.shape[0], min(x.shape[1], target.shape[1]), *x.shape[2:])
    primitive = copy_primitive(shape, tuple(x.strides), kind(x), tuple(target.strides), kind(target))
    addresses = (x.data_ptr() + source_offset * x.element_size(), target.data_ptr())
    primitive({dnn.ARG_FROM: addresses[0], dnn.ARG_TO: addresses[1] + target_offset * target.element_size()})
    return target


def as_channels_last(x: paddle.Tensor, dtype: Any = None) -> paddle.Tensor:
    """`x` itself if it is so already, else a copy."""
    dtype = dtype or x.dtype
    if x.dtype == dtype and is_channels_last(x):
        return x
    return copy(x, empty(x.shape, dtype))


def as_plain(x: paddle.Tensor) -> paddle.Tensor:
    """`x` itself if it is float32 and plain already, else a copy."""
    if x.dtype == paddle.float32 and has_strides(x, contiguous(x.shape)):
        return x
    return copy(x, pool.empty(x.shape, paddle.float32))
