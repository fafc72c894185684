"""Raw labels whose headers do not always agree with their images'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from medicalseg.errors import DataError
from medicalseg.io import Volume, read_label
from medicalseg.utils.logger import logger


def read_label_on(image: Volume, path: Path, image_path: Path) -> Volume:
    """The label on the image's grid: a label whose header differs slightly is taken voxel by voxel.

    Args:
        image: the image.
        path: file of the label.
        image_path: file of the image, for messages.

    Raises:
        DataError: shapes or axes differ.
        VolumeError: the file cannot be read.
    """
    label = read_label(path)
    difference = image.grid_difference(label)
    if difference and (image.shape != label.shape or image.axcodes != label.axcodes):
        raise DataError(f"{path}: label and image {image_path.name} do not belong together: {difference}")
    if difference:
        logger.warning("%s: %s differ from the image's; the image's are used", path.name, difference)
    return Volume(label.array, image.affine, path=path, meta={"labels": True})


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
