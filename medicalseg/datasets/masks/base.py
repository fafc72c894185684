"""What every way to keep the masks of pictures can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from medicalseg.datasets.masks.place import Classes, MaskCase, Place


class Masks(ABC):
    """A way to keep masks."""

    def __init__(self, place: Place, classes: Classes) -> None:
        self.place, self.classes = place, classes

    def expected(self, case: str) -> list[Path]:
        """The files that a case's mask should have."""
        return [self.place.path(case)]

    @abstractmethod
    def read(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """The mask of a case.

        Args:
            case: image and files.
            size: (W, H) of the image.

        Returns:
            Ids (W, H, 1), or uint8 masks (K, W, H, 1) of structures that may overlap.

        Raises:
            DataError: if the mask does not fit the image.
            UserError: if a file is wrong.
        """

    def has(self, case: str) -> bool:
        """Whether a case's mask is there."""
        return any(path.exists() for path in self.expected(case))
