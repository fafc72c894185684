"""An ONNX file as paddle2onnx writes it, without the detours: what depends on no input is computed once, biases go into
their convolutions, identities go away.

A backend otherwise runs the bias of every convolution as an operation of its own, and OpenVINO refuses shapes that are
computed at run time.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

CONVOLUTIONS = ("Conv", "ConvTranspose")
LARGEST_FOLDED = 2**24


def simplify(file: Path) -> None:
    """Rewrite an ONNX file in place; the numbers it computes stay the same.

    Raises:
        onnx.checker.ValidationError: if the result is not a valid model.
    """
    import onnx

    model = onnx.load(str(file))
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    nodes = _without_constants(model, constants)
    nodes = _biases_in_convolutions(nodes, constants, {item.name for item in model.graph.output})
    used = {name for node in nodes for name in node.input}
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.initializer[:]
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value, order="C"), name)
        for name, value in constants.items()
        if name in used
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def _without_constants(model: Any, constants: dict[str, np.ndarray]) -> list[Any]:
    """Nodes that depend on an input, identities left out; what the others compute goes into `constants`."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    opset = {item.domain: item.version for item in model.opset_import}
    outputs = {item.name for item in model.graph.output}
    renamed: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
        given = [name for name in node.input if name]
        is_output = bool(outputs & set(node.output))
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        elif not is_output and all(name in constants for name in given) and not _is_large(node, constants):
            values: Any = ReferenceEvaluator(node, opsets=opset).run(None, {name: constants[name] for name in given})
            constants.update(zip(node.output, values, strict=True))
        elif node.op_type == "Identity" and not is_output:
            renamed[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    return kept


def _is_large(node: Any, constants: dict[str, np.ndarray]) -> bool:
    return any(constants[name].size > LARGEST_FOLDED for name in node.input if name)


def _biases_in_convolutions(nodes: list[Any], constants: dict[str, np.ndarray], outputs: set[str]) -> list[Any]:
    """Put the constant that is added to a convolution's result, and to nothing else, into the convolution."""
    users = Counter(name for node in nodes for name in node.input)
    producers = {node.output[0]: node for node in nodes if node.op_type in CONVOLUTIONS and len(node.input) == 2}
    kept = []
    for node in nodes:
        convolution = next((producers[name] for name in node.input if name in producers), None)
        bias = next((constants[name] for name in node.input if name in constants), None)
        if node.op_type != "Add" or convolution is None or bias is None or not _fits(bias, convolution, constants):
            kept.append(node)
            continue
        result = convolution.output[0]
        if users[result] != 1 or result in outputs:
            kept.append(node)
            continue
        name = f"{result}.bias"
        constants[name] = bias.reshape(-1)
        convolution.input.append(name)
        convolution.output[0] = node.output[0]
        del producers[result]
    return kept


def _fits(bias: np.ndarray, convolution: Any, constants: dict[str, np.ndarray]) -> bool:
    weight = constants.get(convolution.input[1])
    if weight is None:
        return False
    if convolution.op_type == "Conv":
        channels = weight.shape[0]
    else:
        groups = next((item.i for item in convolution.attribute if item.name == "group"), 1)
        channels = weight.shape[1] * groups
    return bias.ndim == weight.ndim and bias.shape[1] == channels == bias.size
