"""FreeSurfer: .mgz and .mgh, by nibabel. Verifies the gzip stream, which nibabel does not."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from medicalseg.errors import VolumeError
from medicalseg.io.geometry import check_affine
from medicalseg.io.payload import Compression, Payload, check_shape, gzip_writer, open_stream, read_array
from medicalseg.io.stored import Stored, channels_first
from medicalseg.io.volume import Volume
from medicalseg.utils.files import atomic_path

SUFFIXES = (".mgz", ".mgh")

_HEADER = 284
_DTYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
_LIA = np.array([[-1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
_WRITABLE = ("uint8", "int16", "int32", "float32")


def _compression(path: Path) -> Compression:
    return "gzip" if path.suffix.lower() == ".mgz" else "none"


def read(path: Path) -> Stored:
    """Read an MGH file; what follows the voxels (scan parameters, tags) is left out.

    Raises:
        VolumeError: not MGH, truncated or damaged.
    """
    with open_stream(Payload(path, compression=_compression(path))) as stream:
        block = stream.read(_HEADER)
    if len(block) < _HEADER or block[:4] != b"\0\0\0\1":
        raise VolumeError("is not MGH: its first bytes are no header of version 1")
    header = nib.freesurfer.mghformat.MGHHeader(block, check=False)
    if int(header["type"]) not in _DTYPES:
        raise VolumeError(f"the header's number type {int(header['type'])} is unknown")
    shape = tuple(int(size) for size in header["dims"])
    check_shape(shape)
    notes = []
    if int(header["goodRASFlag"]) <= 0:
        header["delta"], header["Mdc"], header["Pxyz_c"] = 1.0, _LIA, 0.0
        notes.append("the header says that its orientation is not valid; 1 mm LIA is assumed")
    with np.errstate(all="ignore"):
        affine = np.asarray(header.get_affine(), dtype=float)
    payload = Payload(path, skip=_HEADER, compression=_compression(path))
    array, _ = read_array(payload, np.dtype(_DTYPES[int(header["type"])]), shape)
    return Stored(channels_first(array), affine, tuple(notes))


def write(volume: Volume, path: Path) -> None:
    """Write .mgz or .mgh; atomic.

    Raises:
        VolumeError: values that the format's number types (uint8, int16, int32, float32) cannot hold.
    """
    array = _fitting(volume.array)
    array = np.moveaxis(array, 0, -1) if array.ndim == 4 else array
    check_affine(volume.affine)
    content = nib.freesurfer.MGHImage(array, volume.affine).to_bytes()
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        if path.suffix.lower() == ".mgz":
            with gzip_writer(handle) as stream:
                stream.write(content)
        else:
            handle.write(content)


def _fitting(array: np.ndarray) -> np.ndarray:
    if array.dtype.name in _WRITABLE:
        return array
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    low, high = int(array.min()), int(array.max())
    for name in _WRITABLE[:3]:
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return array.astype(name)
    raise VolumeError(f"cannot hold values from {low} to {high}: the format's integers end at int32; use .nii.gz")
