"""Suite `train`: one training step, forward, Dice and cross-entropy, backward, AdamW."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from benchmarks.frame import MEMORY, Contender, Pair, Work

SUITE = "train"
SPINE = {
    "kernel_size": [[2, 2, 4], [2, 2, 2], [2, 2, 2], [2, 2, 2]],
    "stride_size": [[2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2]],
}
NETS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "VNet": ("vnet", {"in_channels": 1, "num_classes": 20, **SPINE}, (2, 1, 128, 128, 12)),
    "UNet3D": ("unet3d", {"in_channels": 1, "num_classes": 3}, (2, 1, 64, 64, 64)),
    "nnU-Net-shaped": ("nnunet", {"in_channels": 1, "num_classes": 3}, (8, 1, 40, 56, 40)),
}
SMALL = {"in_channels": 1, "num_classes": 3, "base_channels": 8, "norm": "instance"}
SIDES = (64, 96, 128, 160, 192)
BATCHES = (1, 2, 4)
BATCH_SIDE = 64
THREADS = (1, 2)
ALLOCATOR = ", our allocator"
FEW = 2
SIZE_ROUNDS = 3
FP32, BF16, EAGER = "medicalseg fp32", "medicalseg bf16", "Paddle eager"
TORCH, TORCH_LAST = "PyTorch fp32", "PyTorch fp32 channels_last_3d"
TORCH_BF16 = "PyTorch bf16 autocast channels_last_3d"


def works(quick: bool) -> list[Work]:
    """The three networks of the targets and, unless `quick`, cost against size, batch and threads."""
    found = [target_work(name, *description) for name, description in NETS.items()]
    return found if quick else [*found, *size_works()]


def target_work(name: str, net: str, arguments: Mapping[str, Any], shape: Sequence[int]) -> Work:
    """A network at the size its target is set for."""
    common = {"net": net, "arguments": arguments, "shape": list(shape)}
    pairs = [
        Pair(FP32, EAGER, 0.2),
        Pair(FP32, TORCH, 1.0),
        Pair(BF16, (TORCH, TORCH_LAST), 0.7),
        Pair(BF16, TORCH_BF16, 1.3),
        Pair(FP32, TORCH, 1.1, MEMORY),
        Pair(BF16, TORCH, 1.1, MEMORY),
        Pair(FP32, EAGER + ALLOCATOR),
        Pair(FP32, TORCH + ALLOCATOR),
        Pair(FP32, (TORCH, TORCH_LAST)),
        Pair(BF16, (TORCH + ALLOCATOR, TORCH_LAST + ALLOCATOR)),
        Pair(BF16, TORCH_BF16 + ALLOCATOR),
    ]
    return Work(f"{name} {_size(shape)}", [*ours(common), *eager(common), *peers(common)], pairs, units=_voxels(shape))


def size_works() -> list[Work]:
    """A small U-Net from 64^3 to 192^3 on 1 and 2 threads, and with batches of 1, 2 and 4."""
    cubes = [size_work((1, 1, side, side, side), count, "voxels") for count in THREADS for side in SIDES]
    return [*cubes, *(size_work((count, 1, *(BATCH_SIDE,) * 3), THREADS[-1], "batch") for count in BATCHES)]


def size_work(shape: Sequence[int], threads: int, grows: str) -> Work:
    """The small U-Net on one shape, in the series in which `grows` grows."""
    common = {"net": "unet3d", "arguments": SMALL, "shape": list(shape)}
    both = [*ours(common, SIZE_ROUNDS), *peers(common, SIZE_ROUNDS)]
    kept = [contender for contender in both if contender.name in (FP32, BF16, TORCH, TORCH_LAST, TORCH_BF16)]
    pairs = [Pair(FP32, (TORCH, TORCH_LAST)), Pair(BF16, TORCH_BF16), Pair(FP32, TORCH, None, MEMORY)]
    series = f"small U-Net, {threads} thread{'' if threads == 1 else 's'}, {grows}"
    return Work(f"{series}: {_size(shape)}", kept, pairs, threads, _voxels(shape), series)


def ours(common: Mapping[str, Any], rounds: int | None = None) -> list[Contender]:
    """The toolkit in both precisions."""
    return [
        Contender(name, "benchmarks.train_ours:step", {**common, "bf16": bf16}, ("paddle",), rounds=rounds)
        for name, bf16 in ((FP32, False), (BF16, True))
    ]


def eager(common: Mapping[str, Any]) -> list[Contender]:
    """Paddle's own layers, with the number of threads that Paddle sets where the user sets none."""
    return [
        Contender(
            EAGER + (ALLOCATOR if allocator else ""),
            "benchmarks.train_ours:step",
            {**common, "accelerated": False, "allocator": allocator},
            ("paddle",),
            {"OMP_NUM_THREADS": None},
            rounds=FEW,
        )
        for allocator in (False, True)
    ]


def peers(common: Mapping[str, Any], rounds: int | None = None) -> list[Contender]:
    """PyTorch's layouts and precisions, as it comes and with our allocator settings."""
    variants = ((TORCH, False, False), (TORCH_LAST, True, False), (TORCH_BF16, True, True))
    return [
        Contender(
            name + (ALLOCATOR if allocator else ""),
            "benchmarks.train_torch:step",
            {**common, "channels_last": last, "bf16": bf16, "allocator": allocator},
            ("torch",),
            rounds=rounds,
        )
        for name, last, bf16 in variants
        for allocator in (False, True)
    ]


def _size(shape: Sequence[int]) -> str:
    return f"{shape[0]}×{'×'.join(map(str, shape[2:]))}"


def _voxels(shape: Sequence[int]) -> float:
    return float(shape[0] * prod(shape[2:]))
