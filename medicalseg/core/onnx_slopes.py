"""Slopes of leaky ReLUs in an ONNX file, taken from the Paddle graph it was made of.

Paddle 3.3 stores a slope in double precision, and paddle2onnx 2.1 reads it in single: whatever lies there in memory
becomes the file's `alpha`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OPERATION = ".leaky_relu"
NODE = "LeakyRelu"


def repair_slopes(graph: Path, file: Path) -> None:
    """Set the slope of every LeakyRelu node of an ONNX file, in the order of the graph's operations.

    Args:
        graph: model.json; another format of graph (Paddle 2's) is left alone.
        file: the ONNX file, rewritten in place.

    Raises:
        ValueError: if the numbers of operations and nodes differ.
    """
    if graph.suffix != ".json":
        return
    import onnx

    slopes = list(slopes_of(json.loads(graph.read_text(encoding="utf-8"))))
    model = onnx.load(str(file))
    nodes = [node for node in model.graph.node if node.op_type == NODE]
    if len(nodes) != len(slopes):
        raise ValueError(f"the graph has {len(slopes)} leaky ReLUs, its ONNX file {len(nodes)}")
    if not nodes:
        return
    for node, slope in zip(nodes, slopes, strict=True):
        del node.attribute[:]
        node.attribute.append(onnx.helper.make_attribute("alpha", slope))
    onnx.save(model, str(file))


def slopes_of(content: Any) -> Iterator[float]:
    """Slopes of the leaky ReLUs in the content of a model.json, in order."""
    if isinstance(content, dict):
        if str(content.get("#", "")).endswith(OPERATION):
            yield next(float(item["AT"]["D"]) for item in content["A"] if item["N"] == "negative_slope")
        for value in content.values():
            yield from slopes_of(value)
    elif isinstance(content, list):
        for value in content:
            yield from slopes_of(value)
