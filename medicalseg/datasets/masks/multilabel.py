"""Masks with a plane for each structure: files, channels or pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medicalseg.datasets.masks.base import Masks
from medicalseg.datasets.masks.fit import check_grid, one_plane
from medicalseg.datasets.masks.place import MaskCase
from medicalseg.errors import DataError
from medicalseg.inference.outputs import presence
from medicalseg.io import read_planes, read_volume

Parts = list[tuple[int, np.ndarray]]


class MultilabelMasks(Masks):
    """A file per structure, or one whose channels (or slices) are the structures in the order of their ids."""

    def expected(self, case: str) -> list[Path]:
        """See the base class."""
        return [path for _, path in self._structures(case)] if self.place.per_structure else super().expected(case)

    def read(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """See the base class."""
        parts = self._from_files(case, size) if self.place.per_structure else self._from_channels(case, size)
        composed = self.classes.compose([(number, mask == 1) for number, mask in parts], size)
        if self.classes.ignore_index is not None:
            for number, mask in parts:
                target = composed[number - 1] if self.classes.overlap else composed
                target[mask > 1] = self.classes.ignore_index
        return composed

    def _from_files(self, case: MaskCase, size: tuple[int, int]) -> Parts:
        files = [(number, path) for number, path in self._structures(case.name) if path in case.masks]
        return [(number, presence(one_plane(read_volume(path), path, case, size), path)) for number, path in files]

    def _from_channels(self, case: MaskCase, size: tuple[int, int]) -> Parts:
        (path,) = case.masks
        count = self.classes.num_ids - 1
        planes = read_planes(path).array
        planes = planes if planes.ndim == 4 else np.moveaxis(planes, -1, 0)[..., None]
        if len(planes) != count:
            raise DataError(f"{path}: has {len(planes)} channels, there are {count} structures")
        check_grid(planes.shape[1:], path, case, size)
        return [(index + 1, presence(plane, path)) for index, plane in enumerate(planes)]

    def _structures(self, case: str) -> list[tuple[int, Path]]:
        names = {number: self.classes.names.get(number, str(number)) for number in range(1, self.classes.num_ids)}
        return [(number, self.place.path(case, name, number)) for number, name in names.items()]
