"""oneDNN primitives whose arrays are given by address.

A primitive works on memory descriptors: shape, strides and number type. Where the caller's array is laid out otherwise
than the primitive wants it, a reorder goes between, through scratch memory that is one arena for the whole process and
only grows to the largest need of a single call. A lock keeps threads apart; a forked child starts with fresh caches.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from math import prod
from typing import Any, ParamSpec, TypeVar

from medicalseg.ops import library as dnn
from medicalseg.ops.library import Argument, Handle, Library, OneDNNError

CACHED_SHAPES = 256
ALIGNMENT = 64

P = ParamSpec("P")
T = TypeVar("T")


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides, in elements, of a plain array."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def channels_last(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides, in elements, of (N, C, *spatial) stored as (N, *spatial, C)."""
    _, channels, *spatial = shape
    inner = tuple(channels * stride for stride in contiguous(spatial))
    return (channels * prod(spatial), 1, *inner)


def dims(values: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    """A dnnl_dims_t."""
    return (ctypes.c_int64 * len(values))(*values)


class Owned(Handle):
    """A handle that is given back to oneDNN when nobody holds it any more."""

    release: Any = None
    process = 0
    _this_process = staticmethod(os.getpid)

    def __del__(self) -> None:
        if self.release is not None and self.value and self.process == self._this_process():
            self.release(self)


def create(kind: str, function: str, *arguments: Any) -> Owned:
    """Call `dnnl_<function>` and own what it makes.

    Args:
        kind: what is made: memory_desc, memory, primitive_desc or primitive; decides how it is released.
        function: name without the prefix.
        arguments: all arguments but the first, which receives the handle.

    Raises:
        OneDNNError: it was refused.
    """
    lib = library()
    handle = Owned()
    lib.check(getattr(lib.c, f"dnnl_{function}")(ctypes.byref(handle), *arguments))
    handle.release = getattr(lib.c, f"dnnl_{kind}_destroy")
    handle.process = os.getpid()
    return handle


def library() -> Library:
    """The library.

    Raises:
        OneDNNError: there is none.
    """
    lib = dnn.load()
    if lib is None:
        raise OneDNNError("no oneDNN library")
    return lib


def strided(shape: Sequence[int], strides: Sequence[int], kind: int = dnn.F32) -> Owned:
    """Descriptor of an array with the given strides in elements."""
    return create(
        "memory_desc", "memory_desc_create_with_strides", len(shape), dims(shape), kind, dims(strides)
    )  # fmt: skip


def any_layout(shape: Sequence[int], kind: int = dnn.F32) -> Owned:
    """Descriptor that leaves the layout to oneDNN."""
    return create("memory_desc", "memory_desc_create_with_tag", len(shape), dims(shape), kind, dnn.TAG_ANY)


def descriptor(operation: str, *arguments: Any) -> Owned:
    """Primitive descriptor of an operation such as "convolution_forward", default attributes."""
    return create("primitive_desc", f"{operation}_primitive_desc_create", library().engine, *arguments, None)


def query(primitive_descriptor: Handle, what: int) -> Handle:
    """The layout an operand shall have; lives as long as the primitive descriptor."""
    function = library().c.dnnl_primitive_desc_query_md
    return Handle(function(primitive_descriptor, what, 0))


def byte_size(memory_descriptor: Handle) -> int:
    """Bytes an array of this layout takes."""
    return int(library().c.dnnl_memory_desc_get_size(memory_descriptor))


class _Arena:
    """Scratch memory, aligned, reused by every call."""

    def __init__(self) -> None:
        self._buffer: ctypes.Array[ctypes.c_char] | None = None
        self._capacity = 0

    def place(self, sizes: Sequence[int]) -> list[int]:
        """Addresses of disjoint blocks of the given sizes in bytes."""
        rounded = [-(-size // ALIGNMENT) * ALIGNMENT for size in sizes]
        need = sum(rounded) + ALIGNMENT
        if need > self._capacity:
            self._buffer, self._capacity = None, 0
            self._buffer = ctypes.create_string_buffer(need)
            self._capacity = need
        base = -(-ctypes.addressof(self._buffer) // ALIGNMENT) * ALIGNMENT if self._buffer is not None else 0
        return [base + offset for offset in itertools.accumulate([0, *rounded[:-1]])]


_arena = _Arena()
_lock = threading.RLock()
_caches: list[Any] = []


def cached(make: Callable[P, T]) -> Callable[P, T]:
    """Remember what `make` builds for the last shapes, and which ones oneDNN refused."""

    @lru_cache(maxsize=CACHED_SHAPES)
    def remembered(*args: Any) -> T | OneDNNError:
        try:
            return make(*args)  # type: ignore[call-arg]
        except OneDNNError as error:
            return error

    @wraps(make)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        result = remembered(*args)
        if isinstance(result, OneDNNError):
            raise OneDNNError(str(result))
        return result

    _caches.append(remembered)
    return call


def clear_caches() -> None:
    """Forget every primitive."""
    for cache in _caches:
        cache.cache_clear()


def _renew_after_fork() -> None:
    global _lock, _arena
    _lock, _arena = threading.RLock(), _Arena()
    clear_caches()


os.register_at_fork(after_in_child=_renew_after_fork)


class Operand:
    """One array of a primitive: the caller's layout, the primitive's layout, and the way between them.

    Args:
        given: the caller's layout.
        wanted: the primitive's; None: the same.
        output: whether the primitive writes it.
    """

    def __init__(self, given: Handle, wanted: Handle | None = None, output: bool = False) -> None:
        lib = library()
        wanted = given if wanted is None else wanted
        self.output = output
        self.given = create("memory", "memory_create", given, lib.engine, None)
        self.direct = bool(lib.c.dnnl_memory_desc_equal(given, wanted))
        self.inner = self.given if self.direct else create("memory", "memory_create", wanted, lib.engine, None)
        self.scratch = 0 if self.direct else byte_size(wanted)
        if not self.direct:
            self._reorder = _reorder(*((wanted, given) if output else (given, wanted)))

    def bind(self, address: int, scratch: int) -> None:
        """Point the memory objects at the caller's array and at the scratch block."""
        lib = library()
        lib.check(lib.c.dnnl_memory_set_data_handle(self.given, Handle(address)))
        if not self.direct:
            lib.check(lib.c.dnnl_memory_set_data_handle(self.inner, Handle(scratch)))

    def move(self) -> None:
        """Reorder between the two layouts, if they differ."""
        if not self.direct:
            ends = (self.inner, self.given) if self.output else (self.given, self.inner)
            _execute(self._reorder, [(dnn.ARG_FROM, ends[0]), (dnn.ARG_TO, ends[1])])


class Primitive:
    """A oneDNN primitive with its operands by argument index.

    Args:
        primitive_descriptor: what to compute.
        operands: its arrays.
    """

    def __init__(self, primitive_descriptor: Handle, operands: Mapping[int, Operand]) -> None:
        self.operands = dict(operands)
        self.handle = create("primitive", "primitive_create", primitive_descriptor)

    def __call__(self, addresses: Mapping[int, int]) -> None:
        """Run on the arrays at `addresses` (argument index to data pointer)."""
        lib = library()
        with _lock:
            blocks = _arena.place([operand.scratch for operand in self.operands.values()])
            for (index, operand), block in zip(self.operands.items(), blocks, strict=True):
                operand.bind(addresses[index], block)
                if not operand.output:
                    operand.move()
            _execute(self.handle, [(index, operand.inner) for index, operand in self.operands.items()])
            for operand in self.operands.values():
                if operand.output:
                    operand.move()
            lib.check(lib.c.dnnl_stream_wait(lib.stream))


def _reorder_descriptor(source: Handle, target: Handle) -> Owned:
    engine = library().engine
    return create("primitive_desc", "reorder_primitive_desc_create", source, engine, target, engine, None)


def _reorder(source: Handle, target: Handle) -> Owned:
    return create("primitive", "primitive_create", _reorder_descriptor(source, target))


def _execute(primitive: Handle, arguments: Sequence[tuple[int, Handle]]) -> None:
    lib = library()
    packed = (Argument * len(arguments))(*(Argument(index, memory) for index, memory in arguments))
    lib.check(lib.c.dnnl_primitive_execute(primitive, lib.stream, len(packed), packed))


@cached
def copy_primitive(
    shape: tuple[int, ...], source_strides: tuple[int, ...], source_kind: int, strides: tuple[int, ...], kind: int
) -> Primitive:
    """Copy of an array into another layout or number type, from ARG_FROM to ARG_TO."""
    source, target = strided(shape, source_strides, source_kind), strided(shape, strides, kind)
    operands = {dnn.ARG_FROM: Operand(source), dnn.ARG_TO: Operand(target, output=True)}
    return Primitive(_reorder_descriptor(source, target), operands)
