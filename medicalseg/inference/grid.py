"""The way from an original voxel grid to a network's grid and exactly back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from medicalseg.errors import DataError

Triple = tuple[int, int, int]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class GridRecord:
    """Where the voxels of an original grid lie on the network's grid.

    Along each oriented axis, original index i lies at `scale * i + offset` on the network's grid; content outside
    `start` to `stop` is padding. Where the image was cropped, original voxels outside `box` are background.

    Attributes:
        shape: original spatial shape, as stored.
        affine: original 4x4 affine (RAS, mm).
        orientation: axis codes that the array was brought to; None = as stored.
        scale: network voxels per original voxel, per oriented axis.
        offset: network index of original index 0, per oriented axis.
        start: first network index with content.
        stop: one past the last network index with content.
        network_shape: spatial shape on the network's grid.
        crop_start: first voxel of the crop, per oriented axis of the original grid; None = nothing was cropped.
        crop_stop: one past its last voxel; None = nothing was cropped.
    """

    shape: Triple
    affine: tuple[tuple[float, ...], ...]
    orientation: str | None
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    start: Triple
    stop: Triple
    network_shape: Triple
    crop_start: Triple | None = None
    crop_stop: Triple | None = None

    @property
    def box(self) -> Box:
        """The part of the oriented original grid that the network saw."""
        first, last = self.crop_start or (0, 0, 0), self.crop_stop or self.oriented_shape
        return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])

    @property
    def box_shape(self) -> Triple:
        """Shape of `box`."""
        first, second, third = (part.stop - part.start for part in self.box)
        return first, second, third

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
                crop_start=_triple_or_none(content.get("crop_start")),
                crop_stop=_triple_or_none(content.get("crop_stop")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"grid record is incomplete or wrong: {type(error).__name__}: {error}") from error


def _triple(values: Any, kind: Any) -> Any:
    first, second, third = values
    return (kind(first), kind(second), kind(third))


def _triple_or_none(values: Any) -> Triple | None:
    return None if values is None else _triple(values, int)


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
        if self.is_identity:
            return 1.0, 0.0
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


def orientation_change(affine: Any, orientation: str | None) -> np.ndarray:
    """nibabel's orientation transform (3, 2) from `affine`'s axes to `orientation`; identity for None."""
    if orientation is None:
        return np.array([[0, 1], [1, 1], [2, 1]])
    return _orientation_change(np.asarray(affine, dtype=float).tobytes(), orientation).copy()


@lru_cache(maxsize=16)
def _orientation_change(affine: bytes, orientation: str) -> np.ndarray:
    stored = io_orientation(np.frombuffer(affine).reshape(4, 4))
    return np.asarray(ornt_transform(stored, axcodes2ornt(tuple(orientation))).astype(int))


def orient(array: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Apply an orientation transform to the last three axes (a view)."""
    first = array.ndim - 3
    order = [int(axis) for axis in np.argsort(change[:, 0])]
    return array[_flips(change)].transpose(*range(first), *(first + axis for axis in order))


def oriented_bounds(
    bounds: Sequence[tuple[int, int]], shape: Sequence[int], change: np.ndarray
) -> list[tuple[int, int]]:
    """First and one past the last index along each stored axis, along each axis after `orient`."""
    oriented = [(0, 0)] * 3
    for (first, last), size, (axis, flip) in zip(bounds, shape, change, strict=True):
        oriented[int(axis)] = (first, last) if flip > 0 else (size - last, size - first)
    return oriented


def _flips(change: np.ndarray) -> Any:
    return (Ellipsis, *(slice(None, None, int(flip)) for flip in change[:, 1]))
