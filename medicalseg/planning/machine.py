"""What the machine that plans can do."""

from __future__ import annotations


def default_device() -> str:
    """A GPU where Paddle has one."""
    import paddle

    return "gpu" if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() else "cpu"


def default_precision(device: str) -> str:
    """fp16 on a GPU; on a CPU bf16 where the processor multiplies in it, else fp32."""
    if device == "gpu":
        return "fp16"
    from medicalseg import ops

    return "bf16" if ops.supports_bf16() else "fp32"


def usable_cores() -> int:
    """Cores that a training in this environment would use."""
    from medicalseg.ops.process import default_threads

    return default_threads()
