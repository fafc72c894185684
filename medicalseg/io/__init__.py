"""Volumes: arrays with geometry, read from and written to medical image files.

The axis and affine contract, the formats and what is refused: docs/reference/volumes.md.

Example:
    >>> from medicalseg.io import read_volume, reorient, resample, write_volume
    >>> volume = reorient(read_volume("case.nii.gz"), "RAS")  # doctest: +SKIP
    >>> write_volume(resample(volume, spacing=(1, 1, 1)), "case_1mm.mha")  # doctest: +SKIP
"""

from medicalseg.io.files import (
    SUFFIXES,
    case_name,
    find_volumes,
    has_directions,
    is_picture,
    is_volume,
    prefer_volumes,
    read_label,
    read_planes,
    read_volume,
    suffix_of,
    write_volume,
)
from medicalseg.io.orientation import reorient
from medicalseg.io.resample import deskew, resample, resample_grid, resample_to
from medicalseg.io.stored import smallest_integer, to_label
from medicalseg.io.volume import Volume

__all__ = [
    "SUFFIXES",
    "Volume",
    "case_name",
    "deskew",
    "find_volumes",
    "has_directions",
    "is_picture",
    "is_volume",
    "prefer_volumes",
    "read_label",
    "read_planes",
    "read_volume",
    "reorient",
    "resample",
    "resample_grid",
    "resample_to",
    "smallest_integer",
    "suffix_of",
    "to_label",
    "write_volume",
]
