"""Read and write volumes by file name; find them in folders and lists."""

from __future__ import annotations

import math
import os
import struct
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from medicalseg.errors import VolumeError
from medicalseg.io import deflate, dicom, freesurfer, image_file, metaimage, nifti, nrrd, numpy_file
from medicalseg.io.geometry import check_affine
from medicalseg.io.stored import Stored, one_line, smallest_integer, to_label
from medicalseg.io.volume import Volume
from medicalseg.utils.logger import logger

_READERS: dict[str, Callable[[Path], Stored]] = {
    suffix: module.read
    for module in (nifti, nrrd, metaimage, freesurfer, numpy_file, dicom, image_file)
    for suffix in module.SUFFIXES
}
_WRITERS: dict[str, Callable[[Volume, Path], None]] = {
    **{
        suffix: module.write
        for module in (nifti, nrrd, metaimage, freesurfer, numpy_file)
        for suffix in module.SUFFIXES
    },
    **dict.fromkeys(image_file.WRITABLE, image_file.write),
}
_LABEL_READERS: dict[str, Callable[[Path], Stored]] = {
    ".npz": partial(numpy_file.read, member="label"),
    **dict.fromkeys(image_file.SUFFIXES, image_file.read_label),
}
_PLANE_READERS: dict[str, Callable[[Path], Stored]] = dict.fromkeys(
    image_file.SUFFIXES, partial(image_file.read, keep_alpha=True)
)
_DAMAGED: tuple[type[Exception], ...] = (
    ValueError, LookupError, TypeError, ArithmeticError, SyntaxError, tokenize.TokenError, EOFError, RuntimeError,
    struct.error, *deflate.ERRORS,
)  # fmt: skip

SUFFIXES: tuple[str, ...] = tuple(sorted(_READERS, key=len, reverse=True))
"""Names that can be read, longest first; case does not matter."""

NonFinite = Literal["refuse", "keep"]


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Return the volume suffix of a name in lower case, such as ".nii.gz"; "" when it has none."""
    name = Path(path).name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix) and name != suffix), "")


def case_name(path: str | os.PathLike[str]) -> str:
    """Return the name without its volume suffix: "case.1.2.840.v2.nii.gz" gives "case.1.2.840.v2".

    A folder (DICOM series) keeps its whole name.
    """
    path = Path(path)
    name = path.name or path.resolve().name
    suffix = "" if path.is_dir() else suffix_of(name)
    return name[: len(name) - len(suffix)]


def is_volume(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` can be one volume: a file with a known name, a DICOM file, or a DICOM series folder.

    Only names and, for files without a known suffix, the first bytes are looked at.
    """
    path = Path(path)
    if path.is_dir():
        return dicom.is_series_folder(path)
    return path.is_file() and (bool(suffix_of(path)) or dicom.is_dicom_file(path))


def read_volume(
    path: str | os.PathLike[str],
    *,
    channels: bool = False,
    series: str | None = None,
    sheared: bool = False,
    nonfinite: NonFinite | float = "refuse",
) -> Volume:
    """Read an image; the same image gives the same array and affine whatever its format.

    Integers stay integers unless the header scales them to fractions; nothing is reoriented. What is odd but readable
    (sform and qform differ, no orientation ...) is logged as a warning.

    Args:
        path: a file of any known format, or a folder with one DICOM series.
        channels: accept several values per voxel, as (C, X, Y, Z); otherwise they are refused.
        series: SeriesInstanceUID or SeriesNumber, for a DICOM folder with several series.
        sheared: accept axes that are not at right angles (gantry tilt), to be passed to `deskew`.
        nonfinite: what to do about NaN and infinity: refuse, keep, or the number to put in their place.

    Raises:
        VolumeError: missing, unknown, truncated, damaged or unusable; one line that names the file.
    """
    return _read_checked(Path(path), series, channels=channels, sheared=sheared, nonfinite=nonfinite)


