"""Convolutions and transposed convolutions of plain arrays as sets of oneDNN primitives.

A `Convolution` holds the primitives of one shape: forward, backward to data and backward to weights, with the reorders
from Paddle's plain layout to the layout oneDNN prefers and back. The scratch memory for the reordered arrays is one
arena for the whole process that only grows to the largest need of a single call; a lock keeps threads apart.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from medicalseg.ops import library as dnn
from medicalseg.ops.library import Argument, Handle, Library, OneDNNError

CACHED_SHAPES = 256
ALIGNMENT = 64


@dataclass(frozen=True)
class Geometry:
    """Everything that decides which primitives a convolution needs.

    Attributes:
        source: (N, I, *spatial).
        weight: as Paddle stores it: (O, I/groups, *kernel), transposed (I, O/groups, *kernel).
        stride, padding, dilation: per spatial axis, in voxels.
        output_padding: extra voxels at the end of each axis of a transposed convolution.
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
    def sound_in_bf16(self) -> bool:
        """Whether oneDNN's bfloat16 kernels can be trusted.

        Their weight gradient is wrong or NaN where an axis has fewer voxels than the kernel (seen in 3.2.1 and 3.6.2).
        """
        inner = self.source if self.transposed else self.output
        extents = ((k - 1) * d + 1 for k, d in zip(self.weight[2:], self.dilation, strict=True))
        return all(size >= extent for size, extent in zip(inner[2:], extents, strict=True))

    def weight_layout(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Logical dimensions ([G,] O, I, *kernel) and the strides, in elements, at which Paddle stores them."""
        kernel = self.weight[2:]
        inner = _contiguous(self.weight)
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


def _contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _dims(values: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(values))(*values)


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
            self._buffer = None
            self._buffer = ctypes.create_string_buffer(need)
            self._capacity = need
        base = -(-ctypes.addressof(self._buffer) // ALIGNMENT) * ALIGNMENT if self._buffer is not None else 0
        return [base + offset for offset in itertools.accumulate([0, *rounded[:-1]])]


_arena = _Arena()
_lock = threading.RLock()


def _renew_after_fork() -> None:
    global _lock, _arena
    _lock, _arena = threading.RLock(), _Arena()
    convolution.cache_clear()


os.register_at_fork(after_in_child=_renew_after_fork)


class _Operand:
    """One array of a primitive: the caller's plain layout, the primitive's layout, and the way between them."""

    def __init__(self, lib: Library, plain: Handle, wanted: Handle, output: bool) -> None:
        self.lib, self.output = lib, output
        self.size = int(lib.c.dnnl_memory_desc_get_size(wanted))
        self.plain = _memory(lib, plain)
        self.direct = bool(lib.c.dnnl_memory_desc_equal(plain, wanted))
        self.inner = self.plain if self.direct else _memory(lib, wanted)
        if not self.direct:
            ends = (wanted, plain) if output else (plain, wanted)
            self._reorder = _reorder(lib, *ends)

    def bind(self, address: int, scratch: int) -> None:
        """Point the memory objects at the caller's array and at the scratch block."""
        self.lib.check(self.lib.c.dnnl_memory_set_data_handle(self.plain, Handle(address)))
        if not self.direct:
            self.lib.check(self.lib.c.dnnl_memory_set_data_handle(self.inner, Handle(scratch)))

    def move(self) -> None:
        """Reorder between the two layouts, if they differ."""
        if not self.direct:
            ends = (self.inner, self.plain) if self.output else (self.plain, self.inner)
            _execute(self.lib, self._reorder, [(dnn.ARG_FROM, ends[0]), (dnn.ARG_TO, ends[1])])


class _Primitive:
    """A oneDNN primitive with its operands by argument index."""

    def __init__(self, lib: Library, descriptor: Handle, operands: dict[int, _Operand]) -> None:
        self.lib, self.operands = lib, operands
        self.handle = Handle()
        lib.check(lib.c.dnnl_primitive_create(ctypes.byref(self.handle), descriptor))

    def __call__(self, addresses: dict[int, int]) -> None:
        """Run on the arrays at `addresses` (argument index to data pointer)."""
        with _lock:
            blocks = _arena.place([0 if o.direct else o.size for o in self.operands.values()])
            for (index, operand), block in zip(self.operands.items(), blocks, strict=True):
                operand.bind(addresses[index], block)
                if not operand.output:
                    operand.move()
            _execute(self.lib, self.handle, [(index, operand.inner) for index, operand in self.operands.items()])
            for operand in self.operands.values():
                if operand.output:
                    operand.move()
            self.lib.check(self.lib.c.dnnl_stream_wait(self.lib.stream))


class Convolution:
    """Forward and backward of one convolution geometry; arrays are given by data pointer.

    Raises:
        OneDNNError: if oneDNN has no implementation for the geometry.
    """

    def __init__(self, lib: Library, geometry: Geometry) -> None:
        self.lib, self.geometry = lib, geometry
        g = geometry
        logical, strides = g.weight_layout()
        compute = dnn.BF16 if g.bf16 else dnn.F32
        self._plain = {
            "src": _plain(lib, g.source, _contiguous(g.source)),
            "weights": _plain(lib, logical, strides),
            "dst": _plain(lib, g.output, _contiguous(g.output)),
        }
        self._bias = _plain(lib, (g.output[1],), (1,)) if g.bias else None
        self._low = {"src": _any(lib, g.source, compute), "weights": _any(lib, logical, compute)}
        self._low["dst"] = _any(lib, g.output, compute)
        self._full = {"src": _any(lib, g.source), "weights": _any(lib, logical), "dst": _any(lib, g.output)}
        window = (_dims(g.stride), _dims([d - 1 for d in g.dilation]), _dims(g.padding), _dims(g.padding_end))
        self._window = window
        self._kind = "deconvolution" if g.transposed else "convolution"
        self._algorithm = dnn.DECONVOLUTION_DIRECT if g.transposed else dnn.CONVOLUTION_DIRECT
        self._hint = self._descriptor(
            "forward", dnn.FORWARD_TRAINING, self._low["src"], self._low["weights"], self._bias, self._full["dst"]
        )
        self._forward = self._make(
            self._hint,
            {dnn.ARG_SRC: ("src", dnn.QUERY_SRC), dnn.ARG_WEIGHTS: ("weights", dnn.QUERY_WEIGHTS)},
            {dnn.ARG_DST: ("dst", dnn.QUERY_DST)},
            dnn.ARG_BIAS,
        )
        self._backward_data: _Primitive | None = None
        self._backward_weights: _Primitive | None = None

    def forward(self, source: int, weight: int, bias: int | None, output: int) -> None:
        """Write the convolution of `source` to `output`."""
        arguments = {dnn.ARG_SRC: source, dnn.ARG_WEIGHTS: weight, dnn.ARG_DST: output}
        self._forward(arguments if bias is None else {**arguments, dnn.ARG_BIAS: bias})

    def backward_data(self, gradient: int, weight: int, source_gradient: int) -> None:
        """Write the gradient with respect to the source."""
        if self._backward_data is None:
            self._backward_data = self._make_backward_data()
        self._backward_data({dnn.ARG_DIFF_DST: gradient, dnn.ARG_WEIGHTS: weight, dnn.ARG_DIFF_SRC: source_gradient})

    def backward_weights(self, source: int, gradient: int, weight_gradient: int, bias_gradient: int | None) -> None:
        """Write the gradients with respect to the weights and the bias.

        In bfloat16 the bias gradient is not computed here: a sum over all voxels wants unrounded gradients.
        """
        if self._backward_weights is None:
            self._backward_weights = self._make_backward_weights()
        arguments = {dnn.ARG_SRC: source, dnn.ARG_DIFF_DST: gradient, dnn.ARG_DIFF_WEIGHTS: weight_gradient}
        if bias_gradient is not None:
            arguments[dnn.ARG_DIFF_BIAS] = bias_gradient
        self._backward_weights(arguments)

    def _make_backward_data(self) -> _Primitive:
        low, full = self._low, self._full
        descriptor = self._descriptor("backward_data", full["src"], low["weights"], low["dst"], hint=self._hint)
        return self._make(
            descriptor,
            {dnn.ARG_DIFF_DST: ("dst", dnn.QUERY_DIFF_DST), dnn.ARG_WEIGHTS: ("weights", dnn.QUERY_WEIGHTS)},
            {dnn.ARG_DIFF_SRC: ("src", dnn.QUERY_DIFF_SRC)},
        )

    def _make_backward_weights(self) -> _Primitive:
        low, full = self._low, self._full
        bias = None if self.geometry.bf16 else self._bias
        descriptor = self._descriptor(
            "backward_weights", low["src"], full["weights"], bias, low["dst"], hint=self._hint
        )
        return self._make(
            descriptor,
            {dnn.ARG_SRC: ("src", dnn.QUERY_SRC), dnn.ARG_DIFF_DST: ("dst", dnn.QUERY_DIFF_DST)},
            {dnn.ARG_DIFF_WEIGHTS: ("weights", dnn.QUERY_DIFF_WEIGHTS)},
            None if self.geometry.bf16 else dnn.ARG_DIFF_BIAS,
        )

    def _descriptor(self, direction: str, *arrays: Handle | int | None, hint: Handle | None = None) -> Handle:
        create = getattr(self.lib.c, f"dnnl_{self._kind}_{direction}_primitive_desc_create")
        descriptor = Handle()
        leading = arrays[:1] if direction == "forward" else ()
        rest = arrays[1:] if direction == "forward" else arrays
        trailing = (None,) if direction == "forward" else (hint, None)
        self.lib.check(
            create(
                ctypes.byref(descriptor), self.lib.engine, *leading, self._algorithm, *rest, *self._window, *trailing
            )
        )
        return descriptor

    def _make(
        self,
        descriptor: Handle,
        inputs: dict[int, tuple[str, int]],
        outputs: dict[int, tuple[str, int]],
        bias: int | None = None,
    ) -> _Primitive:
        operands = {}
        for output, group in ((False, inputs), (True, outputs)):
            for index, (name, query) in group.items():
                wanted = Handle(self.lib.c.dnnl_primitive_desc_query_md(descriptor, query, 0))
                operands[index] = _Operand(self.lib, self._plain[name], wanted, output)
        if bias is not None and self._bias is not None:
            operands[bias] = _Operand(self.lib, self._bias, self._bias, output=bias == dnn.ARG_DIFF_BIAS)
        return _Primitive(self.lib, descriptor, operands)


def _plain(lib: Library, shape: Sequence[int], strides: Sequence[int]) -> Handle:
    descriptor = Handle()
    create = lib.c.dnnl_memory_desc_create_with_strides
    lib.check(create(ctypes.byref(descriptor), len(shape), _dims(shape), dnn.F32, _dims(strides)))
    return descriptor


def _any(lib: Library, shape: Sequence[int], kind: int = dnn.F32) -> Handle:
    descriptor = Handle()
    create = lib.c.dnnl_memory_desc_create_with_tag
    lib.check(create(ctypes.byref(descriptor), len(shape), _dims(shape), kind, dnn.TAG_ANY))
    return descriptor


def _memory(lib: Library, descriptor: Handle) -> Handle:
    memory = Handle()
    lib.check(lib.c.dnnl_memory_create(ctypes.byref(memory), descriptor, lib.engine, None))
    return memory


def _reorder(lib: Library, source: Handle, target: Handle) -> Handle:
    descriptor, primitive = Handle(), Handle()
    create = lib.c.dnnl_reorder_primitive_desc_create
    lib.check(create(ctypes.byref(descriptor), source, lib.engine, target, lib.engine, None))
    lib.check(lib.c.dnnl_primitive_create(ctypes.byref(primitive), descriptor))
    return primitive


def _execute(lib: Library, primitive: Handle, arguments: Sequence[tuple[int, Handle]]) -> None:
    packed = (Argument * len(arguments))(*(Argument(index, memory) for index, memory in arguments))
    lib.check(lib.c.dnnl_primitive_execute(primitive, lib.stream, len(packed), packed))


@lru_cache(maxsize=CACHED_SHAPES)
def convolution(geometry: Geometry) -> Convolution | None:
    """The primitives for `geometry`, or None where oneDNN has no implementation."""
    lib = dnn.load()
    if lib is None:
        return None
    try:
        return Convolution(lib, geometry)
    except OneDNNError:
        return None
