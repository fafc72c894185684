"""How a data worker hands its batches over: through memory that it shares with its parent.

A pipe moves 64 KiB at a time, with both sides busy, and a worker that writes to it cannot begin the next batch. Here
only a description goes through the pipe.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np

_ALIGNMENT = 64
_NARROW = (np.uint8, np.int16, np.int32)
Message = tuple[str, Any]


class Exchange:
    """Some slots of shared memory, filled by a forked child in turn and emptied by the parent in the same order.

    Integers travel in the narrowest type that holds them and arrive in their own. Where the system has no such memory,
    and for batches that are not a tuple of arrays, everything goes through the pipe.

    Args:
        slots: batches that may wait.
    """

    def __init__(self, slots: int) -> None:
        self._next = 0
        self._maps: dict[int, mmap.mmap] = {}
        self._files: list[int] = []
        try:
            self._files = [os.memfd_create("medicalseg-batch") for _ in range(slots)]
        except (AttributeError, OSError):
            self.close()

    def put(self, batch: Any) -> Message:
        """In the child: store a batch; what it returns is for `take`."""
        if not self._files or not _is_arrays(batch):
            return "object", batch
        slot, self._next = self._next, (self._next + 1) % len(self._files)
        entries, size = _layout(batch)
        try:
            memory = self._memory(slot, size)
        except OSError:
            return "object", batch
        for array, (_, stored, shape, offset) in zip(batch, entries, strict=True):
            np.copyto(_view(memory, stored, shape, offset), array, casting="unsafe")
        return "arrays", (slot, size, entries)

    def take(self, message: Message) -> Any:
        """In the parent: the batch that a message of `put` describes."""
        kind, content = message
        if kind == "object":
            return content
        slot, size, entries = content
        memory = self._memory(slot, size)
        return tuple(_view(memory, stored, shape, at).astype(dtype) for dtype, stored, shape, at in entries)

    def close(self) -> None:
        """Give the memory back."""
        for memory in self._maps.values():
            memory.close()
        for file in self._files:
            os.close(file)
        self._maps, self._files = {}, []

    def _memory(self, slot: int, size: int) -> mmap.mmap:
        memory = self._maps.get(slot)
        if memory is not None and len(memory) >= size:
            return memory
        if memory is not None:
            self._maps.pop(slot).close()
        if os.fstat(self._files[slot]).st_size < size:
            os.ftruncate(self._files[slot], size)
        self._maps[slot] = mmap.mmap(self._files[slot], size)
        return self._maps[slot]


def _is_arrays(batch: Any) -> bool:
    return (
        isinstance(batch, tuple)
        and type(batch) is tuple
        and len(batch) > 0
        and all(type(array) is np.ndarray and array.dtype.kind in "biuf" for array in batch)
    )


def _layout(batch: tuple[np.ndarray, ...]) -> tuple[list[tuple[str, str, tuple[int, ...], int]], int]:
    """For each array its type, the type it is stored in, its shape and its first byte; and all bytes."""
    entries, offset = [], 0
    for array in batch:
        stored = _narrowest(array)
        entries.append((array.dtype.str, stored.str, array.shape, offset))
        offset += -(-array.size * stored.itemsize // _ALIGNMENT) * _ALIGNMENT
    return entries, max(offset, _ALIGNMENT)


def _narrowest(array: np.ndarray) -> np.dtype:
    if array.dtype.kind not in "iu" or not array.size:
        return array.dtype
    low, high = int(array.min()), int(array.max())
    for kind in _NARROW:
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max and np.dtype(kind).itemsize < array.dtype.itemsize:
            return np.dtype(kind)
    return array.dtype


def _view(memory: mmap.mmap, dtype: str, shape: tuple[int, ...], offset: int) -> np.ndarray:
    return np.ndarray(shape, np.dtype(dtype), memory, offset)
