"""The place of a patch in a volume, decided before a voxel is read, so that only what the patch shows need be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from medicalseg.transforms.boxes import crop, needed_box
from medicalseg.transforms.sampling import centred_offset, kept_axes, warp
from medicalseg.transforms.volume_warp import sample_volume

Shape = tuple[int, int, int]


class Readable(Protocol):
    """A volume of which boxes can be read."""

    @property
    def sides(self) -> Sequence[int]:
        """Spatial shape."""

    def read(self, low: Sequence[int], high: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Image float32 (C, x, y, z) and label (x, y, z) of the voxels from `low` to before `high`, within `sides`."""


@dataclass(frozen=True)
class InMemory:
    """Arrays that are there altogether.

    Attributes:
        image: (C, X, Y, Z).
        label: (X, Y, Z) or None.
    """

    image: np.ndarray
    label: np.ndarray | None

    @property
    def sides(self) -> Shape:
        """Spatial shape."""
        x, y, z = self.image.shape[1:]
        return x, y, z

    def read(self, low: Sequence[int], high: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Views of a box."""
        lengths = [stop - start for start, stop in zip(low, high, strict=True)]
        return crop(self.image, self.label, low, lengths)


@dataclass(frozen=True)
class PatchView:
    """What a patch shows of a volume: a box of it, turned, scaled and bent about the patch's centre.

    Attributes:
        shape: of the patch.
        matrix: 3 x 3, from the patch's to the volume's voxel axes; None = neither turned nor scaled.
        bent: places (3, x, y, z) that a deformation gives the patch's voxels, before the matrix; None = not deformed.
    """

    shape: Shape
    matrix: np.ndarray | None = None
    bent: np.ndarray | None = None

    def cut(self, volume: Readable, starts: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Image and label of the patch; 0 outside of the volume, of the label too (the background).

        Args:
            volume: what to cut from; only the needed box is read.
            starts: first voxel of the patch, were it neither turned nor scaled; may be negative.
        """
        if self.matrix is None and self.bent is None:
            return self._plain(volume, starts)
        matrix = np.eye(3) if self.matrix is None else self.matrix
        offset = centred_offset(matrix, self.shape) + starts
        if self.bent is None:
            low, high = needed_box(volume.sides, matrix, offset, self.shape)
            for axis in kept_axes(matrix, offset):
                start = round(float(offset[axis]))
                low[axis], high[axis] = np.clip([start, start + self.shape[axis]], 0, volume.sides[axis])
            image, label = volume.read(low.tolist(), high.tolist())
            return warp(image, label, matrix, offset - low, self.shape)
        places = np.tensordot(matrix.astype(np.float32), self.bent, axes=1)
        places += offset.astype(np.float32).reshape(3, 1, 1, 1)
        return _at_places(volume, places)

    def _plain(self, volume: Readable, starts: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        ends = [start + length for start, length in zip(starts, self.shape, strict=True)]
        low = [min(max(start, 0), side) for start, side in zip(starts, volume.sides, strict=True)]
        high = [min(max(end, 0), side) for end, side in zip(ends, volume.sides, strict=True)]
        image, label = volume.read(low, high)
        return crop(image, label, [start - first for start, first in zip(starts, low, strict=True)], self.shape)


def _at_places(volume: Readable, places: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    sides = np.asarray(volume.sides)
    flat = places.reshape(3, -1)
    low = np.clip(np.floor(flat.min(1)).astype(int) - 1, 0, sides)
    high = np.clip(np.floor(flat.max(1)).astype(int) + 3, low, sides)
    image, label = volume.read(low.tolist(), high.tolist())
    if (low == high).any():
        shape = places.shape[1:]
        return np.zeros((len(image), *shape), np.float32), None if label is None else np.zeros(shape, label.dtype)
    places -= low.astype(np.float32).reshape(3, 1, 1, 1)
    return sample_volume(image, label, places)
