"""Contenders of the suite `transforms`: our resampling, and SciPy's calls for the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.ndimage

DEGREES, FACTOR = 13.0, 0.75


def ours(name: str, shape: Sequence[int]) -> Callable[[], object]:
    """The transform, called on an image and its label."""
    from medicalseg import transforms as T
    from medicalseg.ops.process import keep_large_blocks

    keep_large_blocks()
    image, label = arrays(shape)
    planes = [[0, 1], [0, 2], [1, 2]]
    transform = {
        "rotation in plane": lambda: T.RandomRotation3D([DEGREES, DEGREES], [[0, 1]]),
        "affine in 3D": lambda: T.RandomAffine3D([DEGREES, DEGREES], rotate_planes=planes),
        "resize to 0.75": lambda: T.Resize3D([round(side * FACTOR) for side in shape]),
        "elastic": lambda: T.RandomElastic3D(),
    }[name]()
    return lambda: transform(image, label)


def theirs(name: str, shape: Sequence[int]) -> Callable[[], object]:
    """SciPy's function, image linear and label nearest."""
    image, label = arrays(shape)
    matrix = np.eye(3) + 0.05 * np.ones((3, 3))
    places = np.indices(shape, dtype=np.float32) if name == "elastic" else None

    def run() -> None:
        for array, order in ((image, 1), (label, 0)):
            if name == "rotation in plane":
                scipy.ndimage.rotate(array, DEGREES, axes=(0, 1), reshape=False, order=order)
            elif name == "affine in 3D":
                scipy.ndimage.affine_transform(array, matrix, order=order)
            elif name == "elastic":
                scipy.ndimage.map_coordinates(array, places, order=order)
            else:
                scipy.ndimage.zoom(array, FACTOR, order=order, mode="nearest")

    return run


def arrays(shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Random image float32 and label int32 of 20 classes."""
    generator = np.random.default_rng(0)
    return generator.random(shape, dtype=np.float32), generator.integers(0, 20, shape).astype(np.int32)
