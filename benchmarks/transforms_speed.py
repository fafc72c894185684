"""Milliseconds a transform takes for one sample (image float32, label int32), beside plain SciPy doing the same.

python benchmarks/transforms_speed.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import scipy.ndimage

from medicalseg import transforms as T
from medicalseg.utils.seeding import sample_seed

SHAPES = ((512, 512, 12), (128, 128, 128))


def milliseconds(action: Callable[[], object], repeats: int) -> float:
    """Best time of `repeats` runs after one to warm up."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def scipy_rotation(image: np.ndarray, label: np.ndarray, plane: tuple[int, int]) -> None:
    """Upstream's call, with the label done right."""
    scipy.ndimage.rotate(image, 13.0, axes=plane, reshape=False, order=1)
    scipy.ndimage.rotate(label, 13.0, axes=plane, reshape=False, order=0)


def scipy_affine(image: np.ndarray, label: np.ndarray) -> None:
    """A full 3D matrix."""
    matrix = np.eye(3) + 0.05 * np.ones((3, 3))
    scipy.ndimage.affine_transform(image, matrix, order=1)
    scipy.ndimage.affine_transform(label, matrix, order=0)


def scipy_zoom(image: np.ndarray, label: np.ndarray) -> None:
    """To 0.75 of each side."""
    scipy.ndimage.zoom(image, 0.75, order=1, mode="nearest")
    scipy.ndimage.zoom(label, 0.75, order=0, mode="nearest")


def main() -> None:
    """Print one line per transform and shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    for shape in SHAPES:
        generator = np.random.default_rng(0)
        image = generator.random(shape, dtype=np.float32)
        label = generator.integers(0, 20, shape).astype(np.int32)
        every_plane = [[0, 1], [0, 2], [1, 2]]
        small = [round(side * 0.75) for side in shape]
        spine = [T.RandomRotation3D(30), T.RandomFlip3D()]
        actions = {
            "scipy rotate, plane 0-1": lambda i, j: scipy_rotation(i, j, (0, 1)),
            "scipy rotate, plane 1-2": lambda i, j: scipy_rotation(i, j, (1, 2)),
            "RandomRotation3D plane 0-1": T.RandomRotation3D(30, [[0, 1]]),
            "RandomRotation3D plane 1-2": T.RandomRotation3D(30, [[1, 2]]),
            "scipy affine_transform": scipy_affine,
            "RandomAffine3D": T.RandomAffine3D(),
            "RandomAffine3D, all planes": T.RandomAffine3D(rotate_planes=every_plane),
            "RandomScale3D": T.RandomScale3D(),
            "RandomElastic3D": T.RandomElastic3D(),
            "scipy zoom": scipy_zoom,
            "Resize3D": T.Resize3D(small),
            "RandomResizedCrop3D": T.RandomResizedCrop3D(list(shape)),
            "RandomFlip3D": T.RandomFlip3D(1.0),
            "GaussianNoiseTransform": T.GaussianNoiseTransform(),
            "GaussianBlurTransform 0.5-1": T.GaussianBlurTransform((0.5, 1)),
            "ContrastAugmentationTransform": T.ContrastAugmentationTransform(),
            "GammaTransform": T.GammaTransform(),
            "SimulateLowResolution 0/0": T.SimulateLowResolutionTransform(order_downsample=0, order_upsample=0),
            "SimulateLowResolution 1/1": T.SimulateLowResolutionTransform(order_downsample=1, order_upsample=1),
            "SimulateLowResolution 0/3": T.SimulateLowResolutionTransform(order_downsample=0, order_upsample=3),
            "LabelRemap": T.LabelRemap({1: 2, 2: 1}),
            "Compose([])": T.Compose([]),
            "Compose([RandomRotation3D(30), RandomFlip3D()])": T.Compose(spine),
        }
        for name, action in actions.items():
            with sample_seed(0):
                cost = milliseconds(lambda: action(image, label), repeats)  # noqa: B023
            print(f"{'x'.join(map(str, shape)):12s} {name:48s} {cost:8.1f} ms")


if __name__ == "__main__":
    main()
