"""The way from an original voxel grid to a network's grid and exactly back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy import ndimage

from medicalseg.errors import DataError

Triple = tuple[int, int, int]
SLAB_VOXELS = 1 << 24


@dataclass(frozen=True)
class GridRecord:
    """Where the voxels of an original grid lie on the network's grid.

    Along each oriented axis, original index i lies at `scale * i + offset` on the network's grid; content outside
    `start` to `stop` is padding.

    Attributes:
        shape: original spatial shape, as stored.
        affine: original 4x4 affine (RAS, mm).
        orientation: axis codes that the array was brought to; None = as stored.
        scale: network voxels per original voxel, per oriented axis.
        offset: network index of original index 0, per oriented axis.
        start: first network index with content.
        stop: one past the last network index with content.
        network_shape: spatial shape on the network's grid.
    """

    shape: Triple
    affine: tuple[tuple[float, ...], ...]
    orientation: str | None
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    start: Triple
    stop: Triple
    network_shape: Triple

    @property
    def oriented_shape(self) -> Triple:
        """Original shape in the network's axis order."""
        axes = [int(axis) for axis in orientation_change(self.affine, self.orientation)[:, 0]]
        shape = [0, 0, 0]
        for source, target in enumerate(axes):
            shape[target] = self.shape[source]
        return (shape[0], shape[1], shape[2])

    @property
    def is_interpolated(self) -> bool:
        """Whether the two grids' voxels do not coincide."""
        steps = zip(self.scale, self.offset, strict=True)
        return any(scale != 1 or offset != round(offset) for scale, offset in steps)

    def resized(self, shape: Sequence[int]) -> GridRecord:
        """The record after the network's grid was resized once more, corners aligned."""
        steps = [corner_aligned(*sizes).inverse() for sizes in zip(self.network_shape, shape, strict=True)]
        start, stop = (
            [edge * step + shift for edge, (step, shift) in zip(edges, steps, strict=True)]
            for edges in (self.start, [stop - 1 for stop in self.stop])
        )
        return replace(
            self,
            scale=_triple([scale * step for scale, (step, _) in zip(self.scale, steps, strict=True)], float),
            offset=_triple([at * step + shift for at, (step, shift) in zip(self.offset, steps, strict=True)], float),
            start=_triple([math.floor(edge) for edge in start], int),
            stop=_triple([min(size, math.ceil(edge) + 1) for edge, size in zip(stop, shape, strict=True)], int),
            network_shape=_triple(shape, int),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> GridRecord:
        """Inverse of `to_dict`.

        Raises:
            DataError: if a key is missing or not of the right kind.
        """
        try:
            return cls(
                shape=_triple(content["shape"], int),
                affine=tuple(tuple(float(value) for value in row) for row in content["affine"]),
                orientation=content["orientation"],
                scale=_triple(content["scale"], float),
                offset=_triple(content["offset"], float),
                start=_triple(content["start"], int),
                stop=_triple(content["stop"], int),
                network_shape=_triple(content["network_shape"], int),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"grid record is incomplete or wrong: {type(error).__name__}: {error}") from error


def _triple(values: Any, kind: Any) -> Any:
    first, second, third = values
    return (kind(first), kind(second), kind(third))


@dataclass(frozen=True)
class AxisMap:
    """Linear map of one axis: output index j reads input coordinate `step * j + origin`, clamped to the input."""

    size_in: int
    size_out: int
    step: float
    origin: float

    @property
    def is_identity(self) -> bool:
        """Whether the axis stays as it is."""
        return self.size_in == self.size_out and self.step == 1 and self.origin == 0

    def coordinates(self) -> np.ndarray:
        """Input coordinate of every output index."""
        return np.clip(np.arange(self.size_out) * self.step + self.origin, 0, self.size_in - 1)

    def inverse(self) -> tuple[float, float]:
        """Scale and offset of the way back: output coordinate = scale * input index + offset."""
        if self.size_out == 1:
            return 0.0, 0.0
        if self.size_in == 1:
            return 0.0, (self.size_out - 1) / 2
        return 1 / self.step, -self.origin / self.step


def corner_aligned(size_in: int, size_out: int) -> AxisMap:
    """First and last voxel stay first and last: the mapping of `scipy.ndimage.zoom`."""
    step = (size_in - 1) / (size_out - 1) if size_out > 1 else 1.0
    return AxisMap(size_in, size_out, step, 0.0)


def centre_aligned(size_in: int, spacing_in: float, spacing_out: float) -> AxisMap:
    """The field of view stays: the mapping for a change of voxel size."""
    size_out = max(1, round(size_in * spacing_in / spacing_out))
    step = size_in / size_out
    return AxisMap(size_in, size_out, step, (step - 1) / 2)


def resize(array: np.ndarray, maps: Sequence[AxisMap], order: int) -> np.ndarray:
    """Interpolate the last three axes of `array`, edge voxels repeated outside (SciPy's mode "nearest").

    Args:
        array: (X, Y, Z) or (C, X, Y, Z).
        maps: one per spatial axis.
        order: spline order; 0 keeps any number type, the others give float32.
    """
    if all(axis.is_identity for axis in maps):
        return array
    if order > 1:
        return _spline(array, maps, order)
    for index in sorted(range(3), key=lambda axis: maps[axis].size_out / maps[axis].size_in):
        if not maps[index].is_identity:
            interpolate = _nearest if order == 0 else _linear
            array = interpolate(array, maps[index].coordinates(), array.ndim - 3 + index)
    return array


def _nearest(array: np.ndarray, coordinates: np.ndarray, axis: int) -> np.ndarray:
    return np.take(array, np.floor(coordinates + 0.5).astype(np.intp), axis=axis)


def _linear(array: np.ndarray, coordinates: np.ndarray, axis: int) -> np.ndarray:
    low, weight = neighbours(coordinates)
    high = np.minimum(low + 1, array.shape[axis] - 1)
    weight = weight.reshape([-1 if dimension == axis else 1 for dimension in range(array.ndim)])
    result = np.take(array, low, axis=axis).astype(np.float32, copy=False)
    difference = np.take(array, high, axis=axis).astype(np.float32, copy=False)
    difference -= result
    difference *= weight
    result += difference
    return result


def neighbours(coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower neighbour's index and the upper one's weight (float32), per coordinate."""
    low = np.floor(coordinates).astype(np.intp)
    return low, (coordinates - low).astype(np.float32)


def _spline(array: np.ndarray, maps: Sequence[AxisMap], order: int) -> np.ndarray:
    shape = tuple(axis.size_out for axis in maps)
    steps, origins = [axis.step for axis in maps], [axis.origin for axis in maps]
    if array.ndim == 4:
        return np.stack([_spline(channel, maps, order) for channel in array])
    return ndimage.affine_transform(
        array.astype(np.float32, copy=False), steps, origins, shape, order=order, mode="nearest"
    )


def orientation_change(affine: Any, orientation: str | None) -> np.ndarray:
    """nibabel's orientation transform (3, 2) from `affine`'s axes to `orientation`; identity for None."""
    if orientation is None:
        return np.array([[0, 1], [1, 1], [2, 1]])
    return ornt_transform(io_orientation(np.asarray(affine)), axcodes2ornt(tuple(orientation))).astype(int)


def orient(array: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Apply an orientation transform to the last three axes (a view)."""
    first = array.ndim - 3
    order = [int(axis) for axis in np.argsort(change[:, 0])]
    return array[_flips(change)].transpose(*range(first), *(first + axis for axis in order))


def orient_back(array: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Undo `orient` (a view)."""
    first = array.ndim - 3
    array = array.transpose(*range(first), *(first + int(axis) for axis in change[:, 0]))
    return array[_flips(change)]


def _flips(change: np.ndarray) -> Any:
    return (Ellipsis, *(slice(None, None, int(flip)) for flip in change[:, 1]))


def labels_to_original(labels: np.ndarray, record: GridRecord) -> np.ndarray:
    """Bring labels from the network's grid to the original shape and axis order.

    Every class's indicator is interpolated linearly and the largest wins, class by class inside the class's bounding
    box and slab by slab, so memory is bounded. Where the grids coincide the labels are copied.

    Args:
        labels: (X, Y, Z) non-negative integers on the network's grid.
        record: what `Preprocessing.apply` gave with the image.

    Raises:
        DataError: if the labels' shape is not the record's, or an id is negative.
    """
    if labels.shape != record.network_shape:
        raise DataError(f"labels have the shape {labels.shape}, but the image had {record.network_shape}")
    if labels.size and int(labels.min()) < 0:
        raise DataError(f"label map has the negative id {int(labels.min())}")
    labels = _smallest_type(labels)
    content = labels[tuple(slice(*bounds) for bounds in zip(record.start, record.stop, strict=True))]
    result = _vote(content, record) if record.is_interpolated else _copy(content, record)
    change = orientation_change(record.affine, record.orientation)
    return np.ascontiguousarray(orient_back(result, change))


def _smallest_type(labels: np.ndarray) -> np.ndarray:
    highest = int(labels.max()) if labels.size else 0
    for kind in (np.uint8, np.uint16):
        if highest <= np.iinfo(kind).max:
            return labels.astype(kind, copy=False)
    return labels.astype(np.int32, copy=False)


def _copy(content: np.ndarray, record: GridRecord) -> np.ndarray:
    if content.shape != record.oriented_shape:
        raise DataError(f"grid record is wrong: content {content.shape}, original {record.oriented_shape}")
    return content


def _vote(content: np.ndarray, record: GridRecord) -> np.ndarray:
    shape = record.oriented_shape
    coordinates = [
        np.clip(np.arange(shape[axis]) * record.scale[axis] + record.offset[axis], record.start[axis], None)
        - record.start[axis]
        for axis in range(3)
    ]
    coordinates = [np.clip(line, 0, content.shape[axis] - 1) for axis, line in enumerate(coordinates)]
    result = np.zeros(shape, content.dtype)
    rows = max(1, SLAB_VOXELS // max(1, shape[1] * shape[2]))
    for first in range(0, shape[0], rows):
        slab = [coordinates[0][first : first + rows], coordinates[1], coordinates[2]]
        _vote_slab(content, slab, result[first : first + rows])
    return result


def _vote_slab(content: np.ndarray, coordinates: Sequence[np.ndarray], result: np.ndarray) -> None:
    low, high = math.floor(coordinates[0][0]), min(math.floor(coordinates[0][-1]) + 2, len(content))
    content = content[low:high]
    coordinates = [coordinates[0] - low, *coordinates[1:]]
    best = np.zeros(result.shape, np.float32)
    for label, box in _boxes(content):
        targets = _targets(coordinates, box)
        inside = [line[target] for line, target in zip(coordinates, targets, strict=True)]
        weight = _indicator(content == label, inside) if label == 0 else _boxed(content, label, box, inside)
        region, winner = best[tuple(targets)], result[tuple(targets)]
        better = weight > region
        np.copyto(region, weight, where=better)
        winner[better] = label


def _boxes(content: np.ndarray) -> Iterator[tuple[int, tuple[slice, ...]]]:
    if (content == 0).any():
        yield 0, tuple(slice(0, size) for size in content.shape)
    for index, box in enumerate(ndimage.find_objects(content.astype(np.int32, copy=False))):
        if box is not None:
            yield index + 1, box


def _targets(coordinates: Sequence[np.ndarray], box: tuple[slice, ...]) -> list[slice]:
    """Output range per axis that a class with this box can reach: coordinates between box - 1 and box + 1."""
    ranges = []
    for line, bounds in zip(coordinates, box, strict=True):
        first = int(np.searchsorted(line, bounds.start - 1, side="right"))
        last = int(np.searchsorted(line, bounds.stop, side="left"))
        ranges.append(slice(first, max(first, last)))
    return ranges


def _boxed(content: np.ndarray, label: int, box: tuple[slice, ...], inside: Sequence[np.ndarray]) -> np.ndarray:
    wider = tuple(
        slice(max(0, bounds.start - 1), min(size, bounds.stop + 1))
        for bounds, size in zip(box, content.shape, strict=True)
    )
    shifted = [line - bounds.start for line, bounds in zip(inside, wider, strict=True)]
    return _indicator(content[wider] == label, shifted)


def _indicator(mask: np.ndarray, coordinates: Sequence[np.ndarray]) -> np.ndarray:
    weight = mask.astype(np.float32)
    for axis in sorted(range(3), key=lambda index: len(coordinates[index]) / mask.shape[index]):
        line = coordinates[axis]
        if len(line) != mask.shape[axis] or not np.array_equal(line, np.arange(len(line))):
            weight = _linear(weight, line, axis)
    return weight
