"""Suite `transforms`: augmentation of one sample on one core, nnU-Net's recipe and its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from benchmarks.frame import Contender, Pair, Work

SUITE = "transforms"
OURS = "medicalseg"
BG2, BG2_NEAREST = "batchgeneratorsv2", "batchgeneratorsv2, labels nearest"
MONAI, TORCHIO = "MONAI", "torchio"
ALLOCATOR = ", our allocator"
PATCHES = {(128, 128, 128): 16, (40, 56, 40): 160, (16, 160, 128): 80}
"""Patch sizes, and the samples a round takes."""
STEPS = ("spatial", "noise", "blur", "brightness", "contrast", "low resolution", "gamma", "mirror")
SCIPY = {
    "rotation in plane": ((512, 512, 12), (128, 128, 128)),
    "affine in 3D": ((128, 128, 128),),
    "resize to 0.75": ((512, 512, 12), (128, 128, 128)),
    "elastic": ((128, 128, 128),),
}
_MINE, _PEERS, _PLAIN = "benchmarks.transforms:ours", "benchmarks.transforms_peers", "benchmarks.transforms_scipy"
_NNUNET = ("torch", "nnunetv2", "batchgeneratorsv2")


def works(quick: bool) -> list[Work]:
    """nnU-Net's recipe at three patch sizes; each transform alone, and SciPy's calls, on the smaller or all sizes."""
    patches = [patch for patch in PATCHES if not quick or prod(patch) < 10**6]
    found = [recipe_work(patch) for patch in patches]
    found += [step_work(step, patch) for step in STEPS for patch in patches if patch[0] >= 40]
    return found if quick else [*found, *(scipy_work(name, shape) for name in SCIPY for shape in SCIPY[name])]


def recipe_work(patch: tuple[int, ...]) -> Work:
    """The whole recipe with its probabilities; a round is the mean of many samples, each round other ones."""
    given = {"patch": list(patch), "samples": PATCHES[patch]}
    nnunet = f"{_PEERS}:nnunet"
    contenders = [
        Contender(OURS, _MINE, given),
        Contender(BG2, nnunet, given, _NNUNET),
        Contender(BG2 + ALLOCATOR, nnunet, {**given, "allocator": True}, _NNUNET),
        Contender(BG2_NEAREST, nnunet, {**given, "nearest": True}, _NNUNET),
        Contender(MONAI, f"{_PEERS}:monai_recipe", given, ("torch", "monai")),
        Contender(TORCHIO, f"{_PEERS}:torchio_recipe", given, ("torch", "torchio")),
    ]
    pairs = [Pair(OURS, BG2, 1.0), *(Pair(OURS, name) for name in (BG2 + ALLOCATOR, BG2_NEAREST, MONAI, TORCHIO))]
    samples = PATCHES[patch]
    return Work(f"nnU-Net recipe {_size(patch)}, {samples} samples", contenders, pairs, 1, prod(patch) * samples)


def step_work(step: str, patch: tuple[int, ...]) -> Work:
    """One transform of the recipe with probability 1."""
    given = {"patch": list(patch), "samples": max(2, PATCHES[patch] // 8), "step": step}
    contenders = [Contender(OURS, _MINE, given), Contender(BG2, f"{_PEERS}:nnunet", given, _NNUNET)]
    units = prod(patch) * given["samples"]
    return Work(f"{step} {_size(patch)}, {given['samples']} samples", contenders, [Pair(OURS, BG2)], 1, units)


def scipy_work(name: str, shape: Sequence[int]) -> Work:
    """One of our resampling transforms and SciPy's call that does the same, image and label."""
    given = {"name": name, "shape": list(shape)}
    contenders = [Contender(OURS, f"{_PLAIN}:ours", given), Contender("SciPy", f"{_PLAIN}:theirs", given)]
    return Work(f"{name} {_size(shape)}", contenders, [Pair(OURS, "SciPy")], 1, prod(shape))


def ours(patch: Sequence[int], samples: int, step: str | None = None) -> Callable[[], object]:
    """`NnUNetAugmentation`, or one of its transforms with probability 1."""
    import itertools

    import numpy as np

    from benchmarks.transforms_data import sample, source_shape
    from medicalseg.ops.process import keep_large_blocks
    from medicalseg.utils.seeding import sample_seed

    keep_large_blocks()
    image, label = sample(source_shape(patch) if step in (None, "spatial") else patch)
    transform = _recipe(patch) if step is None else _single(step, patch)
    numbers = itertools.count()

    def run() -> None:
        for _ in range(samples):
            with sample_seed(0, 0, next(numbers)):
                made = transform.run(image.copy(), label.copy(), True)
            for array in made[:2]:
                np.ascontiguousarray(array)

    return run


def _recipe(patch: Sequence[int]) -> Any:
    from medicalseg.transforms import NnUNetAugmentation

    return NnUNetAugmentation(list(patch), p_foreground=0)


def _single(step: str, patch: Sequence[int]) -> Any:
    from medicalseg import transforms as T

    return {
        "spatial": lambda: T.SpatialTransform(list(patch), p_rotation=1, p_scaling=1),
        "noise": lambda: T.GaussianNoiseTransform((0, 0.1)),
        "blur": lambda: T.GaussianBlurTransform((0.5, 1), different_sigma_per_axis=True),
        "brightness": lambda: T.BrightnessMultiplicativeTransform((0.75, 1.25)),
        "contrast": lambda: T.ContrastAugmentationTransform((0.75, 1.25)),
        "low resolution": lambda: T.SimulateLowResolutionTransform((0.5, 1), order_downsample=0, order_upsample=1),
        "gamma": lambda: T.GammaTransform((0.7, 1.5), per_channel=True, retain_stats=True),
        "mirror": lambda: T.MirrorTransform(),
    }[step]()


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
