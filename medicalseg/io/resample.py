"""Resampling: to another spacing, size or grid, with linear or cubic interpolation, or safely for labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from medicalseg.errors import VolumeError
from medicalseg.io.geometry import format_numbers, spacing_of
from medicalseg.io.orientation import reorient
from medicalseg.io.volume import Volume

_EDGE = 1e-4


def resample(
    volume: Volume,
    *,
    spacing: Sequence[float] | None = None,
    shape: Sequence[int] | None = None,
    order: int | None = None,
    labels: bool | None = None,
    antialias: bool = False,
) -> Volume:
    """Return the volume with another voxel size or grid size; the axes and the middle of the field of view stay.

    Args:
        volume: (X, Y, Z) or (C, X, Y, Z).
        spacing: new voxel size in mm, kept exactly; the size of the grid is rounded to the old field of view.
        shape: new grid size instead; the field of view is kept exactly.
        order: 0 nearest, 1 linear, 3 cubic B-spline. None: 1 for images, 0 for labels. Order 1 for labels
            interpolates the indicator of each class and takes the class with the largest value.
        labels: treat values as class ids; None: when the volume is marked as a label map.
        antialias: smooth an image along the axes that become coarser, against aliasing.

    Returns:
        Images as float32 (order 0: in their type), labels in their type.

    Raises:
        VolumeError: neither or both of spacing and shape, or numbers that make no grid.
    """
    if (spacing is None) == (shape is None):
        raise VolumeError("resampling needs either a spacing or a shape")
    old_shape, old_spacing = np.array(volume.shape), np.array(volume.spacing)
    if spacing is not None:
        new_spacing = _three(spacing, "spacing")
        new_shape = np.maximum(np.floor(old_shape * old_spacing / new_spacing + 0.5 + 1e-6), 1)
        if new_shape.prod() > 2**40:
            raise VolumeError(f"spacing {format_numbers(new_spacing)} gives {format_numbers(new_shape)} voxels")
    else:
        new_shape = _three(shape or (), "shape")
        if (new_shape != np.rint(new_shape)).any():
            raise VolumeError(f"the shape {shape} is not made of whole numbers")
        new_spacing = old_shape * old_spacing / new_shape
    size = tuple(int(count) for count in new_shape)
    return resample_grid(
        volume, _centred(volume, size, new_spacing), size, order=order, labels=labels, antialias=antialias
    )


def _three(numbers: Sequence[float], name: str) -> np.ndarray:
    result = np.array(numbers, dtype=float)
    if result.shape != (3,) or not np.isfinite(result).all() or (result <= 0).any():
        raise VolumeError(f"the {name} {numbers} is not three positive numbers")
    return result


def _centred(volume: Volume, shape: tuple[int, ...], spacing: np.ndarray) -> np.ndarray:
    affine = np.array(volume.affine)
    affine[:3, :3] = volume.direction * spacing
    middle = volume.affine[:3, :3] @ ((np.array(volume.shape) - 1) / 2) + volume.affine[:3, 3]
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def resample_to(
    volume: Volume,
    reference: Volume,
    order: int | None = None,
    labels: bool | None = None,
    *,
    antialias: bool = False,
    fill: float | None = None,
) -> Volume:
    """Return the volume on the grid of `reference`, whatever the orientation of either.

    The same grid, or one that differs by flips and permutations only, gives exact values. Other arguments and errors
    as for `resample` and `resample_grid`.
    """
    return resample_grid(
        volume, reference.affine, reference.shape, order=order, labels=labels, antialias=antialias, fill=fill
    )


def resample_grid(
    volume: Volume,
    affine: np.ndarray,
    shape: tuple[int, int, int] | tuple[int, ...],
    *,
    order: int | None = None,
    labels: bool | None = None,
    antialias: bool = False,
    fill: float | None = None,
) -> Volume:
    """Return the volume on the grid given by `affine` (4x4, RAS) and `shape` (3).

    Args:
        volume: (X, Y, Z) or (C, X, Y, Z).
        affine: of the new grid.
        shape: of the new grid.
        order: as for `resample`.
        labels: as for `resample`.
        antialias: as for `resample`.
        fill: value outside the old field of view (half a voxel beyond the outermost centres). None: the smallest value
            of an image, 0 for labels.

    Raises:
        VolumeError: unknown order, cubic labels, or labels with channels.
    """
    labels = volume.is_label if labels is None else labels
    order = (0 if labels else 1) if order is None else order
    _check_order(order, labels, volume)
    target = Volume(np.broadcast_to(np.uint8(0), shape), affine)
    moving = reorient(volume, target.axcodes)
    meta = {**volume.meta, "labels": labels}
    if moving.shape == target.shape and np.allclose(moving.affine, target.affine, rtol=0, atol=_exactness(target)):
        return Volume(_as_result(moving.array, order, labels), affine, path=volume.path, meta=meta)
    matrix = np.linalg.inv(moving.affine) @ target.affine
    if labels and order == 1:
        array = _blend_labels(moving.array, matrix, target.shape, 0 if fill is None else fill)
    else:
        sigma = _smoothing(moving, target) if antialias and order > 0 and not labels else None
        if fill is None:
            fill = 0 if labels else moving.array.min()
        planes = moving.array if moving.array.ndim == 4 else moving.array[None]
        results = [_interpolate(_smooth(plane, sigma), matrix, target.shape, order, fill) for plane in planes]
        array = np.stack(results) if moving.array.ndim == 4 else results[0]
    return Volume(array, affine, path=volume.path, meta=meta)


def _check_order(order: int, labels: bool, volume: Volume) -> None:
    if order not in (0, 1, 3):
        raise VolumeError(f"the interpolation order {order} is not known: 0 nearest, 1 linear, 3 cubic")
    if labels and (order == 3 or volume.array.ndim != 3 or volume.array.dtype.kind not in "iu"):
        raise VolumeError(
            f"labels are whole numbers on a 3D grid, moved with order 0 or 1; not {volume.array.dtype} of shape "
            f"{volume.array.shape} with order {order}"
        )


def _exactness(target: Volume) -> float:
    return 1e-6 * float(spacing_of(target.affine).min())


def _as_result(array: np.ndarray, order: int, labels: bool) -> np.ndarray:
    return array if labels or order == 0 else array.astype(np.float32, copy=False)


def _smoothing(moving: Volume, target: Volume) -> np.ndarray:
    factor = np.array(target.spacing) / np.array(moving.spacing)
    return np.maximum((factor - 1) / 2, 0)


def _smooth(plane: np.ndarray, sigma: np.ndarray | None) -> np.ndarray:
    if sigma is None or not sigma.any():
        return plane
    return ndimage.gaussian_filter(plane, sigma, output=np.float32, mode="nearest")


def _interpolate(plane: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...], order: int, fill: float) -> np.ndarray:
    """Return values at `matrix` times the index of each new voxel; beyond the outermost centres the edge goes on."""
    dtype = plane.dtype if order == 0 else np.dtype(np.float32)
    linear, offset = matrix[:3, :3], matrix[:3, 3]
    bent = np.abs(linear - np.diag(np.diag(linear))) * np.maximum(np.array(shape) - 1, 1)
    straight = bool(bent.max() < _EDGE)
    if straight and order == 1:
        result = _interpolate_axes(plane, np.diag(linear), offset, shape)
    else:
        result = np.empty(shape, dtype=dtype, order="F")
        ndimage.affine_transform(
            plane,
            np.diag(linear) if straight else linear,
            offset=offset,
            output_shape=shape,
            output=result,
            order=order,
            mode="nearest",
        )
    _fill_outside(result, matrix, plane.shape, fill)
    return result


def _interpolate_axes(plane: np.ndarray, scale: np.ndarray, offset: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the trilinear interpolation, one axis after the other: ten times as fast as all at once."""
    if plane.flags.f_contiguous:  # NumPy gathers along C-ordered arrays much faster
        return _interpolate_axes(plane.T, scale[::-1], offset[::-1], shape[::-1]).T
    result = plane
    for axis in np.argsort(np.array(shape) / plane.shape):
        size = plane.shape[axis]
        place = np.clip(scale[axis] * np.arange(shape[axis]) + offset[axis], 0, size - 1)
        lower = np.minimum(place.astype(np.intp), max(size - 2, 0))
        part = (place - lower).astype(np.float32).reshape([-1 if other == axis else 1 for other in range(3)])
        low = np.take(result, lower, axis=axis).astype(np.float32, copy=False)
        high = np.take(result, np.minimum(lower + 1, size - 1), axis=axis).astype(np.float32, copy=False)
        high -= low
        high *= part
        high += low
        result = high
    return result


