"""Suite `predict`: a spine volume's file to its label map's file, everything loaded before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.frame import Contender, Pair, Work

SUITE = "predict"
OURS, MONAI = "medicalseg fp32", "MONAI fp32"
LAST, BUNDLE, BF16 = "MONAI fp32 channels_last_3d", "MONAI fp32, logits inverted", "MONAI bf16 autocast"
ALLOCATOR = "MONAI fp32 channels_last_3d, our allocator"
TARGET = 0.7
WINDOW = (128, 160, 16)
BACKENDS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "medicalseg onnxruntime": ("onnxruntime", {"backend": "onnxruntime"}),
    "medicalseg openvino": ("openvino", {"backend": "openvino"}),
    "medicalseg openvino bf16": ("openvino", {"backend": "openvino", "precision": "bf16"}),
}


def works(quick: bool) -> list[Work]:
    """The volume resized as a whole, in half and in full resolution, and in windows; then a VNet on 512x512x12."""
    whole = work("UNet3D, 256x320x18 resized to 128x160x16", {"name": "unet3d", "full": False})
    if quick:
        return [whole]
    return [
        whole,
        work("UNet3D, 512x640x18 resized to 128x160x16", {"name": "unet3d", "full": True}),
        work("UNet3D, 256x320x18 in windows of 128x160x16", {"name": "unet3d", "full": False, "window": WINDOW}, False),
        work("VNet, 512x640x18 resized to 512x512x12", {"name": "vnet", "full": True}),
    ]


def work(title: str, common: Mapping[str, Any], bundle: bool = True) -> Work:
    """One volume and network, by us and by MONAI."""
    best = [OURS, *BACKENDS]
    pairs = [Pair(OURS, (MONAI, LAST), TARGET), Pair(tuple(best), (MONAI, LAST), TARGET), Pair(tuple(best), ALLOCATOR)]
    return Work(title, [*ours(common), *monai(common, bundle)], pairs)


def ours(common: Mapping[str, Any]) -> list[Contender]:
    """Paddle Inference, and the other backends."""
    factory = "benchmarks.predict_ours:file_to_file"
    found = [Contender(OURS, factory, common, ("paddle",))]
    for name, (package, options) in BACKENDS.items():
        found.append(Contender(name, factory, {**common, "options": options}, ("paddle", package)))
    return found


def monai(common: Mapping[str, Any], bundle: bool) -> list[Contender]:
    """MONAI in its default layout, in its best, with bf16, and as its bundles end."""
    settings: Sequence[tuple[str, Mapping[str, Any]]] = [
        (MONAI, {"channels_last": False}),
        (LAST, {}),
        (ALLOCATOR, {"allocator": True}),
        (BF16, {"bf16": True}),
        *([(BUNDLE, {"invert_logits": True})] if bundle else []),
    ]
    factory = "benchmarks.predict_monai:file_to_file"
    return [Contender(name, factory, {**common, **more}, ("torch", "monai")) for name, more in settings]
