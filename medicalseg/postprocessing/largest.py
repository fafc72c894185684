"""Only the largest part of a structure is kept."""

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
    masks_within,
    part_sizes,
)


@manager.POSTPROCESSING.add_component
class KeepLargestComponent(Postprocessing):
    """Every part but the largest becomes background; of equal parts the one that comes first in the array stays.

    Args:
        classes: ids that are treated; None = all.
        per_class: every class on its own; False takes them together as one structure.
        connectivity: voxels are connected by common faces (1), edges (2) or corners (3).

    Raises:
        ConfigError: if a value is wrong; names the argument.

    Example:
        >>> labels = np.array([1, 1, 0, 1]).reshape(4, 1, 1)
        >>> KeepLargestComponent()(labels, (1, 1, 1), "RAS").ravel().tolist()
        [1, 1, 0, 0]
    """

    def __init__(self, classes: Sequence[int] | None = None, per_class: bool = True, connectivity: int = 3) -> None:
        self.classes = checked_classes(classes)
        self.per_class = checked_flag(per_class, "per_class")
        self._structure = checked_connectivity(connectivity)

    def __call__(self, labels: np.ndarray, spacing: Sequence[float], axcodes: str) -> np.ndarray:
        """See `Postprocessing`."""
        result = labels.copy()
        for box, mask in masks_within(labels, self.of(labels), together=not self.per_class):
            result[box][mask & ~largest(mask, self._structure)] = 0
        return result

    def masks(self, masks: np.ndarray, spacing: Sequence[float], axcodes: str) -> np.ndarray:
        """See `Postprocessing`; classes together are the union of their masks."""
        if self.per_class:
            return super().masks(masks, spacing, axcodes)
        chosen = [index for index in range(len(masks)) if self.classes is None or index + 1 in self.classes]
        kept = largest(np.any(masks[chosen], axis=0), self._structure)
        result = masks.copy()
        for index in chosen:
            result[index] *= kept
        return result


def largest(mask: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask (X, Y, Z)."""
    parts, count = ndimage.label(mask, structure)
    if count < 2:
        return mask.astype(bool)
    sizes = part_sizes(parts, count)
    sizes[0] = 0
    return parts == int(sizes.argmax())