def read_planes(path: str | os.PathLike[str]) -> Volume:
    """Read a file whose channels are all data, such as masks of several structures, (X, Y, Z) or (C, X, Y, Z).

    It differs from `read_volume` in pictures: what their header calls transparency is a channel as the others.

    Raises:
        VolumeError: as `read_volume`.
    """
    return _read_checked(Path(path), None, special=_PLANE_READERS, channels=True)


def _read_checked(
    path: Path,
    series: str | None,
    *,
    special: Mapping[str, Callable[[Path], Stored]] | None = None,
    channels: bool = False,
    sheared: bool = False,
    nonfinite: NonFinite | float = "refuse",
) -> Volume:
    try:
        stored = _read(path, series, special or {})
        if stored.array.ndim == 4 and not channels:
            raise VolumeError(
                f"has {stored.array.shape[0]} values per voxel (shape {stored.array.shape}, channels first); "
                "one 3D volume is needed, so split it or read it with channels=True"
            )
        check_affine(stored.affine, sheared=sheared)
        array, notes = _finite(stored.array, nonfinite)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error
    for note in (*stored.notes, *notes):
        logger.warning("%s: %s", path, note)
    return Volume(array, stored.affine, path=path, meta=stored.meta)


def read_label(path: str | os.PathLike[str], *, series: str | None = None) -> Volume:
    """Read a label map as (X, Y, Z) int32; floats that are whole numbers within 1e-4 are accepted.

    Args:
        path: a file of any known format (from a .npz: its member `label`), or a DICOM folder.
        series: as for `read_volume`.

    Raises:
        VolumeError: as `read_volume`, and for fractional or negative values, which the message lists.
    """
    path = Path(path)
    volume = _read_checked(path, series, special=_LABEL_READERS)
    try:
        return volume.with_array(to_label(volume.array), labels=True)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error


def _read(path: Path, series: str | None, special: Mapping[str, Callable[[Path], Stored]]) -> Stored:
    if path.is_dir():
        return _guarded(path, lambda: dicom.read(path, series))
    if not path.exists():
        raise VolumeError("does not exist")
    suffix = suffix_of(path)
    if not suffix and not dicom.is_dicom_file(path):
        raise VolumeError(f"is of no known volume format; names end in {', '.join(sorted(SUFFIXES))}")
    if path.stat().st_size == 0:
        raise VolumeError("is empty (0 bytes)")
    return _guarded(path, lambda: special.get(suffix, _READERS.get(suffix, dicom.read))(path))


def _guarded(path: Path, read: Callable[[], Stored]) -> Stored:
    try:
        return read()
    except OSError as error:
        raise VolumeError(f"cannot be read: {error.strerror or one_line(error)}") from error
    except MemoryError as error:
        raise VolumeError("needs more memory than there is, or its header is damaged") from error
    except _DAMAGED as error:
        raise VolumeError(f"is damaged, or is not {suffix_of(path) or 'DICOM'}: {one_line(error)}") from error


def _finite(array: np.ndarray, nonfinite: NonFinite | float) -> tuple[np.ndarray, tuple[str, ...]]:
    if array.dtype.kind != "f":
        return array, ()
    count = sum(int((~np.isfinite(array[..., index])).sum()) for index in range(array.shape[-1]))
    if not count:
        return array, ()
    if nonfinite == "refuse":
        raise VolumeError(f"has {count} voxels that are NaN or infinite; replace them first, or read with nonfinite=0")
    if nonfinite == "keep":
        return array, (f"{count} voxels are NaN or infinite",)
    if isinstance(nonfinite, str) or not math.isfinite(nonfinite):
        raise VolumeError(f"nonfinite is {nonfinite!r}; it is 'refuse', 'keep' or a finite number")
    for index in range(array.shape[-1]):
        slab = array[..., index]
        slab[~np.isfinite(slab)] = nonfinite
    return array, (f"{count} voxels were NaN or infinite and are now {nonfinite:g}",)


