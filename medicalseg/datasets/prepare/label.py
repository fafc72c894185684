"""Raw labels whose headers do not always agree with their images'."""

from __future__ import annotations

from pathlib import Path

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
