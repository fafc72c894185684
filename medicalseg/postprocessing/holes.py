"""Holes inside structures are filled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from medicalseg.cvlibs import manager
from medicalseg.postprocessing.base import Postprocessing, checked_classes, checked_number, masks_within, part_sizes

FACES = ndimage.generate_binary_structure(3, 1)


@manager.POSTPROCESSING.add_component
class FillHoles(Postprocessing):
    """Background that structures enclose on all sides is given to the structure that most of its neighbours have.

    A hole is a part, connected by common faces, of what the treated classes leave and does not reach the edge of the
    volume (of a volume of one slice, the edge of the slice). Only background is filled: another class in a hole stays,
    and of neighbours as frequent as each other the lowest id wins.

    Args:
        classes: ids whose holes are filled, all together; None = all.
        max_volume_mm3: larger holes stay; None = all are filled.

    Raises:
        ConfigError: if a value is wrong; names the argument.
    """

    def __init__(self, classes: Sequence[int] | None = None, max_volume_mm3: float | None = None) -> None:
        self.classes = checked_classes(classes)
        self.max_volume_mm3 = None if max_volume_mm3 is None else checked_number(max_volume_mm3, "max_volume_mm3")

    def __call__(self, labels: np.ndarray, spacing: Sequence[float], axcodes: str) -> np.ndarray:
        """See `Postprocessing`."""
        result = labels.copy()
        flat = tuple(axis for axis, size in enumerate(labels.shape) if size == 1)
        flat = flat if len(flat) == 1 else ()
        for box, mask in masks_within(labels, self.of(labels), together=True):
            filled = np.expand_dims(ndimage.binary_fill_holes(np.squeeze(mask, flat)), flat)
            holes, count = ndimage.label(filled & ~mask, FACES)
            volumes = part_sizes(holes, count) * float(np.prod(spacing))
            known = np.where(mask, labels[box], 0)
            for index, place in enumerate(ndimage.find_objects(holes), start=1):
                if self.max_volume_mm3 is None or volumes[index] <= self.max_volume_mm3:
                    _fill(result[box], holes, known, index, place)
        return result


def _fill(result: np.ndarray, holes: np.ndarray, known: np.ndarray, index: int, place: tuple[slice, ...]) -> None:
    """Give hole `index`, whose box is `place`, the most frequent id among its neighbours in `known`."""
    around = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in place)
    hole = holes[around] == index
    border = ndimage.binary_dilation(hole, FACES) & ~hole
    neighbours = np.bincount(known[around][border].astype(np.int64))
    neighbours[0] = 0
    result[around][hole & (result[around] == 0)] = int(neighbours.argmax())
