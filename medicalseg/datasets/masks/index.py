"""Masks of ids: grey values, or the indices of a palette."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.masks.base import Masks
from medicalseg.datasets.masks.fit import one_plane
from medicalseg.datasets.masks.place import Classes, MaskCase, Place
from medicalseg.datasets.masks.values import numbers_by_number
from medicalseg.errors import ConfigError
from medicalseg.io import read_label, read_volume
from medicalseg.utils.logger import logger


class IndexMasks(Masks):
    """One file of ids.

    Args:
        place: of the files.
        classes: what they may hold.
        values: other ids for stored values.
        threshold: values from this on are 1, others 0.
    """

    def __init__(
        self, place: Place, classes: Classes, values: Mapping[Any, int] | None = None, threshold: float | None = None
    ) -> None:
        super().__init__(place, classes)
        if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, (int, float))):
            raise ConfigError(f"mask_threshold: expected a number, got {threshold!r}")
        self.values, self.threshold = numbers_by_number(values), threshold
        self._told = False

    def read(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """See the base class."""
        (path,) = case.masks
        if self.threshold is None:
            stored = one_plane(read_label(path), path, case, size)
            self._tell_all_ignored(stored, path)
        else:
            plane = one_plane(read_volume(path, channels=True), path, case, size, "mask_format: palette")
            stored = (plane >= self.threshold).astype(np.int32)
            self._tell_below(plane, path)
        ids = stored
        for value, number in self.values.items():
            ids = np.where(stored == value, np.int32(number), ids)
        return ids

    def _tell_all_ignored(self, stored: np.ndarray, path: Path) -> None:
        """Masks of 0 and 255 are usual, and 255 is the usual `ignore_index`."""
        ignored = self.classes.ignore_index
        if self._told or ignored in (None, 0, *self.values) or stored.max() != ignored:
            return
        if set(np.unique(stored)) == {0, ignored}:
            self._tell(
                f"{path}: holds 0 and {ignored} only, and {ignored} is ignored (ignore_index); "
                f"if it is the structure, set mask_values: {{{ignored}: 1}}"
            )

    def _tell_below(self, plane: np.ndarray, path: Path) -> None:
        """Masks of one bit hold 0 and 1."""
        if not self._told and self.threshold is not None and 0 < plane.max() == 1 < self.threshold:
            self._tell(
                f"{path}: holds 0 and 1, all below mask_threshold: {self.threshold}; leave it out if 1 is the id"
            )

    def _tell(self, message: str) -> None:
        self._told = True
        logger.warning("%s", message)
