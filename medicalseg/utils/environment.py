"""What a run computes on: device, precision, versions."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from medicalseg import __version__
from medicalseg.errors import UserError

PRECISIONS = ("fp32", "fp16", "bf16")
AMP_LEVELS = ("O1", "O2")


def choose_device(name: str | None = None) -> str:
    """Set and return the device of this process.

    Args:
        name: cpu, gpu, gpu:N or xpu; None takes a GPU where Paddle has one. Under `paddle.distributed.launch` each
            rank takes the card it was given.

    Raises:
        UserError: there is no such device, or this Paddle is not built for it.
    """
    import paddle

    device = name or ("gpu" if _count("gpu") else "cpu")
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "gpu", "xpu") or (number and (kind == "cpu" or not number.isdigit())):
        raise UserError(f"--device {device}: choose cpu, gpu, gpu:N or xpu")
    if kind != "cpu":
        _check_accelerator(kind, device, int(number or 0))
        selected = os.environ.get(f"FLAGS_selected_{kind}s", "").split(",")[0]
        if selected and int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1:
            device = f"{kind}:{selected}"
    paddle.set_device(device)
    return str(paddle.get_device())


def _check_accelerator(kind: str, device: str, number: int) -> None:
    import paddle

    if not (paddle.is_compiled_with_cuda() if kind == "gpu" else paddle.is_compiled_with_xpu()):
        hint = "; install the GPU build with: pip install -e '.[gpu]'" if kind == "gpu" else ""
        raise UserError(f"--device {device}: this PaddlePaddle is built without {kind.upper()} support{hint}")
    if _count(kind) <= number:
        raise UserError(f"--device {device}: PaddlePaddle sees {_count(kind)} {kind.upper()} devices on this machine")


def _count(kind: str) -> int:
    import paddle

    if kind == "gpu":
        return int(paddle.device.cuda.device_count()) if paddle.is_compiled_with_cuda() else 0
    return int(os.environ.get("XPU_DEVICE_COUNT", "1")) if paddle.is_compiled_with_xpu() else 0


def check_precision(precision: str, amp_level: str, device: str, cpu_accel: str = "auto") -> None:
    """Refuse a precision that the device cannot compute, rather than compute another one.

    Raises:
        UserError: names what the device can do.
    """
    import paddle

    if precision not in PRECISIONS or amp_level not in AMP_LEVELS:
        raise UserError(
            f"--precision {precision} --amp_level {amp_level}: precision is one of {', '.join(PRECISIONS)}, "
            f"amp_level one of {', '.join(AMP_LEVELS)}"
        )
    if precision == "fp32":
        return
    if device == "cpu":
        _check_cpu_precision(precision, amp_level, cpu_accel)
        return
    supported = paddle.amp.is_float16_supported() if precision == "fp16" else paddle.amp.is_bfloat16_supported()
    if not supported:
        raise UserError(f"--precision {precision}: the device {device} cannot compute it; use --precision fp32")


def _check_cpu_precision(precision: str, amp_level: str, cpu_accel: str) -> None:
    from medicalseg import ops

    if precision == "fp16":
        raise UserError("--precision fp16: a CPU trains in fp32 (or bf16 where the processor has it), not in fp16")
    if cpu_accel == "off" or not ops.supports_bf16():
        raise UserError(
            "--precision bf16 on the CPU needs a processor with AVX512-BF16 or AMX and --cpu_accel auto; "
            "use --precision fp32"
        )
    if amp_level != "O1":
        raise UserError("--amp_level O2 needs a GPU; on the CPU bf16 works at O1")


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    import numpy
    import paddle
    import scipy

    return {
        "medicalseg": __version__,
        "python": platform.python_version(),
        "paddle": paddle.__version__,
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
    }


def describe(device: str) -> dict[str, Any]:
    """The environment block of the log and of the run manifest."""
    import paddle

    from medicalseg.ops import available_cores

    block: dict[str, Any] = {"platform": platform.platform(), "Python": sys.version.replace("\n", "")}
    block["PaddlePaddle"] = paddle.__version__
    block["Paddle compiled with cuda"] = paddle.is_compiled_with_cuda()
    block["device"] = device
    if device.startswith("gpu"):
        block["CUDA"] = paddle.version.cuda()
        block["cuDNN"] = paddle.version.cudnn()
        block["GPU"] = paddle.device.cuda.get_device_name()
        block["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES")
    else:
        block["processor"] = processor_name()
        block["cores"] = available_cores()
    block.update({name: value for name, value in versions().items() if name not in ("python", "paddle")})
    return block


def processor_name() -> str:
    """Name of the processor, as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="ignore") as handle:
            for line in handle:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
