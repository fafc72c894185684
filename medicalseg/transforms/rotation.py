"""Rotations about the centre of the volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import Transform, choose, happens, uniform
from medicalseg.transforms.checks import PLANES, Arguments
from medicalseg.transforms.flat import planes_within
from medicalseg.transforms.sampling import centred_offset, rotatable_planes, rotation_matrix, warp

Planes = tuple[tuple[int, int], ...]


@manager.TRANSFORMS.add_component
class RandomRotation3D(Transform):
    """Rotate by a random angle in one plane, drawn anew for every sample; the grid keeps its shape, corners become 0.

    The image is interpolated linearly (the numbers of `scipy.ndimage.rotate(order=1, reshape=False)`), the label
    takes the nearest voxel. Angles are in voxel axes: give `RandomAffine3D` the spacing for rigid rotations through
    thick slices.

    Args:
        degrees: a number d for (-d, d), or [low, high].
        rotate_planes: planes to choose from, such as [[0, 1]]. Default: all but those that touch an axis shorter than
            a third of the longest, so a 512 x 512 x 12 volume is rotated within its slices only. A volume that leaves
            no such plane is not rotated.
        prob: probability of rotating at all.

    Example:
        >>> import numpy as np
        >>> image, label = np.zeros((8, 8, 4)), np.zeros((8, 8, 4), int)
        >>> RandomRotation3D(degrees=30)(image, label)[0].shape
        (8, 8, 4)
    """

    _first_axis = 0

    def __init__(
        self,
        degrees: float | Sequence[float],
        rotate_planes: Sequence[Sequence[int]] | None = None,
        prob: float = 1.0,
    ) -> None:
        arguments = Arguments(self)
        self.degrees = arguments.spread("degrees", degrees)
        self.rotate_planes = _planes(arguments, rotate_planes, self._first_axis)
        self.prob = arguments.probability("prob", prob)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        shape = image.shape[1:]
        planes = planes_within(self.rotate_planes, shape, self) if self.rotate_planes else rotatable_planes(shape)
        if not planes or not happens(self.prob):
            return image, label
        matrix = rotation_matrix(choose(planes), uniform(self.degrees))
        return warp(image, label, matrix, centred_offset(matrix, shape))


@manager.TRANSFORMS.add_component
class RandomRotation4D(RandomRotation3D):
    """`RandomRotation3D` for (C, X, Y, Z) images: planes count the axes of the image, X = 1.

    Args:
        degrees: a number d for (-d, d), or [low, high].
        rotate_planes: such as [[1, 2], [1, 3], [2, 3]]; default as in `RandomRotation3D`.
        prob: probability of rotating at all.
    """

    _first_axis = 1


@manager.TRANSFORMS.add_component
class RandomQuarterTurn3D(Transform):
    """Turn by +90 degrees in one plane.

    In a plane with two equal sides no voxel value changes. In another plane the grid keeps its shape: what leaves it
    is lost, what was outside is 0.

    Args:
        prob: probability of turning.
        rotate_planes: planes to choose from. Default: those with equal sides, or if there are none, those that
            `RandomRotation3D` would use.
    """

    def __init__(self, prob: float = 0.5, rotate_planes: Sequence[Sequence[int]] | None = None) -> None:
        arguments = Arguments(self)
        self.prob = arguments.probability("prob", prob)
        self.rotate_planes = _planes(arguments, rotate_planes, 0)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        shape = image.shape[1:]
        planes = (
            planes_within(self.rotate_planes, shape, self)
            if self.rotate_planes
            else _square_planes(shape) or rotatable_planes(shape)
        )
        if not planes or not happens(self.prob):
            return image, label
        a, b = choose(planes)
        if shape[a] != shape[b]:
            matrix = rotation_matrix((a, b), 90)
            return warp(image, label, matrix, centred_offset(matrix, shape))
        return np.rot90(image, axes=(a + 1, b + 1)), None if label is None else np.rot90(label, axes=(a, b))


def _planes(arguments: Arguments, value: Any, first: int) -> Planes | None:
    return None if value is None else arguments.planes("rotate_planes", value, first)


def _square_planes(shape: Sequence[int]) -> Planes:
    return tuple((a, b) for a, b in PLANES if shape[a] == shape[b])
