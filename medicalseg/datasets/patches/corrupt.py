"""Faults in the labels of an earlier stage, so that the next network learns not to trust them blindly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.ndimage

from medicalseg.transforms.base import choose, happens
from medicalseg.transforms.checks import Arguments
from medicalseg.utils.seeding import rng

OPERATIONS = ("dilation", "erosion", "closing", "opening")
_AROUND = np.ones((3, 3, 3), bool)


class CorruptPrevious:
    """Grows, shrinks, closes or opens classes, and drops parts of them; the numbers are nnU-Net's.

    Args:
        p_morphology: probability that classes are dilated, eroded, closed or opened, one of the four for each.
        radius: range of the radius of the ball for that, whole voxels.
        p_drop: probability that one connected part of classes is dropped.
        largest_drop: share of the patch above which a part stays.
        p_per_class: probability of each class to be among these, drawn for both anew.

    Raises:
        ConfigError: if an argument is wrong.

    Source:
        Isensee et al. (2021), "nnU-Net: a self-configuring method for deep learning-based biomedical image
        segmentation", Nature Methods 18, supplementary note 4; the numbers are those of nnunetv2 2.8.1.
    """

    def __init__(
        self,
        p_morphology: float = 0.4,
        radius: Sequence[int] = (1, 8),
        p_drop: float = 0.2,
        largest_drop: float = 0.15,
        p_per_class: float = 0.5,
    ) -> None:
        arguments = Arguments(self)
        self.p_morphology = arguments.probability("p_morphology", p_morphology)
        low, high = arguments.interval("radius", radius, 1, 100)
        self.radius = (int(low), int(high))
        self.p_drop = arguments.probability("p_drop", p_drop)
        self.largest_drop = arguments.probability("largest_drop", largest_drop)
        self.p_per_class = arguments.probability("p_per_class", p_per_class)

    def __call__(self, masks: np.ndarray) -> np.ndarray:
        """Changed masks.

        Args:
            masks: (K, X, Y, Z) of 0 and 1, one per class, at most one of them 1 in a voxel; not overwritten.

        Returns:
            The same kind; what a class gains the others lose.
        """
        masks = masks.copy()
        if happens(self.p_morphology):
            for index in self._chosen(len(masks)):
                self._morph(masks, index)
        if happens(self.p_drop):
            for index in self._chosen(len(masks)):
                self._drop(masks[index])
        return masks

    def _chosen(self, classes: int) -> list[int]:
        """Some of the classes, in a random order."""
        return [index for index in rng().permutation(classes).tolist() if happens(self.p_per_class)]

    def _morph(self, masks: np.ndarray, index: int) -> None:
        operation = choose(OPERATIONS)
        radius = int(rng().integers(self.radius[0], self.radius[1] + 1))
        before = masks[index] > 0
        if not before.any():
            return
        after = morphed(before, operation, radius)
        masks[:, after & ~before] = 0
        masks[index] = after

    def _drop(self, mask: np.ndarray) -> None:
        parts, count = scipy.ndimage.label(mask, _AROUND)
        sizes = np.bincount(parts.reshape(-1), minlength=count + 1)[1:]
        small = np.flatnonzero(sizes < self.largest_drop * mask.size) + 1
        if len(small):
            mask[parts == choose(small.tolist())] = 0


def morphed(mask: np.ndarray, operation: str, radius: int) -> np.ndarray:
    """A mask dilated, eroded, closed or opened with a ball; beyond its border there is nothing to erode from.

    Args:
        mask: bool (X, Y, Z), not empty.
        operation: one of `OPERATIONS`.
        radius: of the ball, voxels.
    """
    box = _box(mask, 2 * radius + 1)
    part = mask[box]
    if operation in ("dilation", "closing"):
        part = _grown(part, radius)
    if operation in ("erosion", "opening", "closing"):
        part = ~_grown(~part, radius)
    if operation == "opening":
        part = _grown(part, radius)
    result = np.zeros_like(mask)
    result[box] = part
    return result


def _grown(mask: np.ndarray, radius: int) -> np.ndarray:
    if mask.all() or not mask.any():
        return mask
    return scipy.ndimage.distance_transform_edt(~mask) <= radius


def _box(mask: np.ndarray, margin: int) -> tuple[slice, ...]:
    found = scipy.ndimage.find_objects(mask.astype(np.int8))[0]
    return tuple(
        slice(max(0, part.start - margin), min(side, part.stop + margin))
        for part, side in zip(found, mask.shape, strict=True)
    )
