"""Raw labels whose headers do not always agree with their images'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from medicalseg.datasets.verify.inspection import DIRECTION_TOLERANCE, ORIGIN_TOLERANCE, SPACING_TOLERANCE
from medicalseg.errors import DataError
from medicalseg.io import Volume, read_label
from medicalseg.io.geometry import format_numbers
from medicalseg.utils.logger import logger


def read_label_on(image: Volume, path: Path, image_path: Path) -> Volume:
    """The label on the image's grid: a label whose header differs slightly is taken voxel by voxel.

    Args:
        image: the image.
        path: file of the label.
        image_path: file of the image, for messages.

    Raises:
        DataError: the grids differ by more than `medicalseg verify` allows.
        VolumeError: the file cannot be read.
    """
    label = read_label(path)
    difference = image.grid_difference(label)
    if difference and not _slight(image, label):
        raise DataError(
            f"{path}: label and image {image_path.name} do not belong together: {difference} (label {_grid(label)}; "
            f"image {_grid(image)}); if their voxels do fit, give the label the image's header"
        )
    if difference:
        logger.warning("%s: %s differ from the image's; the image's are used", path.name, difference)
    return Volume(label.array, image.affine, path=path, meta={"labels": True})


def _slight(image: Volume, label: Volume) -> bool:
    """Whether two grids differ by rounding only."""
    if image.shape != label.shape or image.axcodes != label.axcodes:
        return False
    distance = float(np.linalg.norm(np.subtract(image.origin, label.origin)))
    return (
        np.allclose(image.spacing, label.spacing, rtol=SPACING_TOLERANCE)
        and np.allclose(image.direction, label.direction, atol=DIRECTION_TOLERANCE)
        and distance <= ORIGIN_TOLERANCE * min(image.spacing)
    )


def _grid(volume: Volume) -> str:
    origin = ", ".join(f"{value:.6g}" for value in volume.origin)
    size, spacing = format_numbers(volume.shape), format_numbers(volume.spacing)
    return f"{size} voxels of {spacing} mm {volume.axcodes} at ({origin})"


def with_ids(label: Volume, ids: Mapping[int, int]) -> Volume:
    """The label with other ids for the values that its file has.

    Args:
        label: values, non-negative integers.
        ids: the id of each value.

    Raises:
        DataError: a value has no id; names the file.
    """
    found = np.unique(label.array)
    unknown = [int(value) for value in found if int(value) not in ids]
    if unknown:
        raise DataError(f"{label.path}: label values {unknown[:8]} are not among {sorted(ids)}")
    table = np.zeros(int(found.max()) + 1, np.uint8 if max(ids.values()) < 256 else np.int32)
    table[found.astype(np.int64)] = [ids[int(value)] for value in found]
    return label.with_array(table[label.array])
