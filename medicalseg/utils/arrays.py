"""NumPy arrays on the memory of Paddle's tensors."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import paddle


def is_host_array(tensor: paddle.Tensor) -> bool:
    """Whether `host_array` gives the tensor's own memory: an eager float32 or float64 tensor on the CPU."""
    import paddle

    return bool(
        paddle.in_dynamic_mode() and tensor.place.is_cpu_place() and tensor.dtype in (paddle.float32, paddle.float64)
    )


def host_array(tensor: paddle.Tensor) -> np.ndarray:
    """The elements of a tensor of a type that NumPy has.

    On the CPU it is the tensor's own memory, where `Tensor.numpy()` copies, and lives as long as that of the tensor;
    what is written into it is written into the tensor. From another device it is a copy.
    """
    if not tensor.place.is_cpu_place() or not tensor.size:
        return np.asarray(tensor.numpy())
    dtype = np.dtype(str(tensor.dtype).removeprefix("paddle."))
    strides = tensor.strides
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, strides, strict=True))
    buffer = (ctypes.c_byte * (extent * dtype.itemsize)).from_address(tensor.data_ptr())
    buffer.owner = tensor
    return np.ndarray(tensor.shape, dtype, buffer, strides=[stride * dtype.itemsize for stride in strides])
