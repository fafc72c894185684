"""What executes an exported model: Paddle Inference, ONNX Runtime or OpenVINO, behind one protocol."""

from medicalseg.inference.backends.choice import BACKENDS, start
from medicalseg.inference.backends.files import ModelFiles
from medicalseg.inference.backends.options import PRECISIONS, RuntimeOptions
from medicalseg.inference.backends.runtime import Runtime

__all__ = ["BACKENDS", "PRECISIONS", "ModelFiles", "Runtime", "RuntimeOptions", "start"]
