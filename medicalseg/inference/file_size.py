"""How many numbers an image file holds, from its header: nothing is decompressed."""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from medicalseg.io import is_picture, suffix_of

HEADER_BYTES = 1 << 16
UNREADABLE = (
    OSError, EOFError, ValueError, LookupError, AttributeError, ImportError, zlib.error, zipfile.BadZipFile,
    ImageFileError, HeaderDataError,
)  # fmt: skip
SIZES = re.compile(rb"^(?:sizes:|DimSize\s*=|ElementNumberOfChannels\s*=)([ \t\d]+)", re.MULTILINE)


def numbers_in(path: Path) -> int:
    """Numbers (voxels times channels) that an image file, or a DICOM folder, holds.

    Where no header tells it, as many as there are bytes; of a DICOM folder as many as if all slices were alike; 0 of a
    file that cannot be read at all.
    """
    try:
        if path.is_dir():
            slices = [file for file in path.iterdir() if file.is_file()]
            return len(slices) * numbers_in(slices[0])
        return _reader(path)(path) or path.stat().st_size
    except UNREADABLE:
        return 0


def _reader(path: Path) -> Callable[[Path], int]:
    suffix = suffix_of(path)
    if is_picture(path):
        return _in_picture
    if suffix.startswith((".nii", ".mg", ".hdr", ".img")):
        return _in_nifti
    if suffix in (".nrrd", ".nhdr", ".mha", ".mhd"):
        return _in_text
    return {".npy": _in_npy, ".npz": _in_npz}.get(suffix, _in_dicom)


def _in_nifti(path: Path) -> int:
    image = nibabel.load(path)
    return math.prod(image.shape)  # type: ignore[attr-defined]


def _in_text(path: Path) -> int:
    with path.open("rb") as file:
        block = file.read(HEADER_BYTES)
    sizes = [int(word) for match in SIZES.finditer(block) for word in match[1].split()]
    return math.prod(sizes) if sizes else 0


def _in_npy(path: Path) -> int:
    return int(np.load(path, mmap_mode="r", allow_pickle=False).size)


def _in_npz(path: Path) -> int:
    with zipfile.ZipFile(path) as packed:
        return sum(member.file_size for member in packed.infolist())


def _in_picture(path: Path) -> int:
    from PIL import Image

    with Image.open(path) as picture:
        return math.prod(picture.size) * len(picture.getbands()) * getattr(picture, "n_frames", 1)


def _in_dicom(path: Path) -> int:
    import pydicom

    header = pydicom.dcmread(
        path, stop_before_pixels=True, force=True, specific_tags=["Rows", "Columns", "NumberOfFrames"]
    )
    return int(header.Rows) * int(header.Columns) * int(header.get("NumberOfFrames", 1) or 1)
