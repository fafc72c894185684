"""Suite `infer`: a prepared image to logits, by an exported network in each backend, and by its twin in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from benchmarks.frame import MEMORY, Contender, Pair, Work
from benchmarks.infer_models import MODELS

SUITE = "infer"
PADDLE, ORT, OPENVINO = "medicalseg paddle fp32", "medicalseg onnxruntime fp32", "medicalseg openvino fp32"
OPENVINO_BF16 = "medicalseg openvino bf16"
EAGER, EAGER_BF16 = "medicalseg eager fp32", "medicalseg eager bf16"
TORCH, TORCH_LAST = "PyTorch fp32", "PyTorch fp32 channels_last_3d"
TORCH_BF16 = "PyTorch bf16 autocast channels_last_3d"
ALLOCATOR = ", our allocator"
EXPORTED = {
    PADDLE: ("paddle", "fp32"),
    ORT: ("onnxruntime", "fp32"),
    OPENVINO: ("openvino", "fp32"),
    OPENVINO_BF16: ("openvino", "bf16"),
}
FP32 = (PADDLE, ORT, OPENVINO)
ALL = (*EXPORTED, EAGER, EAGER_BF16)
ONEDNN = "oneDNN"
ON: tuple[str, list[Any]] = ("enable_mkldnn", [])
OPTIONS: dict[str, list[tuple[str, list[Any]]]] = {
    ONEDNN: [ON, ("set_mkldnn_cache_capacity", [10])],
    "oneDNN, no limit to its cache": [ON],
    "oneDNN, bfloat16": [ON, ("enable_mkldnn_bfloat16", [])],
    "oneDNN, no fusion": [ON, ("switch_ir_optim", [False])],
    "oneDNN, optimization level 3": [ON, ("set_optimization_level", [3])],
    "oneDNN, new executor": [ON, ("enable_new_executor", [True]), ("enable_new_ir", [True])],
    "oneDNN, memory optimization": [ON, ("enable_memory_optim", [])],
    "Paddle's own kernels": [("disable_mkldnn", [])],
}


def works(quick: bool) -> list[Work]:
    """VNet and UNet3D at the sizes of the targets; at a quarter of the sides if `quick`."""
    small = ("vnet-small", "unet3d-small")
    if quick:
        return [work(name) for name in small]
    return [*(work(name) for name in ("vnet", "unet3d")), *(options_work(name) for name in small)]


def work(name: str) -> Work:
    """One of `infer_models.MODELS`."""
    best: tuple[str, ...] = (TORCH, TORCH_LAST)
    pairs = [
        Pair(FP32, best, 1.0),
        Pair(ALL, best, 0.5),
        *(Pair(ours, best) for ours in ALL),
        Pair(FP32, (TORCH + ALLOCATOR, TORCH_LAST + ALLOCATOR)),
        Pair((OPENVINO_BF16, EAGER_BF16), TORCH_BF16),
        Pair(FP32, best, None, MEMORY),
    ]
    return Work(_title(name), [*ours(name), *peers(name)], pairs, units=float(prod(MODELS[name].size)))


def options_work(name: str) -> Work:
    """Paddle Inference's options for the CPU, compared with oneDNN alone."""
    contenders = [
        Contender(title, "benchmarks.infer_ours:with_options", {"name": name, "calls": calls}, ("paddle",))
        for title, calls in OPTIONS.items()
    ]
    pairs = [Pair(title, ONEDNN) for title in OPTIONS if title != ONEDNN]
    return Work(f"Paddle Inference's options, {_title(name)}", contenders, pairs)


def ours(name: str) -> list[Contender]:
    """Every backend and precision, and the accelerated network that was exported."""
    exported = [
        Contender(
            title, "benchmarks.infer_ours:exported", {"name": name, "backend": backend, "precision": precision},
            ("paddle", *(() if backend == "paddle" else (backend,))),
        )
        for title, (backend, precision) in EXPORTED.items()
    ]  # fmt: skip
    eager = [
        Contender(title, "benchmarks.infer_ours:eager", {"name": name, "bf16": bf16}, ("paddle",))
        for title, bf16 in ((EAGER, False), (EAGER_BF16, True))
    ]
    return [*exported, *eager]


def peers(name: str) -> list[Contender]:
    """PyTorch's layouts and precisions, as it comes and with our allocator settings."""
    variants: Sequence[tuple[str, Mapping[str, Any]]] = (
        (TORCH, {}),
        (TORCH_LAST, {"channels_last": True}),
        (TORCH_BF16, {"channels_last": True, "bf16": True}),
    )
    return [
        Contender(
            title + (ALLOCATOR if allocator else ""),
            "benchmarks.infer_torch:forward",
            {"name": name, "allocator": allocator, **more},
            ("torch",),
        )
        for title, more in variants
        for allocator in (False, True)
    ]


def _title(name: str) -> str:
    model = MODELS[name]
    return {"vnet": "VNet", "unet3d": "UNet3D"}[model.net] + " " + "×".join(map(str, model.size))
