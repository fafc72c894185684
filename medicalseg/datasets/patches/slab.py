"""Slices of a volume, with their neighbours as channels, as patches of one voxel's depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from medicalseg.inference.slices import SliceSpec
from medicalseg.transforms.patch_view import Readable

Value = TypeVar("Value")


def in_plane_order(values: Sequence[Value], spec: SliceSpec) -> tuple[Value, Value, Value]:
    """Values of the axes X, Y, Z as those of the plane's two axes and of the one that is cut."""
    first, second = spec.plane
    return values[first], values[second], values[spec.axis]


class Slab:
    """A volume whose last axis is the one that is cut.

    Args:
        volume: image already normalised, so that 0 is what lies outside.
        spec: how it is cut.
    """

    def __init__(self, volume: Readable, spec: SliceSpec) -> None:
        self._volume, self._spec = volume, spec
        self.sides = in_plane_order(volume.sides, spec)

    def read(self, low: Sequence[int], high: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Stacks (num_slices * C, a, b, n) and label (a, b, n) of n slices; only what is stacked is read."""
        spec, count, axis = self._spec, self.sides[2], self._spec.axis
        reach = (np.arange(spec.num_slices) - spec.num_slices // 2) * spec.stride
        wanted = np.arange(low[2], max(high[2], low[2]))[:, None] + reach
        places = spec.existing(wanted, count)
        first, last = (int(places.min()), int(places.max()) + 1) if places.size else (0, 0)
        image, label = self._volume.read(self._box(low, first), self._box(high, last))
        slices = np.moveaxis(image, 1 + axis, 0)[places - first]
        if spec.edge == "zero":
            slices[(wanted < 0) | (wanted >= count)] = 0
        stacks = slices.reshape(len(wanted), spec.num_slices * len(image), *slices.shape[3:])
        planes = None if label is None else np.moveaxis(label, axis, -1)[..., wanted[:, len(reach) // 2] - first]
        return np.moveaxis(stacks, 0, -1), planes

    def _box(self, corner: Sequence[int], place: int) -> list[int]:
        box = [place] * 3
        for axis, value in zip(self._spec.plane, corner, strict=False):
            box[axis] = value
        return box
