"""Whether a file of a mask fits its image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medicalseg.datasets.case import Case
from medicalseg.errors import DataError
from medicalseg.io import Volume, is_picture


class SizeMismatchError(DataError):
    """A mask has another size than its image."""


def one_plane(volume: Volume, path: Path, case: Case, size: tuple[int, int], instead: str = "") -> np.ndarray:
    """The one plane (W, H, 1) of a mask of the image's size; of channels that are equal the first.

    Args:
        volume: the file's content.
        path: the file.
        case: whose mask it is.
        size: (W, H) of the image.
        instead: the setting that allows colours.

    Raises:
        DataError: if it has several slices, colours or another size.
    """
    check_grid(volume.shape, path, case, size)
    if volume.array.ndim == 3:
        return volume.array
    if not (volume.array[1:] == volume.array[:1]).all():
        raise DataError(f"{path}: has colours; one value per pixel is needed{f', or {instead}' if instead else ''}")
    return volume.array[0]


def check_grid(shape: Sequence[int], path: Path, case: Case, size: tuple[int, int]) -> None:
    """Raise DataError unless the shape (W, H, slices) of a mask is one slice of the image's size (W, H)."""
    width, height, slices = shape
    if slices != 1:
        raise DataError(f"{path}: has {slices} slices; the mask of a picture has one")
    if (width, height) != size:
        turned = "; one of them may be turned (EXIF)" if (height, width) == size and is_picture(path) else ""
        raise SizeMismatchError(
            f"{path} has {width} x {height} pixels, its image {case.images[0]} {size[0]} x {size[1]}{turned}"
        )
