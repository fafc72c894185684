"""Masks of colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medicalseg.datasets.masks.base import Masks
from medicalseg.datasets.masks.fit import check_grid
from medicalseg.datasets.masks.place import Classes, MaskCase, Place
from medicalseg.datasets.masks.values import colour, whole
from medicalseg.errors import DataError
from medicalseg.io import read_volume


class PaletteMasks(Masks):
    """One colour picture; each colour is a class.

    Args:
        place: of the files.
        classes: what they may hold.
        colours: red, green and blue, 0 to 255, or "#rrggbb", per id; black is 0 unless it is another's.
    """

    def __init__(self, place: Place, classes: Classes, colours: Mapping[Any, Any]) -> None:
        super().__init__(place, classes)
        self.colours = {0: (0, 0, 0), **{whole(key, "mask_colours"): colour(value) for key, value in colours.items()}}

    def read(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """See the base class."""
        (path,) = case.masks
        volume = read_volume(path, channels=True)
        check_grid(volume.shape, path, case, size)
        array = np.broadcast_to(volume.array if volume.array.ndim == 4 else volume.array[None], (3, *size, 1))
        codes = (array.astype(np.int64) << np.array([16, 8, 0]).reshape(3, 1, 1, 1)).sum(0)
        ids = np.full(codes.shape, -1, np.int32)
        for number, (red, green, blue) in self.colours.items():
            ids[codes == (red << 16 | green << 8 | blue)] = number
        if (ids < 0).any():
            code = int(codes[ids < 0][0])
            raise DataError(
                f"{path}: {int((ids < 0).sum())} pixels have colours that mask_colours does not name, such as "
                f"{[code >> 16, code >> 8 & 255, code & 255]} (drawn with smoothed edges, or saved as JPEG?)"
            )
        return ids
