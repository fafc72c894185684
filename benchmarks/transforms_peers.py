"""Contenders of the suite `transforms` that run on PyTorch, on one thread as their data workers do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.transforms_data import is_thin, sample, source_shape

KINDS = {
    "spatial": "SpatialTransform",
    "noise": "GaussianNoiseTransform",
    "blur": "GaussianBlurTransform",
    "brightness": "MultiplicativeBrightnessTransform",
    "contrast": "ContrastTransform",
    "low resolution": "SimulateLowResolutionTransform",
    "gamma": "GammaTransform",
    "mirror": "MirrorTransform",
}


def nnunet(
    patch: Sequence[int], samples: int, step: str | None = None, nearest: bool = False, allocator: bool = False
) -> Callable[[], object]:
    """What nnU-Net's trainer builds, or one of its transforms with probability 1."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    _start(torch, allocator)
    thin = is_thin(patch)
    angle = math.pi if thin else math.pi / 6
    recipe = nnUNetTrainer.get_training_transforms(tuple(patch), (-angle, angle), None, (0, 1, 2), thin)
    for transform in recipe.transforms:
        if nearest and type(transform).__name__ == "SpatialTransform":
            transform.mode_seg = "nearest"
    chosen = recipe if step is None else _alone(recipe, KINDS[step])
    shape = source_shape(patch) if step in (None, "spatial") else patch
    image, label = (torch.from_numpy(array) for array in sample(shape))

    def run() -> None:
        for _ in range(samples):
            made = chosen(image=image.clone(), segmentation=label[None].clone())
            for tensor in made.values():
                tensor.contiguous()

    return run


def _alone(recipe: Any, kind: str) -> Any:
    inner = [getattr(transform, "transform", transform) for transform in recipe.transforms]
    transform = [item for item in inner if type(item).__name__ == kind][-1]
    for name in ("p_per_channel", "p_rotation", "p_scaling"):
        if hasattr(transform, name):
            setattr(transform, name, 1.0)
    return transform


def monai_recipe(patch: Sequence[int], samples: int) -> Callable[[], object]:
    """The same list in MONAI; rotation and scaling share one probability, that of either."""
    import torch
    from monai import transforms as M

    _start(torch, False)
    angles = [math.pi, 0, 0] if is_thin(patch) else [math.pi / 6] * 3
    stretch = [0.0 if is_thin(patch) else 0.35, 0.35, 0.35]
    both = ["image", "label"]
    gamma = {"keys": "image", "gamma": (0.7, 1.5), "retain_stats": True}
    chosen = M.Compose(
        [
            M.RandAffined(
                both,
                list(patch),
                0.36,
                angles,
                scale_range=stretch,
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            M.RandGaussianNoised("image", prob=0.1, std=0.1),
            M.RandGaussianSmoothd("image", *[(0.5, 1.0)] * 3, prob=0.1),
            M.RandScaleIntensityd("image", 0.25, prob=0.15),
            M.RandScaleIntensityFixedMeand("image", 0.25, preserve_range=True, prob=0.15),
            M.RandSimulateLowResolutiond("image", prob=0.125, zoom_range=(0.5, 1.0)),
            M.RandAdjustContrastd(prob=0.1, invert_image=True, **gamma),
            M.RandAdjustContrastd(prob=0.3, **gamma),
            *(M.RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)),
        ]
    )
    image, label = (torch.from_numpy(array) for array in sample(source_shape(patch)))
    return _repeated(lambda: chosen({"image": image.clone(), "label": label[None].clone()}), samples)


def torchio_recipe(patch: Sequence[int], samples: int) -> Callable[[], object]:
    """The part that torchio has: no brightness, contrast or low resolution along all axes."""
    import torch
    import torchio as tio

    _start(torch, False)
    thin = is_thin(patch)
    degrees = (180, 0, 0) if thin else 30
    scales = (1, 1, 0.7, 1.4, 0.7, 1.4) if thin else (0.7, 1.4)
    chosen = tio.Compose(
        [
            tio.RandomAffine(scales=scales, degrees=degrees, isotropic=not thin, default_pad_value=0, p=0.36),
            tio.CropOrPad(tuple(patch)),
            tio.RandomNoise(std=(0, 0.1), p=0.1),
            tio.RandomBlur(std=(0.5, 1), p=0.1),
            tio.RandomGamma(log_gamma=(math.log(0.7), math.log(1.5)), p=0.4),
            tio.RandomFlip(axes=(0, 1, 2), flip_probability=0.5),
        ]
    )
    image, label = (torch.from_numpy(array) for array in sample(source_shape(patch)))

    def one() -> object:
        subject = tio.Subject(
            image=tio.ScalarImage(tensor=image.clone()), label=tio.LabelMap(tensor=label[None].clone())
        )
        return chosen(subject)

    return _repeated(one, samples)


def _repeated(one: Callable[[], object], samples: int) -> Callable[[], object]:
    def run() -> None:
        for _ in range(samples):
            one()

    return run


def _start(torch: Any, allocator: bool) -> None:
    import numpy as np

    if allocator:
        from medicalseg.ops.process import keep_large_blocks

        keep_large_blocks()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