def write_volume(volume: Volume, path: str | os.PathLike[str], *, labels: bool | None = None) -> Path:
    """Write a volume in the format its name asks for, with its geometry, whole or not at all.

    Args:
        volume: (X, Y, Z) or (C, X, Y, Z); number types are kept (float16 becomes float32).
        path: ends in .nii.gz, .nii, .hdr (+ .img), .nrrd, .nhdr (+ .raw.gz), .mha, .mhd (+ .raw), .mgz, .mgh or .npy;
            .png, .tif and .tiff keep no geometry.
        labels: store integers in the smallest type that holds them; None: when the volume is marked as a label map.

    Returns:
        The path written.

    Raises:
        VolumeError: unknown or read-only format, a sheared grid, or values that the format cannot hold.
    """
    path = Path(path)
    writer = _WRITERS.get(suffix_of(path))
    try:
        if writer is None:
            raise VolumeError(f"cannot be written: the name should end in one of {', '.join(sorted(_WRITERS))}")
        check_affine(volume.affine)
        labels = volume.is_label if labels is None else labels
        volume = volume.with_array(smallest_integer(volume.array) if labels else volume.array, labels=labels)
        writer(volume, path)
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from error
    return path


def find_volumes(path: str | os.PathLike[str]) -> list[Path]:
    """Return the volumes that `path` stands for.

    Args:
        path: one volume; a folder, searched with its subfolders (sorted; a folder of DICOM slices is one volume, a
            pair of files is its header; hidden files are left out; pictures such as .png count only if there is
            nothing else); or a .txt list with one path a line, relative to the list's folder (in the list's order;
            # begins a comment line; of a line "image label" the first counts).

    Raises:
        VolumeError: the path does not exist, or holds no volume.
    """
    path = Path(path)
    if not path.exists():
        raise VolumeError(f"{path}: does not exist")
    if path.is_dir():
        found = sorted(prefer_volumes(_walk(path)), key=str)
    elif path.suffix.lower() == ".txt":
        found = _from_list(path)
    elif is_volume(path):
        found = [path]
    else:
        raise VolumeError(f"{path}: is neither a volume, a folder nor a .txt list; names end in {_known()}")
    if not found:
        raise VolumeError(f"{path}: holds no volume; looked for DICOM and names that end in {_known()}")
    return list(dict.fromkeys(found))


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a picture (PNG, JPEG, TIFF, BMP), which has no geometry."""
    return suffix_of(path) in image_file.SUFFIXES


def has_directions(path: str | os.PathLike[str]) -> bool:
    """Whether a file tells where its axes point to: not a picture, not a NumPy array."""
    return not is_picture(path) and suffix_of(path) not in numpy_file.SUFFIXES


def prefer_volumes(paths: Iterable[Path]) -> list[Path]:
    """The paths without pictures; the pictures if there is nothing else."""
    paths = list(paths)
    return [path for path in paths if not is_picture(path)] or paths


def _known() -> str:
    return ", ".join(sorted(SUFFIXES))


def _walk(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(name)
        folders[:] = [] if real in seen else [sub for sub in folders if not sub.startswith(".")]
        if real in seen:
            continue
        seen.add(real)
        here = Path(name)
        if dicom.is_series_folder(here):
            yield here
        yield from (here / file for file in files if _is_own_volume(here / file, set(files)))


def _is_own_volume(path: Path, siblings: set[str]) -> bool:
    suffix = suffix_of(path)
    if not suffix or suffix in dicom.SUFFIXES or path.name.startswith(".") or not path.is_file():
        return False
    if suffix.startswith(".img"):
        stem = path.name[: len(path.name) - len(suffix)]
        return not {stem + other for other in (".hdr", ".HDR", ".hdr.gz")} & siblings
    return True


def _from_list(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VolumeError(f"{path}: is not a list of paths: {one_line(error)}") from error
    found: list[Path] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        candidates = [path.parent / text, path.parent / text.split()[0]]
        item = next((candidate for candidate in candidates if candidate.exists()), None)
        if item is None:
            raise VolumeError(f"{path}: line {number} names {text!r}, which does not exist in {path.parent}")
        found += find_volumes(item) if item.is_dir() and not dicom.is_series_folder(item) else [item]
    return found
