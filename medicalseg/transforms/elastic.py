"""Smooth random deformation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import Transform, happens
from medicalseg.transforms.checks import Arguments
from medicalseg.transforms.volume_warp import sample_volume
from medicalseg.utils.seeding import rng

_UNFOLDED = 0.4


@manager.TRANSFORMS.add_component
class RandomElastic3D(Transform):
    """Deform with random displacements on a coarse lattice, cubic B-splines between; outside is the nearest voxel.

    A displacement below 0.4 lattice steps cannot fold space (Choi and Lee, 2000, "Injectivity conditions of 2D and 3D
    uniform cubic B-spline functions").

    Args:
        control_points: lattice points along each axis, >= 4, at the corners of the volume and evenly between.
        max_displacement: largest displacement along an axis, as a fraction of its length.
        prob: probability that a sample is changed.

    Raises:
        ConfigError: if the displacement could fold space; the message gives the limit.
    """

    def __init__(
        self, control_points: int | Sequence[int] = 7, max_displacement: float = 0.04, prob: float = 1.0
    ) -> None:
        arguments = Arguments(self)
        self.control_points, self.max_displacement = check_lattice(arguments, control_points, max_displacement)
        self.prob = arguments.probability("prob", prob)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        if not happens(self.prob) or self.max_displacement == 0:
            return image, label
        return sample_volume(image, label, self._places(image.shape[1:]))

    def _places(self, shape: Sequence[int]) -> np.ndarray:
        places = displaced(shape, self.control_points, self.max_displacement)
        for place, side in zip(places, shape, strict=True):
            np.clip(place, 0, side - 1, out=place)
        return places


def check_lattice(
    arguments: Arguments, control_points: int | Sequence[int], max_displacement: float
) -> tuple[tuple[int, int, int], float]:
    """The two arguments of a deformation that cannot fold space.

    Raises:
        ConfigError: if it could; the message gives the limit.
    """
    points = arguments.size("control_points", control_points)
    if min(points) < 4:
        arguments.refuse("control_points", "at least 4 along each axis", control_points)
    limit = round(_UNFOLDED / (max(points) - 1), 4)
    return points, arguments.number("max_displacement", max_displacement, 0, limit)


def displaced(shape: Sequence[int], control_points: Sequence[int], max_displacement: float) -> np.ndarray:
    """Voxel coordinates (3, X, Y, Z) of a grid, float32, after random displacements on a lattice."""
    bases = [_spline_basis(side, points) for side, points in zip(shape, control_points, strict=True)]
    places = np.empty((3, *shape), np.float32)
    for axis, side in enumerate(shape):
        reach = max_displacement * (side - 1)
        lattice = rng().uniform(-reach, reach, [basis.shape[1] for basis in bases]).astype(np.float32)
        for basis in bases:
            lattice = np.tensordot(lattice, basis, axes=(0, 1))
        along = np.arange(side, dtype=np.float32).reshape([-1 if index == axis else 1 for index in range(3)])
        np.add(lattice, along, out=places[axis])
    return places


def _spline_basis(side: int, points: int) -> np.ndarray:
    """Weights (side, points + 2) of the uniform cubic B-splines whose knots divide the axis into points - 1 steps."""
    place = np.linspace(0, points - 1, side)
    step = np.minimum(place.astype(int), points - 2)
    t = place - step
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    basis = np.zeros((side, points + 2), np.float32)
    for index, weight in enumerate(weights):
        basis[np.arange(side), step + index] = weight
    return basis
