"""NumPy arrays: .npy, and the member `image` (or `label`) of .npz. They have no geometry."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from medicalseg.errors import VolumeError
from medicalseg.io.stored import Stored, one_line
from medicalseg.io.volume import Volume
from medicalseg.utils.files import atomic_path

SUFFIXES = (".npy", ".npz")

_NO_GEOMETRY = "a NumPy file has no geometry: 1 mm voxels, axes R, A, S and origin 0 are assumed"


def read(path: Path, member: str = "image") -> Stored:
    """Read an (X, Y, Z) or (C, X, Y, Z) array.

    Args:
        path: .npy or .npz.
        member: the array's name in a .npz file.

    Raises:
        VolumeError: not a NumPy file, truncated, pickled objects inside, no such member, or neither 3D nor 4D.
    """
    array = _read_member(path, member) if path.suffix.lower() == ".npz" else _read_npy(path)
    if array.dtype.kind not in "biuf":
        raise VolumeError(f"holds {array.dtype} values; real numbers are needed")
    if array.ndim > 3:
        array = array.reshape(_squeezed(array.shape))
    if array.ndim not in (3, 4) or array.size == 0:
        raise VolumeError(f"has shape {array.shape}; (X, Y, Z) or (C, X, Y, Z) is needed")
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    return Stored(array, np.eye(4), (_NO_GEOMETRY,))


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    leading, spatial = list(shape[:-3]), shape[-3:]
    if all(size == 1 for size in leading):
        return spatial
    if shape[-1] == 1 and len(shape) == 4:
        return shape[:3]
    return (*(size for size in leading if size > 1), *spatial)


def _read_npy(path: Path) -> np.ndarray:
    with open(path, "rb") as handle:
        if handle.read(6) != b"\x93NUMPY":
            raise VolumeError("is not a .npy file: its first bytes are wrong")
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    native = mapped.dtype.newbyteorder("=")
    return np.array(mapped, dtype=native, order="K", copy=True, subok=False)


def _read_member(path: Path, member: str) -> np.ndarray:
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as archive:
            if member not in archive.files:
                names = ", ".join(archive.files) or "nothing"
                raise VolumeError(f"has no array {member!r}, only {names}; save it as .npy or under that name")
            return np.asarray(archive[member])
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise VolumeError(f"is damaged: {one_line(error)}") from error


def write(volume: Volume, path: Path) -> None:
    """Write a .npy file; atomic. The geometry is not kept.

    Raises:
        VolumeError: the name ends in .npz, which is only read.
    """
    if path.suffix.lower() == ".npz":
        raise VolumeError("cannot be written: .npz is only read; use .npy or a format with geometry, such as .nii.gz")
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.save(handle, volume.array, allow_pickle=False)
