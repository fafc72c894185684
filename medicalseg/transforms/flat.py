"""Images among volumes: grids with an axis of a single voxel, along which nothing can be moved or blurred."""

from __future__ import annotations

from collections.abc import Sequence

from medicalseg.errors import DataError

Shape = tuple[int, int, int]
Planes = tuple[tuple[int, int], ...]


def flat_axes(shape: Sequence[int]) -> tuple[int, ...]:
    """Axes of a single voxel of a grid that has longer ones.

    Example:
        >>> flat_axes((640, 480, 1))
        (2,)
    """
    return tuple(axis for axis, length in enumerate(shape) if length == 1 < max(shape))


def is_image(shape: Sequence[int]) -> bool:
    """Whether the grid is a plane: one axis of a single voxel, two longer ones."""
    return len(flat_axes(shape)) == 1


def grid_of(size: int | Shape, shape: Sequence[int]) -> Shape:
    """The grid that a `size` argument stands for: a number is a cube of a volume, a square of an image.

    Args:
        size: [x, y, z] or one number.
        shape: the spatial shape it is asked for.
    """
    if not isinstance(size, int):
        return size
    flat = flat_axes(shape)
    x, y, z = (1 if axis in flat else size for axis in range(3))
    return x, y, z


def planes_within(planes: Planes, shape: Sequence[int], owner: object) -> Planes:
    """Those of the given planes that do not leave an image.

    Raises:
        DataError: if none is left; names the transform and the planes to use.
    """
    flat = flat_axes(shape)
    within = tuple(plane for plane in planes if not set(plane) & set(flat))
    if within or not is_image(shape):
        return within or planes
    allowed = [axis for axis in range(3) if axis not in flat]
    raise DataError(
        f"{type(owner).__name__}: rotate_planes {[list(plane) for plane in planes]} turn an image of "
        f"{' x '.join(map(str, shape))} voxels out of its plane; leave rotate_planes out, "
        f"or name the plane of the axes {allowed}, counted from X = 0"
    )
