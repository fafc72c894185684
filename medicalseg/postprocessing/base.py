"""What every step of postprocessing is: labels in, labels out, on the grid of the image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from medicalseg.errors import ConfigError

Box = tuple[slice, slice, slice]


class Postprocessing(ABC):
    """A step that changes labels by their form alone."""

    classes: tuple[int, ...] | None = None

    @abstractmethod
    def __call__(self, labels: np.ndarray, spacing: Sequence[float], axcodes: str) -> np.ndarray:
        """The labels after this step; the argument is never changed.

        Args:
            labels: (X, Y, Z) ids, 0 the background.
            spacing: mm along the axes.
            axcodes: the ends towards which the axes run, such as "RAS".
        """

    def masks(self, masks: np.ndarray, spacing: Sequence[float], axcodes: str) -> np.ndarray:
        """As a call, for structures that may overlap: masks (K, X, Y, Z), structure k has the id k + 1.

        Unless a step says otherwise, every structure goes through it alone.
        """
        result = masks.copy()
        for index, mask in enumerate(masks):
            label = index + 1
            if self.classes is None or label in self.classes:
                alone = np.where(mask != 0, label, 0).astype(np.int32)
                result[index] = self(alone, spacing, axcodes) == label
        return result

    def of(self, labels: np.ndarray) -> list[int]:
        """Ids of this step that `labels` hold, the background left out."""
        present = [index + 1 for index, box in enumerate(boxes_of(labels)) if box is not None]
        return present if self.classes is None else [label for label in present if label in self.classes]


def checked_classes(classes: object, name: str = "classes") -> tuple[int, ...] | None:
    """Ids of classes, None = all.

    Raises:
        ConfigError: if it is not a list of ids from 1 on, or one comes twice.
    """
    if classes is None:
        return None
    if not isinstance(classes, (list, tuple)) or not classes:
        raise ConfigError(f"{name}: expected a list of ids, got {classes!r}")
    if any(isinstance(label, bool) or not isinstance(label, int) or label < 1 for label in classes):
        raise ConfigError(f"{name}: expected ids of classes from 1 on (0 is the background), got {classes!r}")
    if len(set(classes)) < len(classes):
        raise ConfigError(f"{name}: an id comes twice in {list(classes)}")
    return tuple(classes)


def checked_flag(value: object, name: str) -> bool:
    """A truth value.

    Raises:
        ConfigError: if it is another thing.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name}: expected true or false, got {value!r}")
    return value


def checked_number(value: object, name: str, least: float = 0.0) -> float:
    """A finite number that is at least `least`.

    Raises:
        ConfigError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < float("inf"):
        raise ConfigError(f"{name}: expected a number from {least:g} on, got {value!r}")
    return float(value)


def checked_connectivity(value: object) -> np.ndarray:
    """The neighbourhood (3, 3, 3) of a connectivity: 1 = common faces, 2 = edges too, 3 = corners too.

    Raises:
        ConfigError: if it is none of them.
    """
    if isinstance(value, bool) or value not in (1, 2, 3):
        raise ConfigError(f"connectivity: expected 1 (faces), 2 (edges) or 3 (corners), got {value!r}")
    return ndimage.generate_binary_structure(3, int(value))  # type: ignore[call-overload]


def part_sizes(parts: np.ndarray, count: int) -> np.ndarray:
    """Voxels of every number from 0 to `count`, plane by plane, because counting copies what it counts."""
    sizes = np.zeros(count + 1, np.int64)
    for plane in parts:
        sizes += np.bincount(plane.ravel(), minlength=count + 1)
    return sizes


def boxes_of(labels: np.ndarray) -> list[Box | None]:
    """Bounding box of every id from 1 on; None where it does not occur."""
    if not labels.size or int(labels.max()) < 1:
        return []
    array = labels if labels.dtype.kind in "iu" else labels.astype(np.int32)
    return ndimage.find_objects(array)


def masks_within(labels: np.ndarray, ids: Sequence[int], together: bool) -> Iterator[tuple[Box, np.ndarray]]:
    """The mask of every id, or of all together, within its bounding box; those that occur."""
    boxes = boxes_of(labels)
    found = [(label, boxes[label - 1]) for label in ids if label <= len(boxes)]
    present = [(label, box) for label, box in found if box is not None]
    if together and present:
        around = tuple(
            slice(min(box[axis].start for _, box in present), max(box[axis].stop for _, box in present))
            for axis in range(3)
        )
        box = (around[0], around[1], around[2])
        yield box, np.isin(labels[box], [label for label, _ in present])
        return
    for label, box in present:
        yield box, labels[box] == label