def _fill_outside(result: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...], fill: float) -> None:
    x, y = (np.arange(size) for size in result.shape[:2])
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in result.shape], indexing="ij")).reshape(3, -1)
    places = matrix[:3, :3] @ corners + matrix[:3, 3:4]
    limits = np.array(shape)[:, None] - 0.5 + _EDGE
    if (places >= -0.5 - _EDGE).all() and (places <= limits).all():
        return
    for z in range(result.shape[2]):
        outside = np.zeros(result.shape[:2], dtype=bool)
        for axis in range(3):
            a, b, c, d = matrix[axis]
            place = (a * x)[:, None] + (b * y)[None, :] + (c * z + d)
            outside |= (place < -0.5 - _EDGE) | (place > shape[axis] - 0.5 + _EDGE)
        result[..., z][outside] = fill


def _blend_labels(array: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...], fill: float) -> np.ndarray:
    """Return, per new voxel, the class whose linearly interpolated indicator is largest; ties go to the smaller id."""
    best = np.zeros(shape, dtype=np.float32, order="F")
    result = np.full(shape, array.min(), dtype=array.dtype, order="F")
    for label, box in _boxes(array):
        region, shifted = _reach(box, matrix, shape)
        size = tuple(part.stop - part.start for part in region)
        if min(size) < 1:
            continue
        share = _interpolate((array[box] == label).view(np.uint8), shifted, size, 1, 0)
        better = share > best[region] + 1e-6
        result[region][better] = label
        best[region][better] = share[better]
    _fill_outside(result, matrix, array.shape, fill)
    return result


