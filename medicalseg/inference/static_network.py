"""An exported model, run by Paddle Inference: no network code, no training code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from medicalseg.errors import CheckpointError, RunError, UserError
from medicalseg.inference.network import argmax_classes
from medicalseg.inference.task import TaskSpec
from medicalseg.ops.process import default_threads
from medicalseg.utils.files import sha256
from medicalseg.utils.logger import logger

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class RuntimeOptions:
    """How Paddle Inference runs a model.

    Attributes:
        device: "cpu", "gpu" or "gpu:N".
        cpu_threads: threads of the CPU's math library; None = the cores of this process.
        enable_mkldnn: oneDNN on the CPU; where it cannot run the model, Paddle's own kernels take over and the log
            says so.
        use_trt: TensorRT on the GPU.
        precision: "fp32", or "fp16" and "int8" with TensorRT.
        trt_shapes: smallest, usual and largest input (N, C, X, Y, Z) for TensorRT.
        gpu_memory_mb: memory pool taken at the start on a GPU.
    """

    device: str = "cpu"
    cpu_threads: int | None = None
    enable_mkldnn: bool = True
    use_trt: bool = False
    precision: str = "fp32"
    trt_shapes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None = None
    gpu_memory_mb: int = 100

    def __post_init__(self) -> None:
        kind = self.device.split(":")[0]
        if kind not in ("cpu", "gpu"):
            raise UserError(f"--device is cpu, gpu or gpu:N, not '{self.device}'")
        if self.precision not in PRECISIONS:
            raise UserError(f"--precision is one of {', '.join(PRECISIONS)}, not '{self.precision}'")
        if self.use_trt and kind != "gpu":
            raise UserError("--use_trt needs --device gpu")
        if self.precision != "fp32" and not self.use_trt:
            raise UserError(f"--precision {self.precision} needs --use_trt True; without TensorRT a model runs in fp32")


class StaticNetwork:
    """Calls an exported model on arrays.

    Args:
        deploy: a deploy.yaml, or the folder that holds it.
        options: how to run it.

    Attributes:
        task: classes and preprocessing of the model.
        output_op: "argmax", "softmax" or "none".

    Raises:
        CheckpointError: if deploy.yaml or a file it names is missing, incomplete or altered.
    """

    def __init__(self, deploy: str | Path, options: RuntimeOptions | None = None) -> None:
        self.path = Path(deploy) / "deploy.yaml" if Path(deploy).is_dir() else Path(deploy)
        self.options = options or RuntimeOptions()
        self.description = _read_description(self.path)
        self.task = TaskSpec.from_dict(self.description["task"])
        self.output_op: str = self.description.get("output_op", "argmax")
        self.input_shape: list[int] = self.description.get("input_shape", [-1, self.task.in_channels, -1, -1, -1])
        self._mkldnn = self.options.enable_mkldnn
        self._predictor = self._create()

    def labels(self, x: np.ndarray) -> np.ndarray:
        """Label ids (N, X, Y, Z), int32, of an input (N, C, X, Y, Z)."""
        output = self._run(x)
        return output.astype(np.int32, copy=False) if self.output_op == "argmax" else argmax_classes(output, axis=1)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Logits, or probabilities of a model exported with softmax, (N, K, X, Y, Z), float32.

        Raises:
            UserError: if the model was exported with argmax and has none.
        """
        if self.output_op == "argmax":
            raise UserError(f"{self.path}: exported with argmax, so it gives labels only; export with --output_op none")
        return self._run(x)

    def _run(self, x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x, dtype=np.float32)
        self._check_input(x)
        try:
            return self._execute(x)
        except Exception as error:
            if not self._mkldnn or self.options.device != "cpu":
                raise RunError(f"{self.path}: Paddle Inference failed: {_first_line(error)}") from error
            logger.warning("oneDNN cannot run this model (%s): Paddle's own kernels are used.", _first_line(error))
        self._mkldnn = False
        self._predictor = self._create()
        return self._run(x)

    def _execute(self, x: np.ndarray) -> np.ndarray:
        predictor = self._predictor
        handle = predictor.get_input_handle(predictor.get_input_names()[0])
        handle.reshape(list(x.shape))
        handle.copy_from_cpu(x)
        predictor.run()
        return predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()

    def _check_input(self, x: np.ndarray) -> None:
        fits = x.ndim == len(self.input_shape) and all(
            wanted in (-1, None, size) for wanted, size in zip(self.input_shape, x.shape, strict=False)
        )
        if not fits:
            raise UserError(f"{self.path}: the model takes {self.input_shape} (-1 = any), got {list(x.shape)}")

    def _create(self) -> Any:
        import paddle
        from paddle import inference

        if str(self.description["model"]).endswith(".json") and paddle.__version__.startswith(("1.", "2.")):
            raise CheckpointError(
                f"{self.path}: its model was exported by Paddle 3 and cannot be run by {paddle.__version__}: "
                "export it again here, or run it with paddlepaddle 3"
            )
        files = [str(self.path.parent / self.description[key]) for key in ("model", "params")]
        config = inference.Config(*files)
        config.disable_glog_info()
        if not files[0].endswith(".json"):
            config.enable_memory_optim()
        if self.options.device == "cpu":
            self._configure_cpu(config)
        else:
            self._configure_gpu(config, inference)
        try:
            return inference.create_predictor(config)
        except Exception as error:
            raise RunError(f"{self.path}: Paddle Inference cannot load the model: {_first_line(error)}") from error

    def _configure_cpu(self, config: Any) -> None:
        config.disable_gpu()
        config.set_cpu_math_library_num_threads(self.options.cpu_threads or default_threads())
        if self._mkldnn:
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
        size = self.task.preprocessing.size
        if size is None:
            raise UserError("--use_trt: this model has no fixed input size; give --img_shape X Y Z")
        shape = (1, self.task.in_channels, *size)
        return shape, shape, shape


def _read_description(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); tools/export.py writes it") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not a YAML file: {_first_line(error)}") from error
    description = content.get("Deploy") if isinstance(content, dict) else None
    if not isinstance(description, dict) or not {"model", "params"} <= description.keys():
        raise CheckpointError(f"{path}: has no 'Deploy' with 'model' and 'params'; tools/export.py writes it")
    if "task" not in description:
        raise CheckpointError(f"{path}: has no 'task' (preprocessing and classes): export the model with this version")
    for name in (description["model"], description["params"]):
        _verify(path.parent / str(name), description.get("sha256", {}).get(name))
    return description


def _verify(file: Path, expected: str | None) -> None:
    if not file.is_file():
        raise CheckpointError(f"{file}: named by deploy.yaml but missing")
    if expected is not None and sha256(file) != expected:
        raise CheckpointError(f"{file}: SHA-256 differs from deploy.yaml: the file was changed or is incomplete")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Error:" in line] or lines
    return telling[-1][:200] if telling else type(error).__name__
