"""Parts too small to be what they are said to be are removed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from medicalseg.cvlibs import manager
from medicalseg.postprocessing.base import (
    Postprocessing,
    checked_classes,
    checked_connectivity,
    checked_flag,
    checked_number,
    masks_within,
    part_sizes,
)


@manager.POSTPROCESSING.add_component
class RemoveSmallComponents(Postprocessing):
    """Parts of less than a volume become background.

    Args:
        min_volume_mm3: the smallest volume that stays, in mm³.
        classes: ids that are treated; None = all.
        per_class: parts of every class on its own; False: parts of all of them as one structure.
        connectivity: voxels are connected by common faces (1), edges (2) or corners (3).

    Raises:
        ConfigError: if a value is wrong; names the argument.
    """

    def __init__(
        self,
        min_volume_mm3: float,
        classes: Sequence[int] | None = None,
        per_class: bool = True,
        connectivity: int = 3,
    ) -> None:
        self.min_volume_mm3 = checked_number(min_volume_mm3, "min_volume_mm3")
        self.classes = checked_classes(classes)
        self.per_class = checked_flag(per_class, "per_class")
        self._structure = checked_connectivity(connectivity)

    def __call__(self, labels: np.ndarray, spacing: Sequence[float], axcodes: str) -> np.ndarray:
        """See `Postprocessing`."""
        result = labels.copy()
        for box, mask in masks_within(labels, self.of(labels), together=not self.per_class):
            result[box][self._small(mask, spacing)] = 0
        return result

    def masks(self, masks: np.ndarray, spacing: Sequence[float], axcodes: str) -> np.ndarray:
        """See `Postprocessing`; classes together are the union of their masks."""
        if self.per_class:
            return super().masks(masks, spacing, axcodes)
        chosen = [index for index in range(len(masks)) if self.classes is None or index + 1 in self.classes]
        small = self._small(np.any(masks[chosen], axis=0), spacing)
        result = masks.copy()
        for index in chosen:
            result[index][small] = 0
        return result

    def _small(self, mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        parts, count = ndimage.label(mask, self._structure)
        small = part_sizes(parts, count) * float(np.prod(spacing)) < self.min_volume_mm3
        small[0] = False
        return small[parts]
