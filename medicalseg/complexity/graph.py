"""A network's operations with their shapes and the layer each belongs to, from one trace that computes nothing."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import paddle
from paddle import nn

from medicalseg.complexity.operation import PARAMETER, Operation, name_of, operation_of
from medicalseg.errors import MedicalSegError, UserError
from medicalseg.inference.network import evaluation_mode

Shape = tuple[int, ...]
PUBLISHED = "as_published"


@dataclass
class LayerCalls:
    """The calls of one layer in a forward pass.

    Attributes:
        within: for each call the layers around it, outermost first.
        inputs: shapes of the tensors of each call.
        outputs: shapes of the tensors that each call returned.
    """

    within: list[tuple[nn.Layer, ...]] = field(default_factory=list)
    inputs: list[list[Shape]] = field(default_factory=list)
    outputs: list[list[Shape]] = field(default_factory=list)


@dataclass
class Graph:
    """One forward pass.

    Attributes:
        operations: in order of execution.
        owners: for each operation the layers it lies in, outermost first.
        calls: by layer.
    """

    operations: list[Operation]
    owners: list[tuple[nn.Layer, ...]]
    calls: dict[nn.Layer, LayerCalls]


class _Recorder:
    """Hooks that note, while a network is traced, which operations each layer adds to the program."""

    def __init__(self) -> None:
        self.owners: list[tuple[nn.Layer, ...]] = []
        self.calls: dict[nn.Layer, LayerCalls] = {}
        self._stack: list[nn.Layer] = []
        self._parameters = 0

    def before(self, layer: nn.Layer, inputs: Any) -> None:
        """Operations up to here belong to the layers around this one."""
        self.catch_up()
        calls = self.calls.setdefault(layer, LayerCalls())
        calls.within.append(tuple(self._stack))
        calls.inputs.append(_shapes(inputs))
        self._stack.append(layer)

    def after(self, layer: nn.Layer, inputs: Any, outputs: Any) -> None:
        """Operations up to here belong to this layer."""
        self.catch_up()
        self._stack.pop()
        self.calls[layer].outputs.append(_shapes(outputs))

    def catch_up(self) -> None:
        """Give operations that are new since the last call to the innermost layer."""
        operations = paddle.static.default_main_program().global_block().ops
        while self._parameters < len(operations) and name_of(operations[self._parameters]) == PARAMETER:
            self._parameters += 1
        new = len(operations) - self._parameters - len(self.owners)
        self.owners.extend([tuple(self._stack)] * new)


class _Traced(nn.Layer):
    """A network under a layer of its own, run as it is written: tracing neither rewrites nor replaces its methods."""

    def __init__(self, network: nn.Layer) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: paddle.Tensor) -> Any:
        """What the network returns."""
        return _call(self.network, x)


@paddle.jit.not_to_static
def _call(network: nn.Layer, x: paddle.Tensor) -> Any:
    return network(x)


def trace(network: nn.Layer, shape: Sequence[int], training: bool = False) -> Graph:
    """Trace a network on an input of known size; nothing is computed, and the network is left as it was.

    A layer that computes the same with fewer operations than its paper has a switch `as_published`; it is traced with
    the paper's, so that counts are those of the architecture.

    Args:
        network: any layer that `paddle.jit.to_static` can trace and that takes one tensor.
        shape: of the input, the batch counted.
        training: trace it as it is trained, else as it is evaluated (a network with auxiliary heads: the main one).

    Raises:
        UserError: if it cannot be traced at that size; tells Paddle's reason.
    """
    recorder = _Recorder()
    with _phase(network, training), _hooks(network, recorder), _known_sizes(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec = paddle.static.InputSpec(list(shape), "float32", name="x")
        try:
            traced = paddle.jit.to_static(_Traced(network), input_spec=[spec], full_graph=True)
            program = traced.forward.concrete_program.main_program
        except MedicalSegError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[-400:]
            raise UserError(
                f"{type(network).__name__} cannot be traced on an input of shape {list(shape)}: {reason}"
            ) from error
    block = program.global_block()
    raw = [op for op in block.ops if name_of(op) != PARAMETER]
    recorder.owners.extend([()] * (len(raw) - len(recorder.owners)))
    return Graph([operation_of(op, block) for op in raw], recorder.owners, recorder.calls)


@contextlib.contextmanager
def _phase(network: nn.Layer, training: bool) -> Iterator[None]:
    switched = [layer for layer in network.sublayers(include_self=True) if getattr(layer, PUBLISHED, None) is False]
    main_only = getattr(network, "main_head_only", None)
    with evaluation_mode(network):
        if training:
            network.train()
        if main_only is not None:
            network.main_head_only = not training
        for layer in switched:
            setattr(layer, PUBLISHED, True)
        try:
            yield
        finally:
            for layer in switched:
                setattr(layer, PUBLISHED, False)
            if main_only is not None:
                network.main_head_only = main_only


@contextlib.contextmanager
def _hooks(network: nn.Layer, recorder: _Recorder) -> Iterator[None]:
    hooks = []
    for layer in network.sublayers(include_self=True):
        hooks.append(layer.register_forward_pre_hook(recorder.before))
        hooks.append(layer.register_forward_post_hook(recorder.after))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def _known_sizes() -> Iterator[None]:
    """`paddle.shape` gives the sizes themselves where they are known, not a tensor that hides them from the trace."""
    ask = paddle.shape

    @paddle.jit.not_to_static
    def shape(input: Any, name: str | None = None) -> Any:  # noqa: A002 (Paddle's name)
        sizes = [int(n) for n in input.shape]
        return ask(input) if min(sizes, default=0) < 0 else sizes

    paddle.shape = shape
    try:
        yield
    finally:
        paddle.shape = ask


def _shapes(values: Any) -> list[Shape]:
    if isinstance(values, (list, tuple)):
        return [shape for value in values for shape in _shapes(value)]
    if isinstance(values, dict):
        return _shapes(list(values.values()))
    shape = getattr(values, "shape", None)
    return [] if shape is None else [tuple(int(n) for n in shape)]
