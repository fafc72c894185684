"""DICOM: a folder that holds one series of slices, or a single file. Needs pydicom (extra `dicom`).

pydicom reads headers and plain or run-length voxels; other compressed voxels are unpacked by GDCM inside SimpleITK,
which comes with the package, so no further codec is needed.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from medicalseg.errors import MissingDependencyError, VolumeError
from medicalseg.io.dicom_pixels import unpack
from medicalseg.io.geometry import SHEAR_TOLERANCE, format_numbers, shear_of, swap_lps_ras
from medicalseg.io.stored import Stored, one_line
from medicalseg.utils.logger import logger

SUFFIXES = (".dcm", ".ima", ".dicom")

_GAP_TOLERANCE = 0.05
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"

Dataset = Any


@dataclass(frozen=True)
class Slice:
    """One DICOM file, without its voxels."""

    path: Path
    header: Dataset
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    spacing: tuple[float, float]

    @property
    def normal(self) -> np.ndarray:
        """Unit vector at right angles to the slice, LPS."""
        return np.cross(self.orientation[:3], self.orientation[3:])

    @property
    def depth(self) -> float:
        """Place of the slice along its normal, mm."""
        return float(np.dot(self.normal, self.position))


def has_preamble(path: Path) -> bool:
    """Return whether the file begins as DICOM files do: 128 bytes, then `DICM`."""
    try:
        with open(path, "rb") as handle:
            return handle.read(132)[128:] == b"DICM"
    except OSError:
        return False


def is_dicom_file(path: Path) -> bool:
    """Return whether a file is DICOM, by suffix or, when it has no suffix or a number as one, by its first bytes."""
    suffix = path.suffix.lower()
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    return suffix in SUFFIXES or ((not suffix or suffix[1:].isdigit()) and has_preamble(path))


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files that lie directly in `folder`, sorted."""
    return sorted(path for path in folder.iterdir() if path.is_file() and is_dicom_file(path))


def is_series_folder(folder: Path) -> bool:
    """Return whether at least one DICOM file lies directly in `folder`."""
    return any(path.is_file() and is_dicom_file(path) for path in folder.iterdir())


def read(path: Path, series: str | None = None) -> Stored:
    """Read a series from a folder, or one file.

    Args:
        path: folder or file.
        series: the SeriesInstanceUID or SeriesNumber to take when the folder holds several.

    Raises:
        VolumeError: no images, several series, slices missing or at uneven distances, slices that do not fit together,
            objects that are no plain image (segmentations, multi-frame, colour), damaged files.
        MissingDependencyError: pydicom is not installed.
    """
    with _quiet():
        try:
            return _read_slices(_choose_series(_headers(path), series) if path.is_dir() else _alone(path))
        except (MissingDependencyError, OSError, MemoryError):
            raise
        except VolumeError as error:
            raise VolumeError(str(error).removeprefix(path.name).lstrip(": ")) from error
        except Exception as error:
            raise VolumeError(f"is damaged DICOM: {one_line(error)}") from error


def _alone(path: Path) -> dict[Path, Dataset]:
    header = _read_header(path)
    if header is None:
        raise VolumeError("is not DICOM: it does not begin as DICOM files do")
    _warn_of_siblings(path, header)
    return {path: header}


def _warn_of_siblings(path: Path, header: Dataset) -> None:
    """One slice is rarely what is meant: say so where the rest of its series lies beside it."""
    series = header.get("SeriesInstanceUID")
    headers = (_read_header(other) for other in dicom_files(path.parent) if other != path) if series else ()
    count = sum(other is not None and other.get("SeriesInstanceUID") == series for other in headers)
    if count:
        logger.warning("%s: one file of a series, %d more lie beside it: give the folder for the volume", path, count)


