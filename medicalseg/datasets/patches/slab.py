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
        """Stack (num_slices * C, a, b, 1) and label (a, b, 1) of one slice; only what is stacked is read."""
        spec, count = self._spec, self.sides[2]
        wanted = low[2] + (np.arange(spec.num_slices) - spec.num_slices // 2) * spec.stride
        places = spec.existing(wanted, count)
        first, last = int(places.min()), int(places.max()) + 1
        image, label = self._volume.read(self._box(low, first), self._box(high, last))
        axis = spec.axis
        slices = np.moveaxis(image, 1 + axis, 0)[places - first]
        if spec.edge == "zero":
            slices[(wanted < 0) | (wanted >= count)] = 0
        stack = slices.reshape(-1, *slices.shape[2:])[..., None]
        return stack, None if label is None else np.take(label, low[2] - first, axis)[..., None]

    def _box(self, corner: Sequence[int], place: int) -> list[int]:
        box = [place] * 3
        for axis, value in zip(self._spec.plane, corner, strict=False):
            box[axis] = value
        return box
