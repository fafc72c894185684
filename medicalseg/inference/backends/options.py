"""How an exported model is to be run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medicalseg.errors import UserError
from medicalseg.ops.process import default_threads

BACKENDS = ("paddle", "onnxruntime", "openvino")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True)
class RuntimeOptions:
    """How an exported model is run.

    Attributes:
        device: "cpu", "gpu" or "gpu:N"; a GPU is Paddle Inference's alone.
        backend: "paddle", "onnxruntime", "openvino", or "auto": the fastest that is installed and has its file.
        precision: "fp32"; "bf16" on a CPU that multiplies it, with OpenVINO; "fp16" and "int8" with TensorRT.
        cpu_threads: threads of the CPU's math library; None = the cores of this process.
        enable_mkldnn: oneDNN in Paddle Inference; where it cannot run the model, Paddle's own kernels take over and
            the log says so.
        use_trt: TensorRT on the GPU.
        trt_shapes: smallest, usual and largest input (N, C, X, Y, Z) for TensorRT.
        gpu_memory_mb: memory pool taken at the start on a GPU.
    """

    device: str = "cpu"
    backend: str = "paddle"
    precision: str = "fp32"
    cpu_threads: int | None = None
    enable_mkldnn: bool = True
    use_trt: bool = False
    trt_shapes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None = None
    gpu_memory_mb: int = 100

    def __post_init__(self) -> None:
        kind = self.device.partition(":")[0]
        if not re.fullmatch(r"cpu|gpu(:\d+)?", self.device):
            raise UserError(f"--device is cpu, gpu or gpu:N, not '{self.device}'")
        if self.backend not in (*BACKENDS, "auto"):
            raise UserError(f"--backend is one of {', '.join(BACKENDS)}, auto, not '{self.backend}'")
        if self.precision not in PRECISIONS:
            raise UserError(f"--precision is one of {', '.join(PRECISIONS)}, not '{self.precision}'")
        if self.cpu_threads is not None and self.cpu_threads < 1:
            raise UserError(f"--cpu_threads must be at least 1, got {self.cpu_threads}")
        self._check_gpu(kind)

    @property
    def threads(self) -> int:
        """Threads on the CPU."""
        return self.cpu_threads or default_threads()

    def _check_gpu(self, kind: str) -> None:
        if self.use_trt and kind != "gpu":
            raise UserError("--use_trt needs --device gpu")
        if kind == "gpu" and self.backend in ("onnxruntime", "openvino"):
            raise UserError(f"--backend {self.backend} runs on the CPU here; use --backend paddle with --device gpu")
        if kind == "gpu" and self.precision == "bf16":
            raise UserError("--precision bf16 runs on the CPU here; on a GPU use --use_trt True --precision fp16")
        if self.precision in ("fp16", "int8") and not self.use_trt:
            raise UserError(f"--precision {self.precision} needs --use_trt True; without TensorRT use fp32 or bf16")