def _read_slices(headers: dict[Path, Dataset]) -> Stored:
    notes: list[str] = []
    slices = _sorted_slices(_drop_copies(headers, notes), notes)
    affine = _affine(slices, notes)
    array = _voxels(slices)
    first = slices[0].header
    meta = {
        "series": str(first.get("SeriesInstanceUID", "")),
        "modality": str(first.get("Modality", "")),
        "description": str(first.get("SeriesDescription", "")),
    }
    return Stored(array, affine, tuple(notes), meta)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom's warnings about odd values, and GDCM's, out of the terminal."""
    log = logging.getLogger("pydicom")
    level = log.level
    log.setLevel(logging.CRITICAL)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _read_header(path: Path, voxels: bool = False) -> Dataset | None:
    try:
        import pydicom
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: DICOM needs pydicom: pip install -e '.[dicom]' in the checkout, or convert the series to NIfTI"
        ) from error
    if path.stat().st_size == 0:
        raise VolumeError(f"{path.name} is empty (0 bytes)")
    try:
        header = pydicom.dcmread(path, stop_before_pixels=not voxels, force=path.suffix.lower() in SUFFIXES)
        header.get("Rows"), header.get("SOPClassUID")
    except pydicom.errors.InvalidDicomError:
        return None
    except Exception as error:
        raise VolumeError(f"{path.name} is damaged DICOM: {one_line(error)}") from error
    if "SOPClassUID" not in header and "Rows" not in header:
        return None
    return header


def _headers(folder: Path) -> dict[Path, Dataset]:
    found = {path: _read_header(path) for path in dicom_files(folder)}
    images = {path: header for path, header in found.items() if header is not None and "Rows" in header}
    if not images:
        raise VolumeError("is a folder without DICOM images (its subfolders are not searched)")
    if any(not _is_segmentation(header) for header in images.values()):
        images = {path: header for path, header in images.items() if not _is_segmentation(header)}
    return images


def _is_segmentation(header: Dataset) -> bool:
    return str(header.get("SOPClassUID", "")).startswith(_SEGMENTATION)


def _choose_series(headers: dict[Path, Dataset], series: str | None) -> dict[Path, Dataset]:
    groups: dict[str, dict[Path, Dataset]] = defaultdict(dict)
    for path, header in headers.items():
        groups[str(header.get("SeriesInstanceUID", "without UID"))][path] = header
    if series is not None:
        matching = [
            group
            for uid, group in groups.items()
            if series in (uid, str(next(iter(group.values())).get("SeriesNumber")))
        ]
        if len(matching) == 1:
            return matching[0]
        raise VolumeError(f"{len(matching)} series match {series!r}; there are {_series_list(groups)}")
    if len(groups) > 1:
        raise VolumeError(
            f"holds {len(groups)} series: {_series_list(groups)}; choose one with series=UID (`predict` and `infer`: "
            "--series UID, of this folder alone), or put each into its own folder"
        )
    return next(iter(groups.values()))


def _series_list(groups: dict[str, dict[Path, Dataset]]) -> str:
    lines = []
    for uid, group in sorted(groups.items()):
        header = next(iter(group.values()))
        title = f"{header.get('Modality', '')} {header.get('SeriesDescription', '')}".strip()
        lines.append(f"{uid} ({one_line(ValueError(title))}, {len(group)} file{'s' * (len(group) > 1)})")
    return "; ".join(lines[:8]) + (f"; and {len(lines) - 8} more" if len(lines) > 8 else "")


def _drop_copies(headers: dict[Path, Dataset], notes: list[str]) -> dict[Path, Dataset]:
    kept: dict[str, Path] = {}
    for path, header in headers.items():
        kept.setdefault(str(header.get("SOPInstanceUID", path.name)), path)
    if len(kept) < len(headers):
        notes.append(f"{len(headers) - len(kept)} files are copies of other slices and are left out")
    return {path: headers[path] for path in kept.values()}


def _sorted_slices(headers: dict[Path, Dataset], notes: list[str]) -> list[Slice]:
    alone = len(headers) == 1
    slices = [_slice(path, header, alone, notes) for path, header in headers.items()]
    first = slices[0]
    for other in slices[1:]:
        for what, ours, theirs, tolerance in (
            ("size", _size(first), _size(other), 0.0),
            ("pixel spacing", first.spacing, other.spacing, 1e-3),
            ("orientation", first.orientation, other.orientation, 1e-2),
        ):
            if not np.allclose(ours, theirs, rtol=0, atol=tolerance):
                raise VolumeError(
                    f"mixes slices that do not fit together: {first.path.name} has {what} {format_numbers(ours)}, "
                    f"{other.path.name} has {format_numbers(theirs)}; put them into separate folders"
                )
    return sorted(slices, key=lambda item: item.depth)


def _size(item: Slice) -> tuple[int, int]:
    return int(item.header.Columns), int(item.header.Rows)


def _slice(path: Path, header: Dataset, alone: bool, notes: list[str]) -> Slice:
    if _is_segmentation(header):
        raise VolumeError(
            f"{path.name} is a DICOM segmentation object; convert it to NIfTI (dcmqi's segimage2itkimage)"
        )
    if int(header.get("NumberOfFrames") or 1) > 1 or "PerFrameFunctionalGroupsSequence" in header:
        raise VolumeError(f"{path.name} is a multi-frame (enhanced) DICOM object; convert it to NIfTI (dcm2niix)")
    if (
        int(header.get("SamplesPerPixel") or 1) != 1
        or str(header.get("PhotometricInterpretation", "")) == "PALETTE COLOR"
    ):
        raise VolumeError(f"{path.name} is a colour image; one value per voxel is needed")
    if not header.get("Rows") or not header.get("Columns"):
        raise VolumeError(f"{path.name} has no image (no Rows and Columns)")
    orientation = _numbers(path, header, "ImageOrientationPatient", 6)
    position = _numbers(path, header, "ImagePositionPatient", 3)
    spacing = _numbers(path, header, "PixelSpacing", 2)
    if spacing is None and (spacing := _numbers(path, header, "ImagerPixelSpacing", 2)) is not None:
        notes.append("no PixelSpacing; ImagerPixelSpacing, the size at the detector, is used")
    missing = [
        name
        for name, value in (("orientation", orientation), ("position", position), ("pixel spacing", spacing))
        if value is None
    ]
    if missing and not alone:
        raise VolumeError(f"{path.name} does not say its {' and '.join(missing)}; the slices cannot be put in order")
    if missing:
        notes.append(
            f"the header does not say the {' and '.join(missing)}; 1 mm, axes L, P, S and origin 0 are assumed"
        )
    orientation = orientation or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    if abs(np.linalg.norm(orientation[:3]) - 1) > 0.01 or abs(np.linalg.norm(orientation[3:]) - 1) > 0.01:
        raise VolumeError(
            f"{path.name}: the header's orientation {format_numbers(orientation)} is not two unit vectors"
        )
    row, column = spacing or (1.0, 1.0)
    return Slice(path, header, orientation, position or (0.0, 0.0, 0.0), (column, row))


def _numbers(path: Path, header: Dataset, name: str, count: int) -> tuple[float, ...] | None:
    try:
        value = header.get(name)
        if value is None or value == "" or (hasattr(value, "__len__") and len(value) == 0):
            return None
        numbers = tuple(float(item) for item in (value if count > 1 else [value]))
    except (ValueError, TypeError, OverflowError) as error:
        raise VolumeError(f"{path.name}: the header's {name} is not {count} numbers") from error
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise VolumeError(f"{path.name}: the header's {name} is not {count} numbers")
    return numbers


def _affine(slices: list[Slice], notes: list[str]) -> np.ndarray:
    first, last = slices[0], slices[-1]
    affine = np.eye(4)
    affine[:3, 0] = np.multiply(first.orientation[:3], first.spacing[0])
    affine[:3, 1] = np.multiply(first.orientation[3:], first.spacing[1])
    affine[:3, 3] = first.position
    if len(slices) == 1:
        affine[:3, 2] = first.normal * _thickness(first, notes)
        return swap_lps_ras(affine)
    _check_gaps(slices)
    affine[:3, 2] = np.subtract(last.position, first.position) / (len(slices) - 1)
    if shear_of(affine) <= SHEAR_TOLERANCE:
        _check_line(slices, affine[:3, 2])
    return swap_lps_ras(affine)


def _thickness(item: Slice, notes: list[str]) -> float:
    for name in ("SpacingBetweenSlices", "SliceThickness"):
        value = _numbers(item.path, item.header, name, 1)
        if value is not None and value[0] > 0:
            return value[0]
    notes.append("the header does not say how thick the slice is; 1 mm is assumed")
    return 1.0


def _check_gaps(slices: list[Slice]) -> None:
    gaps = np.diff([item.depth for item in slices])
    usual = float(np.median(gaps))
    same = np.flatnonzero(gaps < 1e-3)
    if len(same):
        first, second = slices[same[0]].path.name, slices[same[0] + 1].path.name
        raise VolumeError(
            f"has several images at one place ({first} and {second}): time points, echoes or two acquisitions in one "
            "series; put each into its own folder"
        )
    wrong = np.flatnonzero(np.abs(gaps - usual) > _GAP_TOLERANCE * usual)
    if not len(wrong):
        return
    before, after = slices[wrong[0]].path.name, slices[wrong[0] + 1].path.name
    multiples = gaps / gaps.min()
    if np.allclose(multiples, np.rint(multiples), atol=0.1):
        missing = int(np.rint(multiples).sum()) - len(gaps)
        raise VolumeError(
            f"lacks {missing} slice{'s' * (missing > 1)}: {before} and {after} lie {gaps[wrong[0]]:.3g} mm apart, "
            f"others {gaps.min():.3g} mm; complete the folder"
        )
    raise VolumeError(
        f"has slices at uneven distances, {gaps.min():.3g} to {gaps.max():.3g} mm ({before} to {after}: "
        f"{gaps[wrong[0]]:.3g} mm); one grid cannot hold them, resample it where it was made"
    )


def _check_line(slices: list[Slice], step: np.ndarray) -> None:
    start = np.array(slices[0].position)
    off = [float(np.linalg.norm(item.position - start - index * step)) for index, item in enumerate(slices)]
    if max(off) > 0.1 * float(np.linalg.norm(step)) + 0.01:
        worst = slices[int(np.argmax(off))].path.name
        raise VolumeError(f"has slices that do not lie on one straight line: {worst} is {max(off):.3g} mm beside it")


def _voxels(slices: list[Slice]) -> np.ndarray:
    """Return (X, Y, Z): columns, rows, slices."""
    planes = (_plane(item) for item in slices)
    first = next(planes)
    columns, rows = _size(slices[0])
    result = np.empty((columns, rows, len(slices)), dtype=first.dtype, order="F")
    result[..., 0] = first
    for index, plane in enumerate(planes, start=1):
        if plane.dtype != result.dtype:
            result = result.astype(np.promote_types(result.dtype, plane.dtype), order="F", copy=False)
        result[..., index] = plane
    return result


def _plane(item: Slice) -> np.ndarray:
    header = _read_header(item.path, voxels=True)
    if header is None or "PixelData" not in header:
        raise VolumeError(f"{item.path.name} has no voxels")
    return unpack(header, item.path.name)
