"""Rotation, scaling and translation together, in one interpolation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import Transform, happens, uniform
from medicalseg.transforms.checks import Arguments
from medicalseg.transforms.flat import flat_axes, planes_within
from medicalseg.transforms.sampling import centred_offset, rotatable_planes, rotation_matrix, thin_axes, warp


@manager.TRANSFORMS.add_component
class RandomAffine3D(Transform):
    """Rotate, scale and shift about the centre, in one interpolation; the grid keeps its shape, outside is 0.

    Args:
        degrees: range of the angle in each of `rotate_planes`; a number d stands for (-d, d).
        scale: range of the size of the content after / before.
        translation: range of the shift along each axis, as a fraction of its length; d stands for (-d, d).
        rotate_planes: planes to rotate in, one after another. Default: all but those that touch an axis shorter than
            a third of the longest; scale and shift then leave such an axis alone too, which is much faster. With a
            list they apply to all axes but one of a single voxel, which is always left alone.
        isotropic: one scale for all axes; otherwise one for each.
        spacing: voxel size [x, y, z] in any unit, so that rotations are rigid in space; default: cubic voxels.
        prob: probability that a sample is changed.
    """

    def __init__(
        self,
        degrees: float | Sequence[float] = 15,
        scale: Sequence[float] = (0.9, 1.1),
        translation: float | Sequence[float] = 0.05,
        rotate_planes: Sequence[Sequence[int]] | None = None,
        isotropic: bool = True,
        spacing: Sequence[float] | None = None,
        prob: float = 1.0,
    ) -> None:
        arguments = Arguments(self)
        self.degrees = arguments.spread("degrees", degrees)
        self.scale = arguments.interval("scale", scale, 0.01, 100)
        self.translation = arguments.spread("translation", translation, -1, 1)
        self.rotate_planes = None if rotate_planes is None else arguments.planes("rotate_planes", rotate_planes)
        self.isotropic = arguments.flag("isotropic", isotropic)
        if spacing is not None and (not isinstance(spacing, (list, tuple)) or len(spacing) != 3):
            arguments.refuse("spacing", "three numbers > 0 or null", spacing)
        self.spacing = None if spacing is None else [arguments.number("spacing", side, 1e-6) for side in spacing]
        self.prob = arguments.probability("prob", prob)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        if not happens(self.prob):
            return image, label
        shape = image.shape[1:]
        matrix, shift = self._draw(shape)
        return warp(image, label, matrix, centred_offset(matrix, shape) + shift)

    def _draw(self, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        if self.rotate_planes is None:
            kept, planes = thin_axes(shape), rotatable_planes(shape)
        else:
            kept, planes = flat_axes(shape), planes_within(self.rotate_planes, shape, self)
        matrix = np.eye(3)
        for plane in planes:
            matrix = matrix @ rotation_matrix(plane, uniform(self.degrees))
        size = uniform(self.scale)
        sizes = np.array([size if self.isotropic else uniform(self.scale) for _ in range(3)])
        shift = np.array([uniform(self.translation) * side for side in shape])
        sizes[list(kept)], shift[list(kept)] = 1, 0
        spacing = np.asarray(self.spacing or (1, 1, 1), dtype=float)
        matrix = matrix * spacing / spacing[:, np.newaxis] / sizes[:, np.newaxis]
        return matrix, -matrix @ shift


@manager.TRANSFORMS.add_component
class RandomScale3D(RandomAffine3D):
    """Enlarge or shrink the content about the centre; the grid keeps its shape, outside is 0.

    An axis shorter than a third of the longest keeps its scale.

    Args:
        scale: range of the size of the content after / before.
        isotropic: one scale for all axes; otherwise one for each.
        prob: probability that a sample is changed.
    """

    def __init__(self, scale: Sequence[float] = (0.8, 1.25), isotropic: bool = True, prob: float = 1.0) -> None:
        super().__init__(degrees=0, scale=scale, translation=0, isotropic=isotropic, prob=prob)