def _boxes(array: np.ndarray) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Yield each class id, in rising order, with the box that holds it and one voxel around it."""
    low = int(array.min())
    if abs(low) < 2**30 and int(array.max()) - low < 2**16:
        found = ndimage.find_objects(array.astype(np.int32) + (1 - low))
        ids, boxes = np.array([low + rank for rank, box in enumerate(found) if box]), [box for box in found if box]
    else:
        ids = np.unique(array)
        boxes = ndimage.find_objects(np.searchsorted(ids, array).astype(np.int32) + 1)
    for label, box in zip(ids, boxes, strict=True):
        yield (
            int(label),
            tuple(
                slice(max(part.start - 1, 0), min(part.stop + 1, size))
                for part, size in zip(box, array.shape, strict=True)
            ),
        )


def _reach(box: tuple[slice, ...], matrix: np.ndarray, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], np.ndarray]:
    """Return the part of the new grid that `box` of the old can reach, and the matrix from there into the box."""
    ends = [(part.start - 0.5, part.stop - 0.5) for part in box]
    corners = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1)
    places = np.linalg.solve(matrix[:3, :3], corners - matrix[:3, 3:4])
    low = np.clip(np.floor(places.min(axis=1) - 1e-3), 0, shape).astype(int)
    high = np.clip(np.ceil(places.max(axis=1) + 1e-3) + 1, 0, shape).astype(int)
    shifted = np.array(matrix)
    shifted[:3, 3] += matrix[:3, :3] @ low - [part.start for part in box]
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), shifted


def deskew(volume: Volume, order: int | None = None, *, fill: float | None = None) -> Volume:
    """Return a sheared volume (CT gantry tilt) on a right-angled grid that covers all of it.

    The first two axes and all spacings stay; the third axis is turned at right angles to them.

    Args:
        volume: read with `read_volume(path, sheared=True)`.
        order: as for `resample`.
        fill: as for `resample_grid`.
    """
    step = volume.affine[:3, :3]
    first = step[:, 0] / np.linalg.norm(step[:, 0])
    second = step[:, 1] - first * (first @ step[:, 1])
    second /= np.linalg.norm(second)
    third = np.cross(first, second)
    third *= np.sign(third @ step[:, 2])
    direction = np.stack([first, second, third], axis=1)
    spacing = np.abs((direction * step).sum(axis=0))
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in volume.shape], indexing="ij")).reshape(3, -1)
    places = (direction.T @ (step @ corners)) / spacing[:, None]
    low = places.min(axis=1)
    shape = tuple(int(size) for size in np.rint(np.ceil(places.max(axis=1) - low - 1e-3)) + 1)
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    affine[:3, 3] = volume.affine[:3, 3] + affine[:3, :3] @ low
    return resample_grid(volume, affine, shape, order=order, fill=fill)
