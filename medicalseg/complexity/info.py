"""Parameters, multiply-accumulates and activations of a network, as a whole and per layer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from paddle import nn

from medicalseg.complexity.graph import Graph, Shape, trace
from medicalseg.complexity.rules import MODES, UNCOUNTED, category, count
from medicalseg.complexity.study import reference_products
from medicalseg.errors import UserError

MEGABYTE = 2**20
FLOAT_BYTES = 4
PASSING_ON = (nn.Identity, nn.Dropout, nn.Dropout2D, nn.Dropout3D)


@dataclass(frozen=True)
class LayerInfo:
    """One layer with all that lies in it.

    Attributes:
        name: where it stands in the network; "" for the network itself.
        type: its class.
        depth: number of layers around it.
        output: shape of its (first) output of the last call; None if it was not called.
        parameters: trainable ones.
        macs: multiply-accumulates.
        activations: elements of the outputs of the layers in it that hold no others.
    """

    name: str
    type: str
    depth: int
    output: Shape | None
    parameters: int
    macs: int
    activations: int


@dataclass(frozen=True)
class ModelInfo:
    """What a network costs on one input.

    Attributes:
        network: its class.
        input_shape: (N, C, ...).
        mode: "plain" or "torchprofile", how multiply-accumulates are counted.
        training: whether it was looked at as it is trained, with all heads.
        trainable: parameters that an optimizer changes.
        total: all parameters, the running means and variances of batch norms counted.
        weight_mb: memory of all parameters in units of 2**20 bytes.
        macs: multiply-accumulates.
        operators: multiply-accumulates by kind of operation.
        activations: elements of the outputs of all layers that hold no others; dropouts pass theirs on.
        activation_mb: their memory in float32, in units of 2**20 bytes.
        layers: the network first, then every layer, in order of definition.
        notes: what was not counted.
    """

    network: str
    input_shape: Shape
    mode: str
    training: bool
    trainable: int
    total: int
    weight_mb: float
    macs: int
    operators: dict[str, int]
    activations: int
    activation_mb: float
    layers: tuple[LayerInfo, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def inspect_model(
    model: nn.Layer, shape: Sequence[int], mode: str = "plain", training: bool | None = None
) -> ModelInfo:
    """Count what a network costs; nothing is computed, and the network is left as it was.

    Args:
        model: a network that takes one tensor; a `SegmentationModel` may be accelerated or not.
        shape: (N, C, X, Y, Z) or (N, C, H, W).
        mode: "plain" = multiply-accumulates of convolutions, linear layers and matrix products; "torchprofile" = as
            torchprofile 0.0.4 counts them on the reference implementation, see `medicalseg.complexity.rules`.
        training: count it as it is trained; by default only in mode "torchprofile", as published figures were made.

    Raises:
        UserError: if the network cannot take or be traced on this input, or `mode` is unknown.
    """
    if mode not in MODES:
        raise UserError(f"mode: expected one of {list(MODES)}, got {mode!r}")
    if any(size < 1 for size in shape):
        raise UserError(f"input shape: needs positive sizes, got {list(shape)}")
    if hasattr(model, "check_input_shape"):
        model.check_input_shape(shape)
    computed = computed_shape(model, shape)
    training = mode == "torchprofile" if training is None else training
    graph = trace(model, computed, training)
    operators, per_layer = _count(graph, mode, training)
    activations = _activations(graph)
    parameters = list({id(p): p for p in model.parameters()}.values())
    return ModelInfo(
        network=type(model).__name__,
        input_shape=tuple(int(n) for n in shape),
        mode=mode,
        training=training,
        trainable=_trainable(model),
        total=sum(math.prod(p.shape) for p in parameters),
        weight_mb=sum(math.prod(p.shape) * _item_size(p) for p in parameters) / MEGABYTE,
        macs=sum(operators.values()),
        operators=dict(operators),
        activations=activations[model],
        activation_mb=FLOAT_BYTES * activations[model] / MEGABYTE,
        layers=_layers(model, graph, per_layer, activations),
        notes=_notes(graph, shape, computed),
    )


def computed_shape(model: nn.Layer, shape: Sequence[int]) -> Shape:
    """The shape that the layers compute on for an input of this shape: small images are padded."""
    batch, channels, *sizes = (int(n) for n in shape)
    fitting = model.next_input_shape(sizes) if hasattr(model, "next_input_shape") else sizes
    return (batch, channels, *fitting)


def _count(graph: Graph, mode: str, training: bool) -> tuple[Counter[str], Counter[nn.Layer]]:
    operators: Counter[str] = Counter()
    per_layer: Counter[nn.Layer] = Counter()
    rules = {layer: reference_products(layer) for layer in graph.calls} if mode == "torchprofile" else {}
    for op, owners in zip(graph.operations, graph.owners, strict=True):
        name = category(op)
        if name is None or (name == "multiplication" and any(rules.get(layer) for layer in owners)):
            continue
        _add(operators, per_layer, name, owners, count(op, mode))
    for layer, rule in rules.items():
        if rule is None:
            continue
        calls = graph.calls[layer]
        for within, inputs in zip(calls.within, calls.inputs, strict=True):
            _add(operators, per_layer, "multiplication", (*within, layer), rule(layer, inputs[0], training))
    return operators, per_layer


def _add(
    operators: Counter[str], per_layer: Counter[nn.Layer], name: str, owners: Sequence[nn.Layer], value: int
) -> None:
    if value:
        operators[name] += value
        for layer in owners:
            per_layer[layer] += value


def _activations(graph: Graph) -> Counter[nn.Layer]:
    elements: Counter[nn.Layer] = Counter()
    for layer, calls in graph.calls.items():
        if layer.sublayers() or isinstance(layer, PASSING_ON):
            continue
        for within, outputs in zip(calls.within, calls.outputs, strict=True):
            for owner in (*within, layer):
                elements[owner] += sum(math.prod(shape) for shape in outputs)
    return elements


def _layers(
    model: nn.Layer, graph: Graph, macs: Counter[nn.Layer], activations: Counter[nn.Layer]
) -> tuple[LayerInfo, ...]:
    rows = []
    for name, layer in model.named_sublayers(include_self=True):
        outputs = graph.calls[layer].outputs[-1] if layer in graph.calls else []
        called = _called_within(layer, graph)
        rows.append(
            LayerInfo(
                name=name,
                type=_type_name(layer),
                depth=name.count(".") + 1 if name else 0,
                output=outputs[0] if outputs else None,
                parameters=_trainable(layer),
                macs=macs[layer] if layer in graph.calls else sum(macs[child] for child in called),
                activations=activations[layer] if layer in graph.calls else sum(activations[child] for child in called),
            )
        )
    return tuple(rows)


def _called_within(layer: nn.Layer, graph: Graph) -> list[nn.Layer]:
    """The outermost called layers in one that is no step of the forward pass itself, such as a LayerList."""
    found = []
    for child in layer.children():
        found.extend([child] if child in graph.calls else _called_within(child, graph))
    return found


def _type_name(layer: nn.Layer) -> str:
    """The class; of an accelerated layer the one it stands for."""
    kinds = (kind for kind in type(layer).__mro__ if not kind.__module__.startswith("medicalseg.ops"))
    return next(kinds).__name__


def _trainable(layer: nn.Layer) -> int:
    unique = {id(p): p for p in layer.parameters() if not p.stop_gradient}
    return sum(math.prod(p.shape) for p in unique.values())


def _item_size(parameter: Any) -> int:
    name = str(parameter.dtype).rpartition(".")[2]
    return 2 if name == "bfloat16" else int(np.dtype(name).itemsize)


def _notes(graph: Graph, shape: Sequence[int], computed: Shape) -> tuple[str, ...]:
    notes = []
    if tuple(shape) != computed:
        notes.append(f"the image is padded; the layers compute on {' x '.join(map(str, computed))}")
    missing = Counter(op.kind for op in graph.operations if op.kind in UNCOUNTED)
    notes += [f"not counted: {times} x {kind}" for kind, times in missing.items()]
    return tuple(notes)
