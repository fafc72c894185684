"""The voxels of one DICOM slice, scaled: plain and run-length by pydicom, other compressions by SimpleITK's GDCM."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from medicalseg.errors import VolumeError
from medicalseg.io.geometry import format_numbers
from medicalseg.io.payload import to_native
from medicalseg.io.stored import apply_scaling, one_line

_BEST_RATIO = 50_000
_RUN_LENGTH = "1.2.840.10008.1.2.5"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_PIXEL_KEYWORDS = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelData",
)  # fmt: skip

Dataset = Any


def unpack(header: Dataset, name: str) -> np.ndarray:
    """Return the (columns, rows) values of a slice after RescaleSlope and RescaleIntercept.

    Args:
        header: pydicom's data set with PixelData.
        name: of the file, for messages.

    Raises:
        VolumeError: the voxels are cut, damaged, or not one plane of numbers.
    """
    syntax = getattr(header.file_meta, "TransferSyntaxUID", None) if hasattr(header, "file_meta") else None
    compressed = syntax is not None and syntax.is_compressed and str(syntax) != _RUN_LENGTH
    plane = _unpack_by_gdcm(header, name) if compressed else _unpack(header, name)
    columns, rows = _size(header)
    if plane.shape != (columns, rows):
        raise VolumeError(f"{name} holds {format_numbers(plane.shape)} voxels, not {columns} x {rows}")
    return plane


def _size(header: Dataset) -> tuple[int, int]:
    return int(header.Columns), int(header.Rows)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what C libraries write to file descriptor 2: OpenJPEG prints several lines about every damaged image."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _unpack(header: Dataset, name: str) -> np.ndarray:
    try:
        stored = to_native(np.array(header.pixel_array)).T
    except Exception as error:
        raise VolumeError(f"{name} has damaged voxels: {one_line(error)}") from error
    if stored.ndim != 2 or stored.dtype.kind not in "iuf":
        raise VolumeError(f"{name} holds {stored.ndim}D {stored.dtype} voxels; one plane of numbers is needed")
    return _rescaled(stored, header)


def _rescaled(stored: np.ndarray, header: Dataset) -> np.ndarray:
    return apply_scaling(stored, float(header.get("RescaleSlope") or 1), float(header.get("RescaleIntercept") or 0))


def _check_jpeg2000(header: Dataset, name: str) -> None:
    """Refuse a damaged JPEG 2000 image size, for which OpenJPEG would take gigabytes and minutes."""
    voxels = header.PixelData
    start = voxels.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(voxels) < start + 40:
        return
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", voxels, start + 8)
    size = (right - left, bottom - top)
    tiles = (size[0] // max(tile_width, 1) + 1) * (size[1] // max(tile_height, 1) + 1)
    if size != _size(header) or tiles > 65535:
        columns, rows = _size(header)
        raise VolumeError(f"{name} is damaged: its JPEG 2000 image is not {columns} x {rows}")


def _unpack_by_gdcm(header: Dataset, name: str) -> np.ndarray:
    """Unpack voxels through a fresh file with nothing but them: GDCM trips over odd elements elsewhere in a header."""
    columns, rows = _size(header)
    if columns * rows > _BEST_RATIO * len(header.PixelData):
        raise VolumeError(f"{name} is too small for the {columns} x {rows} voxels that its header promises")
    _check_jpeg2000(header, name)
    with tempfile.TemporaryDirectory(prefix="medicalseg-") as folder:
        path = Path(folder) / "voxels.dcm"
        _write_voxels_only(path, header)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        try:
            with _silent_stderr():
                array = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError as error:
            raise VolumeError(f"{name} has compressed voxels that cannot be unpacked") from error
    if array.ndim > 2 and max(array.shape[:-2]) > 1:
        raise VolumeError(f"{name} holds more than one plane of voxels")
    return _rescaled(array.reshape(array.shape[-2:]).T, header)


def _write_voxels_only(path: Path, header: Dataset) -> None:
    import pydicom

    bare = pydicom.Dataset()
    for keyword in _PIXEL_KEYWORDS:
        if keyword in header:
            setattr(bare, keyword, header[keyword].value)
    bare.SOPClassUID, bare.SOPInstanceUID = _SECONDARY_CAPTURE, "1.2.3"
    bare["PixelData"].is_undefined_length = True
    bare.file_meta = pydicom.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = header.file_meta.TransferSyntaxUID
    bare.file_meta.MediaStorageSOPClassUID, bare.file_meta.MediaStorageSOPInstanceUID = _SECONDARY_CAPTURE, "1.2.3"
    bare.preamble = b"\0" * 128
    bare.is_little_endian, bare.is_implicit_VR = True, False
    pydicom.dcmwrite(path, bare)
