"""Memory for large activations that is kept from step to step.

Blocks that go back to the kernel are paid for again in page faults; blocks that stay with the C allocator are split and
no longer fit the next large one, so that a training step takes up to twice what it needs. Here freed blocks are kept
whole and given out again for arrays of at least half their size, and idle ones are unmapped before the process would
hold more than its arrays ever took at once.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import weakref
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import paddle

SMALLEST = 2**20
PAGE = 2**21
SLACK = 2
STORED = {paddle.float32: np.float32, paddle.bfloat16: np.int16}


class Pool:
    """Memory blocks by size.

    Attributes:
        live: bytes in use.
        mapped: bytes in use or idle.
        peak: most bytes that were in use at once; `mapped` does not exceed it.
    """

    def __init__(self) -> None:
        self.live = self.mapped = self.peak = 0
        self._idle: list[mmap.mmap] = []
        self._lock = threading.RLock()

    def array(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        """Uninitialised array; its block comes back when nobody refers to it any more."""
        size = prod(shape) * np.dtype(dtype).itemsize
        block = self._take(-(-size // PAGE) * PAGE)
        whole = np.frombuffer(block, dtype, prod(shape))  # what every view of it refers to
        weakref.finalize(whole, self._give_back, block).atexit = False
        return whole.reshape(tuple(shape))

    def _take(self, size: int) -> mmap.mmap:
        with self._lock:
            fitting = [block for block in self._idle if size <= len(block) <= SLACK * size]
            block = min(fitting, key=len) if fitting else self._map(size)
            if fitting:
                self._idle.remove(block)
            self.live += len(block)
            self.peak = max(self.peak, self.live)
            return block

    def _map(self, size: int) -> mmap.mmap:
        while self._idle and self.mapped + size > max(self.peak, self.live + size):
            self.mapped -= len(self._idle.pop(0))
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.mapped += size
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a kernel without huge pages
                block.madvise(mmap.MADV_HUGEPAGE)
        return block

    def renew_lock(self) -> None:
        """For a forked process, whose copy another thread may have held."""
        self._lock = threading.RLock()

    def _give_back(self, block: mmap.mmap) -> None:
        with self._lock:
            self.live -= len(block)
            self._idle.append(block)


_pool = Pool()


def _renew_after_fork() -> None:
    global _pool
    _pool.renew_lock()
    _pool = Pool()


os.register_at_fork(after_in_child=_renew_after_fork)


def empty(shape: Sequence[int], dtype: Any) -> paddle.Tensor:
    """Uninitialised plain tensor, float32 or bfloat16; large ones from the pool where Paddle can share its memory."""
    if prod(shape) * (4 if dtype == paddle.float32 else 2) < SMALLEST or not _shares_memory():
        return paddle.empty(list(shape), dtype)
    tensor = _as_tensor(_pool.array(shape, STORED[dtype]))
    return tensor if tensor.dtype == dtype else paddle.view(tensor, dtype)


def _as_tensor(array: np.ndarray) -> paddle.Tensor:
    return paddle.utils.dlpack.from_dlpack(array.__dlpack__())


@lru_cache(maxsize=1)
def _shares_memory() -> bool:
    """Whether a tensor from DLPack uses the array's memory; Paddle 2.6 copies it."""
    array = np.zeros(4, np.float32)
    return bool(_as_tensor(array).data_ptr() == array.ctypes.data)
