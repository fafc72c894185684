"""ONNX Runtime on the CPU."""

from __future__ import annotations

import numpy as np

from medicalseg.errors import RunError
from medicalseg.inference.backends.files import ModelFiles
from medicalseg.inference.backends.options import RuntimeOptions
from medicalseg.inference.backends.runtime import first_line

QUIET = 3


class OnnxRuntime:
    """A model in ONNX Runtime.

    Args:
        files: names the ONNX file.
        options: threads.

    Raises:
        CheckpointError: if the file is missing or altered.
        RunError: if ONNX Runtime cannot load it.
    """

    name = "onnxruntime"

    def __init__(self, files: ModelFiles, options: RuntimeOptions) -> None:
        import onnxruntime

        self._path = files.path
        file = files.verified("onnx")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = QUIET
        settings.add_session_config_entry("session.set_denormal_as_zero", "1")
        try:
            self._session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise RunError(f"{file}: ONNX Runtime cannot load the model: {first_line(error)}") from error
        self._input = self._session.get_inputs()[0].name

    def run(self, x: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        try:
            return self._session.run(None, {self._input: x})[0]
        except Exception as error:
            raise RunError(f"{self._path}: ONNX Runtime failed: {first_line(error)}") from error
