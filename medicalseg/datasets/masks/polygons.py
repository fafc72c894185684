"""Masks of polygons in YOLO's text files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.masks.base import Masks
from medicalseg.datasets.masks.place import Classes, MaskCase, Place
from medicalseg.datasets.masks.values import numbers_by_number
from medicalseg.datasets.yolo import fill, read_polygons
from medicalseg.errors import DataError


class YoloMasks(Masks):
    """Polygons; the class k of a file has the id k + 1.

    Args:
        place: of the files.
        classes: what they may hold.
        values: other ids for the classes in the files; 0 leaves a class out.
    """

    def __init__(self, place: Place, classes: Classes, values: Mapping[Any, int] | None = None) -> None:
        super().__init__(place, classes)
        self.values = numbers_by_number(values)

    def read(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """See the base class."""
        painted = []
        for path in case.masks:
            for polygon in read_polygons(path):
                number = self._id(polygon.category, path)
                painted.append((number, fill(polygon, *size)[..., None]))
        return self.classes.compose([(number, mask) for number, mask in painted if number > 0], size)

    def _id(self, category: int, path: Path) -> int:
        if self.values and category not in self.values:
            raise DataError(f"{path}: class {category} is not among those of mask_values: {sorted(self.values)}")
        return self.classes.checked(self.values.get(category, category + 1), f"{path}: class {category}")
