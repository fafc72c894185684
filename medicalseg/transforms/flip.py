"""Mirror images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import Transform, choose, happens
from medicalseg.transforms.checks import Arguments
from medicalseg.transforms.flat import flat_axes


@manager.TRANSFORMS.add_component
class RandomFlip3D(Transform):
    """Choose one axis, then mirror along it with probability `prob`.

    Label ids are not exchanged: do not flip left-right where left and right structures have different ids.

    Args:
        prob: probability of a flip.
        flip_axis: one axis or the list to choose from, X = 0; the axis of a single voxel is not chosen.
    """

    _first_axis = 0

    def __init__(self, prob: float = 0.5, flip_axis: int | Sequence[int] = (0, 1, 2)) -> None:
        arguments = Arguments(self)
        self.prob = arguments.probability("prob", prob)
        self.flip_axis = arguments.axes("flip_axis", flip_axis, self._first_axis)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        flat = flat_axes(image.shape[1:])
        axis = choose([axis for axis in self.flip_axis if axis not in flat] or self.flip_axis)
        return _mirror(image, label, (axis,)) if happens(self.prob) else (image, label)


@manager.TRANSFORMS.add_component
class RandomFlip4D(RandomFlip3D):
    """`RandomFlip3D` for (C, X, Y, Z) images: axes count those of the image, X = 1.

    Args:
        prob: probability of a flip.
        flip_axis: one axis or the list to choose from, X = 1.
    """

    _first_axis = 1

    def __init__(self, prob: float = 0.5, flip_axis: int | Sequence[int] = (1, 2, 3)) -> None:
        super().__init__(prob, flip_axis)


@manager.TRANSFORMS.add_component
class MirrorTransform(Transform):
    """Mirror along each of `axes` with probability 1/2, independently.

    Args:
        axes: spatial axes, X = 0.
        p_per_sample: probability that a sample is mirrored at all.
    """

    def __init__(self, axes: Sequence[int] = (0, 1, 2), p_per_sample: float = 1.0) -> None:
        arguments = Arguments(self)
        self.axes = arguments.axes("axes", axes)
        self.p_per_sample = arguments.probability("p_per_sample", p_per_sample)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        if not happens(self.p_per_sample):
            return image, label
        return _mirror(image, label, tuple(axis for axis in self.axes if happens(0.5)))


def _mirror(image: np.ndarray, label: np.ndarray | None, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    flipped = np.flip(image, tuple(axis + 1 for axis in axes))
    return flipped, None if label is None else np.flip(label, axes)
