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


def works(quick: bool) -> list[Work]:
    """VNet and UNet3D at the sizes of the targets; at a quarter of the sides if `quick`."""
    names = ("vnet-small", "unet3d-small") if quick else ("vnet", "unet3d")
    return [work(name) for name in names]


def work(name: str) -> Work:
    """One of `infer_models.MODELS`."""
    model = MODELS[name]
    title = {"vnet": "VNet", "unet3d": "UNet3D"}[model.net] + " " + "×".join(map(str, model.size))
    best: tuple[str, ...] = (TORCH, TORCH_LAST)
    pairs = [
        Pair(FP32, best, 1.0),
        Pair(ALL, best, 0.5),
        *(Pair(ours, best) for ours in ALL),
        Pair(FP32, (TORCH + ALLOCATOR, TORCH_LAST + ALLOCATOR)),
        Pair((OPENVINO_BF16, EAGER_BF16), TORCH_BF16),
        Pair(FP32, best, None, MEMORY),
    ]
    return Work(title, [*ours(name), *peers(name)], pairs, units=float(prod(model.size)))


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
