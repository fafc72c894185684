"""Changes of the grid: another number of voxels for the same content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import Transform, happens, uniform
from medicalseg.transforms.checks import Arguments
from medicalseg.transforms.flat import flat_axes
from medicalseg.transforms.sampling import Shape, resize, resize_label


@manager.TRANSFORMS.add_component
class Resize3D(Transform):
    """Resize to a fixed grid, as `scipy.ndimage.zoom(mode="nearest")` does; labels take the nearest voxel.

    Args:
        size: [x, y, z], or the length of the shortest side (the others in proportion, rounded down); an axis of a
            single voxel is not counted and kept.
        order: spline order of the image, 0 to 5.
    """

    def __init__(self, size: int | Sequence[int], order: int = 1) -> None:
        arguments = Arguments(self)
        self.size: int | Shape = arguments.grid("size", size)
        self.order = arguments.whole("order", order, 0, 5)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        target = self.target(image.shape[1:])
        return resize(image, target, self.order), None if label is None else resize_label(label, target)

    def target(self, shape: Sequence[int]) -> Shape:
        """The grid that a volume of `shape` is brought to."""
        if isinstance(self.size, tuple):
            return self.size
        flat = flat_axes(shape)
        shortest = min(side for axis, side in enumerate(shape) if axis not in flat)
        x, y, z = (1 if axis in flat else self.size * side // shortest for axis, side in enumerate(shape))
        return x, y, z


@manager.TRANSFORMS.add_component
class ResizeRangeScaling(Transform):
    """Resize the whole grid by one random factor; the number of voxels changes, so a crop or pad must follow.

    An axis of a single voxel keeps it.

    Args:
        min_scale_factor: smallest factor, > 0.
        max_scale_factor: largest factor.
        interpolation: spline order of the image, 0 to 5; labels take the nearest voxel.
        p_per_sample: probability that a sample is resized.
    """

    def __init__(
        self,
        min_scale_factor: float = 0.85,
        max_scale_factor: float = 1.25,
        interpolation: int = 3,
        p_per_sample: float = 1.0,
    ) -> None:
        arguments = Arguments(self)
        self.min_scale_factor = arguments.number("min_scale_factor", min_scale_factor, 0.01, 100)
        self.max_scale_factor = arguments.number("max_scale_factor", max_scale_factor, self.min_scale_factor, 100)
        self.interpolation = arguments.whole("interpolation", interpolation, 0, 5)
        self.p_per_sample = arguments.probability("p_per_sample", p_per_sample)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        if not happens(self.p_per_sample):
            return image, label
        factor = uniform((self.min_scale_factor, self.max_scale_factor))
        flat = flat_axes(image.shape[1:])
        target: Any = tuple(
            1 if axis in flat else max(1, round(side * factor)) for axis, side in enumerate(image.shape[1:])
        )
        return resize(image, target, self.interpolation), None if label is None else resize_label(label, target)
