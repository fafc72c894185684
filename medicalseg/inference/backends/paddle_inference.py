"""Paddle Inference: the CPU through oneDNN, GPUs, TensorRT."""

from __future__ import annotations

from typing import Any

import numpy as np

from medicalseg.errors import CheckpointError, RunError, UserError
from medicalseg.inference.backends.files import ModelFiles
from medicalseg.inference.backends.options import RuntimeOptions
from medicalseg.inference.backends.runtime import first_line
from medicalseg.inference.task import TaskSpec
from medicalseg.utils.logger import logger


class PaddleInference:
    """A model in Paddle Inference.

    Args:
        files: names the graph and the weights.
        options: device, threads, oneDNN, TensorRT.

    Raises:
        CheckpointError: if a file is missing or altered, or needs another Paddle.
        RunError: if Paddle Inference cannot load it.
    """

    name = "paddle"

    def __init__(self, files: ModelFiles, options: RuntimeOptions) -> None:
        import paddle  # noqa: F401 (before its OpenMP threads are set)

        from medicalseg.ops.process import set_openmp_threads

        self._path, self.options = files.path, options
        self._files = [str(files.verified(key)) for key in ("model", "params")]
        self._task = TaskSpec.from_dict(files.description["task"])
        self._mkldnn = options.enable_mkldnn and options.device == "cpu"
        if options.device == "cpu":
            set_openmp_threads(options.threads)
        self._predictor = self._create(self._mkldnn)

    def run(self, x: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        try:
            return self._execute(self._predictor, x)
        except Exception as error:
            failure = RunError(f"{self._path}: Paddle Inference failed: {first_line(error)}")
            if not self._mkldnn:
                raise failure from error
            return self._without_onednn(x, failure)

    def _without_onednn(self, x: np.ndarray, failure: RunError) -> np.ndarray:
        """What Paddle's own kernels compute. If they can, they stay in use; if not, x is at fault, not oneDNN."""
        try:
            spare = self._create(mkldnn=False)
            output = self._execute(spare, x)
        except Exception as error:
            raise failure from error
        logger.warning("oneDNN cannot run this model (%s): Paddle's own kernels are used.", failure)
        self._predictor, self._mkldnn = spare, False
        return output

    def _execute(self, predictor: Any, x: np.ndarray) -> np.ndarray:
        handle = predictor.get_input_handle(predictor.get_input_names()[0])
        handle.reshape(list(x.shape))
        handle.copy_from_cpu(x)
        predictor.run()
        return predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()

    def _create(self, mkldnn: bool) -> Any:
        import paddle
        from paddle import inference

        if self._files[0].endswith(".json") and paddle.__version__.startswith(("1.", "2.")):
            raise CheckpointError(
                f"{self._path}: its model was exported by Paddle 3 and cannot be run by {paddle.__version__}: "
                "export it again here, or run it with paddlepaddle 3"
            )
        config = inference.Config(*self._files)
        config.disable_glog_info()
        if not self._files[0].endswith(".json"):
            config.enable_memory_optim()
        if self.options.device == "cpu":
            self._configure_cpu(config, mkldnn)
        else:
            self._configure_gpu(config, inference)
        try:
            return inference.create_predictor(config)
        except Exception as error:
            raise RunError(f"{self._path}: Paddle Inference cannot load the model: {first_line(error)}") from error

    def _configure_cpu(self, config: Any, mkldnn: bool) -> None:
        config.disable_gpu()
        config.set_cpu_math_library_num_threads(self.options.threads)
        if mkldnn:
            config.enable_mkldnn()
            config.set_mkldnn_cache_capacity(10)
        elif hasattr(config, "disable_mkldnn"):
            config.disable_mkldnn()

    def _configure_gpu(self, config: Any, inference: Any) -> None:
        import paddle

        if not paddle.is_compiled_with_cuda():
            raise UserError("--device gpu: this Paddle is built for CPUs; install the extra gpu or use --device cpu")
        number = int(self.options.device.partition(":")[2] or 0)
        config.enable_use_gpu(self.options.gpu_memory_mb, number)
        if self.options.use_trt:
            self._configure_tensorrt(config, inference)

    def _configure_tensorrt(self, config: Any, inference: Any) -> None:
        kinds = inference.PrecisionType
        kind = {"fp32": kinds.Float32, "fp16": kinds.Half, "int8": kinds.Int8}[self.options.precision]
        config.enable_tensorrt_engine(
            workspace_size=1 << 30,
            max_batch_size=1,
            min_subgraph_size=3,
            precision_mode=kind,
            use_static=False,
            use_calib_mode=False,
        )
        shapes = self.options.trt_shapes or self._default_trt_shapes()
        config.set_trt_dynamic_shape_info(*({"x": list(shape)} for shape in (shapes[0], shapes[2], shapes[1])))

    def _default_trt_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        size = self._task.preprocessing.size
        if size is None:
            axes = "X Y Z" if self._task.slices is None else "COLUMNS ROWS"
            raise UserError(f"--use_trt: this model has no fixed input size; give --img_shape {axes}")
        slices = self._task.slices
        grid = size if slices is None else [size[axis] for axis in reversed(slices.plane)]
        shape = (1, self._task.network_channels, *grid)
        return shape, shape, shape
