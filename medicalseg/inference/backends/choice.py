"""Which backend runs a model, and starting it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from medicalseg.errors import MedicalSegError, MissingDependencyError, RunError, UserError
from medicalseg.inference.backends.files import ModelFiles
from medicalseg.inference.backends.options import BACKENDS, RuntimeOptions
from medicalseg.inference.backends.runtime import Runtime
from medicalseg.ops.library import cpu_flags
from medicalseg.ops.process import keep_large_blocks
from medicalseg.utils.logger import logger

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
__all__ = ["BACKENDS", "FASTEST_FIRST", "available", "reason_against", "start"]


@dataclass(frozen=True)
class Kind:
    """What is known about a backend before it is loaded.

    Attributes:
        package: what has to be importable.
        files: keys of deploy.yaml that name its files.
        extra: extra of this project that installs it.
        create: loads a model.
        precisions: what it computes in, TensorRT's aside.
    """

    package: str
    files: tuple[str, ...]
    extra: str
    create: Callable[[ModelFiles, RuntimeOptions], Runtime]
    precisions: tuple[str, ...] = ("fp32",)


def _paddle(files: ModelFiles, options: RuntimeOptions) -> Runtime:
    from medicalseg.inference.backends.paddle_inference import PaddleInference

    return PaddleInference(files, options)


def _onnxruntime(files: ModelFiles, options: RuntimeOptions) -> Runtime:
    from medicalseg.inference.backends.onnx_runtime import OnnxRuntime

    return OnnxRuntime(files, options)


def _openvino(files: ModelFiles, options: RuntimeOptions) -> Runtime:
    from medicalseg.inference.backends.openvino_runtime import OpenVINORuntime

    return OpenVINORuntime(files, options)


KINDS = {
    "openvino": Kind("openvino", ("onnx",), "openvino", _openvino, ("fp32", "bf16")),
    "paddle": Kind("paddle", ("model", "params"), "cpu", _paddle),
    "onnxruntime": Kind("onnxruntime", ("onnx",), "onnx", _onnxruntime),
}
FASTEST_FIRST = tuple(KINDS)


def start(files: ModelFiles, options: RuntimeOptions) -> Runtime:
    """Load a model into the backend that the options name.

    With "auto" the fastest that is installed, has its file and computes in the precision is taken, and the log says
    which; one that then fails to load is left for the next.

    Raises:
        MissingDependencyError: if the backend is not installed.
        CheckpointError: if a file is missing or altered.
        UserError: if the backend, the CPU or the check at export rules the precision out.
        RunError: if the backend cannot load the model.
    """
    _check_cpu(options)
    on_gpu = options.device != "cpu"
    if options.backend == "auto" and not on_gpu:
        return _start_fastest(files, options)
    name = "paddle" if on_gpu else options.backend
    reason = reason_against(name, files, options.precision)
    if reason is not None:
        raise reason
    return _create(name, files, options)


def available(files: ModelFiles, precision: str = "fp32") -> list[str]:
    """Backends that could run a model in a precision, fastest first."""
    return [name for name in FASTEST_FIRST if reason_against(name, files, precision) is None]


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware."""
    return bool(BF16_FLAGS & cpu_flags())


def reason_against(name: str, files: ModelFiles, precision: str) -> UserError | None:
    """The error that using a backend would be, or None."""
    kind = KINDS[name]
    if precision not in (*kind.precisions, "fp16", "int8"):
        able = [other for other in FASTEST_FIRST if precision in KINDS[other].precisions]
        return UserError(f"--backend {name} computes in fp32 only; --precision {precision} needs {' or '.join(able)}")
    if importlib.util.find_spec(kind.package) is None:
        return MissingDependencyError(
            f"--backend {name} needs the package {kind.package}: pip install -e '.[{kind.extra}]' in the checkout"
        )
    if not files.has(*kind.files):
        what = "ONNX file" if "onnx" in kind.files else "Paddle model"
        return UserError(f"{files.path}: has no {what}, which --backend {name} needs: export again with --format all")
    refused = files.refusal(name, precision)
    if refused:
        return UserError(f"{files.path}: --backend {name} --precision {precision} is refused: {refused}; use fp32")
    return None


def _create(name: str, files: ModelFiles, options: RuntimeOptions) -> Runtime:
    if options.device == "cpu":
        keep_large_blocks()
    try:
        return KINDS[name].create(files, options)
    except ImportError as error:
        raise RunError(f"--backend {name}: its package is installed but cannot be imported: {error}") from error


def _start_fastest(files: ModelFiles, options: RuntimeOptions) -> Runtime:
    reasons: list[str] = []
    for name in FASTEST_FIRST:
        reason: MedicalSegError | None = reason_against(name, files, options.precision)
        if reason is None:
            try:
                runtime = _create(name, files, options)
            except MedicalSegError as error:
                reason = error
            else:
                passed_over = f" ({'; '.join(reasons)})" if reasons else ""
                logger.info("Backend: %s, %s%s.", name, options.precision, passed_over)
                return runtime
        reasons.append(str(reason))
    raise UserError(f"{files.path}: no backend can run it in {options.precision}: {'; '.join(reasons)}")


def _check_cpu(options: RuntimeOptions) -> None:
    if options.precision == "bf16" and not has_bf16():
        raise UserError(
            f"--precision bf16 needs a processor with {' or '.join(sorted(BF16_FLAGS))}, this one has neither; use fp32"
        )
