"""OpenVINO on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from medicalseg.errors import RunError
from medicalseg.inference.backends.files import ModelFiles
from medicalseg.inference.backends.options import RuntimeOptions
from medicalseg.inference.backends.runtime import first_line

HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVINORuntime:
    """A model in OpenVINO, compiled for the size that it sees first, and once more for any size if another comes.

    A model of fixed size lets OpenVINO fuse more than one of any size.

    Args:
        files: names the ONNX file.
        options: threads and precision. Precision is always told: left alone, OpenVINO computes in bfloat16 on a
            processor that has it.

    Raises:
        CheckpointError: if the file is missing or altered.
        RunError: if OpenVINO cannot load it.
    """

    name = "openvino"

    def __init__(self, files: ModelFiles, options: RuntimeOptions) -> None:
        import openvino

        self._path = files.path
        self._core = openvino.Core()
        self._settings = {
            "INFERENCE_PRECISION_HINT": HINTS[options.precision],
            "INFERENCE_NUM_THREADS": options.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        file = files.verified("onnx")
        try:
            self._model = self._core.read_model(str(file))
            _split_prelus(self._model)
        except Exception as error:
            raise RunError(f"{file}: OpenVINO cannot load the model: {first_line(error)}") from error
        self._shape: tuple[int, ...] | None = None
        self._first: Any = None
        self._any: Any = None

    def run(self, x: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        try:
            return self._request(x.shape).infer({0: x}, share_inputs=True)[0]
        except Exception as error:
            raise RunError(f"{self._path}: OpenVINO failed: {first_line(error)}") from error

    def _request(self, shape: tuple[int, ...]) -> Any:
        if self._first is None:
            fixed = self._model.clone()
            fixed.reshape(list(shape))
            self._first, self._shape = self._compiled(fixed), shape
        if shape == self._shape:
            return self._first
        if self._any is None:
            self._any = self._compiled(self._model)
        return self._any

    def _compiled(self, model: Any) -> Any:
        return self._core.compile_model(model, "CPU", self._settings).create_infer_request()


def _split_prelus(model: Any) -> None:
    """Write PReLU as a x + (1 - a) max(x, 0) where it follows no convolution.

    After a convolution PReLU becomes part of it; anywhere else OpenVINO computes it in the plain layout only, so that
    its input and output are reordered.
    """
    import openvino.opset13 as ops
    from openvino.utils import replace_node

    for node in model.get_ordered_ops():
        if node.get_type_name() != "PRelu":
            continue
        x, slope = node.input_value(0), node.input_value(1).get_node()
        rank = x.get_partial_shape().rank
        if slope.get_type_name() != "Constant" or rank.is_dynamic or _is_convolved(x.get_node()):
            continue
        a = slope.get_data().astype(np.float32).reshape(1, -1, *(1,) * (rank.get_length() - 2))
        negative = ops.multiply(x, ops.constant(a))
        replace_node(node, ops.add(negative, ops.multiply(ops.relu(x), ops.constant(1 - a))))


def _is_convolved(node: Any) -> bool:
    """Whether a node is a convolution, or the sum of one and its bias."""
    kinds = [node.get_type_name()]
    if kinds == ["Add"]:
        kinds = [source.get_node().get_type_name() for source in node.input_values()]
    return "Convolution" in kinds
