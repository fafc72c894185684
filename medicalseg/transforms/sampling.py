"""Resampling on voxel grids, image linear and label nearest at the same places; nothing random here.

Warps equal `scipy.ndimage.affine_transform` with `mode="constant"` and `cval=0`: places outside the voxel centres
become 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.ndimage
import scipy.special

from medicalseg.transforms.boxes import crop, needed_box
from medicalseg.transforms.flat import flat_axes
from medicalseg.transforms.line_warp import warp_axis
from medicalseg.transforms.plane_warp import Plane, warp_plane
from medicalseg.transforms.volume_warp import warp_volume

Shape = tuple[int, int, int]

_THIN = 3


def thin_axes(shape: Sequence[int]) -> tuple[int, ...]:
    """Axes shorter than a third of the longest one; where some have a single voxel, these and no other."""
    return flat_axes(shape) or tuple(axis for axis, length in enumerate(shape) if length * _THIN < max(shape))


def rotatable_planes(shape: Sequence[int]) -> tuple[Plane, ...]:
    """Planes in which a rotation does not mix a thin axis with a long one.

    All planes except those that touch a thin axis (`thin_axes`). A column (one long axis) leaves
    the plane across it, provided its two sides are comparable.
    """
    thin = thin_axes(shape)
    planes: tuple[Plane, ...] = ((0, 1), (0, 2), (1, 2))
    left = tuple(plane for plane in planes if not set(plane) & set(thin))
    if left or len(thin) != 2:
        return left
    across = (thin[0], thin[1])
    return () if thin_axes([shape[axis] for axis in across]) else (across,)


def rotation_matrix(plane: Plane, degrees: float) -> np.ndarray:
    """3 x 3 matrix from output to input voxel axes, in `scipy.ndimage.rotate`'s sense of rotation."""
    cosine, sine = scipy.special.cosdg(degrees), scipy.special.sindg(degrees)
    matrix = np.eye(3)
    matrix[np.ix_(plane, plane)] = [[cosine, sine], [-sine, cosine]]
    return matrix


def centred_offset(matrix: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Offset that makes `matrix` act about the centre of the grid."""
    centre = (np.asarray(shape, dtype=float) - 1) / 2
    return centre - matrix @ centre


def warp(
    image: np.ndarray,
    label: np.ndarray | None,
    matrix: np.ndarray,
    offset: np.ndarray,
    shape: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Output voxel o takes the value at `matrix @ o + offset`; 0 outside.

    Args:
        image: (C, X, Y, Z) float32, interpolated linearly.
        label: (X, Y, Z) integers or None, nearest neighbour.
        matrix: 3 x 3, voxel axes.
        offset: 3, voxels.
        shape: spatial shape of the result; default: the image's. Nothing outside of it is computed.
    """
    shape = tuple(image.shape[1:] if shape is None else shape)
    kept = kept_axes(matrix, offset)
    low, high = needed_box(image.shape[1:], matrix, offset, shape)
    for axis in kept:
        low[axis] = round(float(offset[axis]))
        high[axis] = low[axis] + shape[axis]
    if (low == high).any():
        return np.zeros((len(image), *shape), np.float32), None if label is None else np.zeros(shape, label.dtype)
    image, label = crop(image, label, low.tolist(), (high - low).tolist())
    offset = offset - low
    lines = [axis for axis in range(3) if axis not in kept and _is_alone(matrix, axis)]
    for axis in sorted(lines, key=lambda axis: (shape[axis] / image.shape[axis + 1], -axis)):
        image, label = warp_axis(image, label, axis, matrix[axis, axis], offset[axis], shape[axis])
    done = kept + lines
    if len(done) == 3:
        return image, label
    if not done:
        return warp_volume(image, label, matrix, offset, shape)
    plane = ((1, 2), (0, 2), (0, 1))[done[0]]
    sides = (shape[plane[0]], shape[plane[1]])
    return warp_plane(image, label, plane, matrix[np.ix_(plane, plane)], offset[list(plane)], sides)


def kept_axes(matrix: np.ndarray, offset: np.ndarray) -> list[int]:
    """Axes that an affine map at most shifts by whole voxels."""
    return [axis for axis in range(3) if _is_alone(matrix, axis) and _is_whole(matrix[axis, axis], offset[axis])]


def resize(image: np.ndarray, shape: Sequence[int], order: int, *, corners: bool = True) -> np.ndarray:
    """`scipy.ndimage.zoom(mode="nearest", grid_mode=not corners)` of every channel of (C, X, Y, Z).

    Args:
        image: (C, X, Y, Z) float32.
        shape: new spatial shape.
        order: spline order, 0 to 5.
        corners: the centres of the corner voxels stay in place; otherwise the outer faces of the grid do.
    """
    if image.shape[1:] == tuple(shape):
        return image
    if order == 0:
        return np.stack([resize_label(channel, shape, corners=corners) for channel in image])
    if order > 1:
        factors = np.asarray(shape) / image.shape[1:]
        zoomed = [_zoom(channel, factors, order, corners) for channel in image]
        return np.stack(zoomed)
    for axis in sorted(range(3), key=lambda axis: (shape[axis] / image.shape[axis + 1], -axis)):
        image = _interpolate_axis(image, axis + 1, _places(image.shape[axis + 1], shape[axis], corners))
    return image


def resize_label(label: np.ndarray, shape: Sequence[int], *, corners: bool = True) -> np.ndarray:
    """As `resize` with order 0, for (X, Y, Z): every voxel takes the nearest one's id."""
    if label.shape == tuple(shape):
        return label
    for axis, length in enumerate(shape):
        places = np.floor(_places(label.shape[axis], length, corners) + 0.5).astype(np.intp)
        label = label.take(np.minimum(places, label.shape[axis] - 1), axis=axis)
    return label


def _zoom(channel: np.ndarray, factors: np.ndarray, order: int, corners: bool) -> np.ndarray:
    return scipy.ndimage.zoom(channel, factors, order=order, mode="nearest", grid_mode=not corners)


def _is_alone(matrix: np.ndarray, axis: int) -> bool:
    """Whether no other axis is mixed with this one."""
    others = [other for other in range(3) if other != axis]
    return bool(np.allclose([matrix[axis, others], matrix[others, axis]], 0, atol=1e-12))


def _is_whole(scale: float, offset: float) -> bool:
    """Whether the axis is at most shifted by whole voxels."""
    return abs(scale - 1) < 1e-12 and abs(offset - round(float(offset))) < 1e-9


def _places(length: int, new_length: int, corners: bool) -> np.ndarray:
    index = np.arange(new_length)
    if corners:
        places = index * ((length - 1) / (new_length - 1) if new_length > 1 else 0.0)
    else:
        places = (index + 0.5) * (length / new_length) - 0.5
    return np.clip(places, 0, length - 1)


def _interpolate_axis(image: np.ndarray, axis: int, places: np.ndarray) -> np.ndarray:
    length = image.shape[axis]
    if length == len(places):
        return image
    low = np.minimum(places.astype(np.intp), max(length - 2, 0))
    high = np.minimum(low + 1, length - 1)
    part = (places - low).astype(np.float32).reshape([-1 if index == axis else 1 for index in range(image.ndim)])
    below, above = image.take(low, axis=axis), image.take(high, axis=axis)
    above -= below
    above *= part
    above += below
    return above
