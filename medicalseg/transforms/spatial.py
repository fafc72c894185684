"""Cutting a patch, rotation, scaling and elastic deformation in one interpolation of nothing but the patch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import Transform, choose, happens, uniform
from medicalseg.transforms.checks import Arguments, Interval
from medicalseg.transforms.elastic import check_lattice, displaced
from medicalseg.transforms.flat import Planes, flat_axes, grid_of, is_image, planes_within
from medicalseg.transforms.patch_view import InMemory, PatchView
from medicalseg.transforms.sampling import rotatable_planes, rotation_matrix, thin_axes
from medicalseg.utils.seeding import rng

ISOTROPIC_DEGREES, THIN_DEGREES, OBLONG_DEGREES = (-30.0, 30.0), (-180.0, 180.0), (-15.0, 15.0)
_OBLONG = 1.5


@manager.TRANSFORMS.add_component
class SpatialTransform(Transform):
    """Cut a patch that is rotated, scaled and deformed about its own centre; outside the volume is 0.

    What of the volume surrounds the patch is turned into it, and only the patch is computed. Without a rotation,
    scaling or deformation the patch is cut out as it is. The default numbers are nnU-Net's.

    Args:
        patch_size: grid of the result, [x, y, z] or one number for a cube or square; default: the volume's, or of a
            dataset of patches its `patch_size`.
        random_crop: cut the patch at a random place; otherwise in the middle.
        p_foreground: probability that the patch is centred, as far as the volume reaches, on a random voxel of a
            random label id other than 0 instead.
        p_rotation: probability of a rotation.
        degrees: range of the angle in each of `rotate_planes`; a number d stands for (-d, d). Default: 180 degrees if
            the patch has an axis shorter than a third of the longest, else 30; of an image whose sides differ by more
            than half, 15.
        rotate_planes: planes to rotate in, one after another. Default: all but those that touch such a thin axis. An
            image is never turned out of its plane.
        p_scaling: probability of a scaling.
        scaling: range of (side of what is seen) / (side of the patch): 0.7 enlarges, 1.4 shrinks the content. A thin
            axis is left alone unless `rotate_planes` are given.
        isotropic: one scale for all axes; otherwise one for each.
        p_elastic: probability of an elastic deformation (as `RandomElastic3D` of the patch).
        control_points: see `RandomElastic3D`.
        max_displacement: see `RandomElastic3D`.
    """

    def __init__(
        self,
        patch_size: int | Sequence[int] | None = None,
        random_crop: bool = True,
        p_foreground: float = 0.0,
        p_rotation: float = 0.2,
        degrees: float | Sequence[float] | None = None,
        rotate_planes: Sequence[Sequence[int]] | None = None,
        p_scaling: float = 0.2,
        scaling: Sequence[float] = (0.7, 1.4),
        isotropic: bool = True,
        p_elastic: float = 0.0,
        control_points: int | Sequence[int] = 7,
        max_displacement: float = 0.04,
    ) -> None:
        arguments = Arguments(self)
        self.patch_size = None if patch_size is None else arguments.grid("patch_size", patch_size)
        self.random_crop = arguments.flag("random_crop", random_crop)
        self.p_foreground = arguments.probability("p_foreground", p_foreground)
        self.p_rotation = arguments.probability("p_rotation", p_rotation)
        self.degrees = None if degrees is None else arguments.spread("degrees", degrees)
        self.rotate_planes = None if rotate_planes is None else arguments.planes("rotate_planes", rotate_planes)
        self.p_scaling = arguments.probability("p_scaling", p_scaling)
        self.scaling = arguments.interval("scaling", scaling, 0.01, 100)
        self.isotropic = arguments.flag("isotropic", isotropic)
        self.p_elastic = arguments.probability("p_elastic", p_elastic)
        self.control_points, self.max_displacement = check_lattice(arguments, control_points, max_displacement)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        shape = image.shape[1:] if self.patch_size is None else grid_of(self.patch_size, image.shape[1:])
        starts = self._starts(image.shape[1:], shape, label)
        return self.view(shape).cut(InMemory(image, label), starts)

    def view(self, shape: Sequence[int]) -> PatchView:
        """Draw how a patch of this shape is turned, scaled and deformed; nothing of a volume is needed for that."""
        x, y, z = shape
        matrix = self._matrix(shape)
        bent = None
        if happens(self.p_elastic) and self.max_displacement > 0:
            bent = displaced((x, y, z), self.control_points, self.max_displacement)
        return PatchView((x, y, z), matrix, bent)

    def cutting(self) -> tuple[SpatialTransform, tuple[Transform, ...]]:
        """What cuts the patch, and what is done with it then; for datasets that choose the place themselves."""
        return self, ()

    def _starts(self, sides: Sequence[int], shape: Sequence[int], label: np.ndarray | None) -> list[int]:
        rooms = [side - length for side, length in zip(sides, shape, strict=True)]
        places = rng().random(3) if self.random_crop else np.full(3, 0.5)
        starts = [
            min(room, int(place * (room + 1))) if self.random_crop and room > 0 else room // 2
            for room, place in zip(rooms, places.tolist(), strict=True)
        ]
        centre = _foreground_voxel(label) if happens(self.p_foreground) and label is not None else None
        if centre is None:
            return starts
        wanted = [voxel - length // 2 for voxel, length in zip(centre, shape, strict=True)]
        return [
            int(np.clip(start, 0, room)) if room > 0 else room // 2 for start, room in zip(wanted, rooms, strict=True)
        ]

    def _matrix(self, shape: Sequence[int]) -> np.ndarray | None:
        rotated, scaled = happens(self.p_rotation), happens(self.p_scaling)
        if not rotated and not scaled:
            return None
        matrix = np.eye(3)
        if rotated:
            degrees = self.degrees or usual_degrees(shape)
            for plane in self._planes(shape):
                matrix = matrix @ rotation_matrix(plane, uniform(degrees))
        if scaled:
            common = uniform(self.scaling)
            factors = np.array([common if self.isotropic else uniform(self.scaling) for _ in range(3)])
            factors[list(thin_axes(shape) if self.rotate_planes is None else flat_axes(shape))] = 1
            matrix = matrix * factors
        return matrix

    def _planes(self, shape: Sequence[int]) -> Planes:
        if self.rotate_planes is None:
            return rotatable_planes(shape)
        return planes_within(self.rotate_planes, shape, self)


def usual_degrees(shape: Sequence[int]) -> Interval:
    """nnU-Net's range of angles for a patch of this shape."""
    if is_image(shape):
        short, long = sorted(shape)[1:]
        return OBLONG_DEGREES if long > _OBLONG * short else THIN_DEGREES
    return THIN_DEGREES if thin_axes(shape) else ISOTROPIC_DEGREES


def _foreground_voxel(label: np.ndarray) -> tuple[int, ...] | None:
    """A random voxel of a random id other than 0; None if there is none."""
    voxels = np.flatnonzero(label)
    if not voxels.size:
        return None
    ids = label.reshape(-1)[voxels]
    voxels = voxels[ids == choose(np.unique(ids).tolist())]
    return tuple(int(index) for index in np.unravel_index(voxels[int(rng().integers(len(voxels)))], label.shape))
