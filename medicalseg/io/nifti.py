"""NIfTI-1 and NIfTI-2: .nii, .nii.gz, and pairs of .hdr and .img.

nibabel knows the header's layout; the checks, the choice of the affine and the voxels are read here, because nibabel
accepts wrong gzip checksums and SimpleITK accepts truncated streams.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.quaternions import fillpositive, quat2mat

from medicalseg.errors import VolumeError
from medicalseg.io.geometry import check_affine, corner_distance, spacing_of
from medicalseg.io.pairs import atomic_pair, detached
from medicalseg.io.payload import Compression, Payload, check_shape, gzip_writer, open_stream, read_array, write_array
from medicalseg.io.stored import Stored, apply_scaling, channels_first
from medicalseg.io.volume import Volume
from medicalseg.utils.files import atomic_path

SUFFIXES = (".nii.gz", ".nii", ".hdr", ".img", ".hdr.gz", ".img.gz")

_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_NUMBER_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_OTHER_TYPES = {
    0: "none", 1: "binary", 32: "complex64", 128: "RGB colour", 1536: "float128", 1792: "complex128",
    2048: "complex256", 2304: "RGBA colour",
}  # fmt: skip
_SCANNER = 1
_BRANDS = {b"n+1\0": True, b"ni1\0": False, b"n+2\0": True, b"ni2\0": False}


def read(path: Path) -> Stored:
    """Read a NIfTI file; for a pair, `path` is either of the two.

    Raises:
        VolumeError: not NIfTI, truncated, damaged, or with a header that makes no sense.
    """
    header_path, data_path = _files(path)
    header = _read_header(header_path)
    single = _is_single(header)
    if single != (header_path == data_path):
        raise VolumeError(f"is marked as {'a single file' if single else 'half of a .hdr/.img pair'}; its name differs")
    shape = _shape(header)
    dtype = _dtype(header)
    payload = Payload(data_path, skip=_offset(header, single), compression=_compression(data_path))
    array, surplus = read_array(payload, dtype, shape)
    notes = [f"{surplus} bytes follow the voxels and are ignored"] if surplus else []
    array = apply_scaling(array, _number(header, "scl_slope"), _number(header, "scl_inter"))
    affine = _affine(header, shape, notes)
    return Stored(channels_first(array), affine, tuple(notes), {"description": _text(header["descrip"])})


def _files(path: Path) -> tuple[Path, Path]:
    name = path.name.lower()
    packed = ".gz" if name.endswith(".gz") else ""
    if name.endswith((".nii", ".nii.gz")):
        return path, path
    stem = path.name[: -len(".hdr" + packed)]
    header, data = (
        path if name.endswith(kind + packed) else detached(path, stem, kind, packed) for kind in (".hdr", ".img")
    )
    return header, data


def _compression(path: Path) -> Compression:
    return "gzip" if path.name.lower().endswith(".gz") else "none"


def _read_header(path: Path) -> nib.Nifti1Header:
    with open_stream(Payload(path, compression=_compression(path))) as stream:
        block = stream.read(540)
    if block[:2] == b"\x1f\x8b" and not path.name.lower().endswith(".gz"):
        raise VolumeError(f"is gzip data under the name {path.suffix}; rename it to {path.suffix}.gz")
    size = {348: 348, 540: 540}.get(int.from_bytes(block[:4], "little"))
    size = size or {348: 348, 540: 540}.get(int.from_bytes(block[:4], "big"))
    if size is None or len(block) < size:
        raise VolumeError("is not NIfTI: its first bytes are no NIfTI header")
    kind = nib.Nifti1Header if size == 348 else nib.Nifti2Header
    swapped = int.from_bytes(block[:4], "little") != size
    header = kind(block[:size], endianness=">" if swapped else "<", check=False)
    magic = _magic(header)
    if magic == b"\0\0\0\0" and path.suffix != ".nii":
        raise VolumeError("is ANALYZE 7.5, which does not tell left from right; convert it to NIfTI where it was made")
    if magic not in _BRANDS or (b"2" in magic) != (size == 540):
        raise VolumeError(f"is not NIfTI: the magic string is {magic!r}")
    return header


def _magic(header: nib.Nifti1Header) -> bytes:
    return bytes(header["magic"].item()).ljust(4, b"\0")[:4]


def _is_single(header: nib.Nifti1Header) -> bool:
    return _BRANDS[_magic(header)]


def _shape(header: nib.Nifti1Header) -> tuple[int, ...]:
    dimensions = [int(size) for size in header["dim"]]
    if not 1 <= dimensions[0] <= 7:
        raise VolumeError(f"the header's number of axes, dim[0], is {dimensions[0]}; it should be 3")
    shape = tuple(dimensions[1 : dimensions[0] + 1])
    check_shape(shape)
    return shape


def _dtype(header: nib.Nifti1Header) -> np.dtype:
    code = int(header["datatype"])
    if code not in _NUMBER_TYPES:
        what = _OTHER_TYPES.get(code)
        raise VolumeError(
            f"holds {what} voxels (datatype {code}); one real number per voxel is needed"
            if what
            else f"the header's datatype code {code} is unknown"
        )
    dtype = np.dtype(_NUMBER_TYPES[code])
    if int(header["bitpix"]) != 8 * dtype.itemsize:
        raise VolumeError(f"the header says datatype {dtype.name} and {int(header['bitpix'])} bits, which disagree")
    return dtype.newbyteorder(header.endianness)


def _offset(header: nib.Nifti1Header, single: bool) -> int:
    offset = _number(header, "vox_offset")
    smallest = (len(header.binaryblock) + 4) if single else 0
    if offset == 0:
        return smallest
    if not np.isfinite(offset) or offset != int(offset) or offset < smallest:
        raise VolumeError(f"the header puts the voxels at byte {offset:g}, which cannot be")
    return int(offset)


def _number(header: nib.Nifti1Header, key: str) -> float:
    return float(header[key])


def _text(value: np.ndarray) -> str:
    return bytes(value.item()).split(b"\0")[0].decode("ascii", "replace")


def _affine(header: nib.Nifti1Header, shape: tuple[int, ...], notes: list[str]) -> np.ndarray:
    sform = _sform(header) if int(header["sform_code"]) > 0 else None
    qform = None
    if int(header["qform_code"]) > 0:
        try:
            qform = _qform(header)
        except VolumeError as error:
            if sform is None:
                raise
            notes.append(f"the qform is not valid ({error}); the sform is used")
    affine = sform if sform is not None else qform
    if affine is None:
        affine = _fallback(header, shape)
        notes.append("qform_code and sform_code are 0: the orientation is not known, LAS is assumed (ANALYZE's order)")
    scale = _MILLIMETRES.get(int(header["xyzt_units"]) & 7)
    if scale is None:
        notes.append(f"the unit code {int(header['xyzt_units']) & 7} is unknown; millimetres are assumed")
    if not np.isfinite(affine).all():
        raise VolumeError("the header's sform or qform holds NaN or infinite numbers")
    affine = np.diag([*[scale or 1.0] * 3, 1.0]) @ affine
    if sform is not None and qform is not None:
        check_affine(affine, sheared=True)
        distance = corner_distance(sform, qform, (*shape, 1, 1)[:3])
        if distance > 0.05 * spacing_of(sform).min():
            apart = distance * (scale or 1.0)
            notes.append(f"sform and qform differ (corners lie up to {apart:.3g} mm apart); the sform is used")
    return affine


def _sform(header: nib.Nifti1Header) -> np.ndarray:
    rows = [[float(value) for value in header[key]] for key in ("srow_x", "srow_y", "srow_z")]
    return np.array([*rows, [0.0, 0.0, 0.0, 1.0]])


def _spacing(header: nib.Nifti1Header) -> np.ndarray:
    spacing = np.array([float(value) for value in header["pixdim"][1:4]])
    if int(header["dim"][0]) < 3:
        spacing[2] = spacing[2] or 1.0
    if not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise VolumeError(f"the header's voxel spacing is {' x '.join(f'{value:g}' for value in spacing)}; fix pixdim")
    return spacing


def _qform(header: nib.Nifti1Header) -> np.ndarray:
    spacing = _spacing(header)
    vector = np.array([float(header[key]) for key in ("quatern_b", "quatern_c", "quatern_d")])
    if not np.isfinite(vector).all() or (vector**2).sum() > 1 + 1e-4:
        raise VolumeError(f"the quaternion {vector.tolist()} is no rotation")
    rotation = quat2mat(fillpositive(vector, w2_thresh=-2e-4))
    spacing[2] *= -1.0 if float(header["pixdim"][0]) < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = [float(header[key]) for key in ("qoffset_x", "qoffset_y", "qoffset_z")]
    return affine


def _fallback(header: nib.Nifti1Header, shape: tuple[int, ...]) -> np.ndarray:
    """Return ANALYZE's convention, as nibabel does: x to the left, the origin in the middle of the grid."""
    affine = np.diag([*(_spacing(header) * [-1.0, 1.0, 1.0]), 1.0])
    middle = (np.array((*shape, 1, 1)[:3]) - 1) / 2.0
    affine[:3, 3] = -affine[:3, :3] @ middle
    return affine


def write(volume: Volume, path: Path) -> None:
    """Write .nii, .nii.gz or a .hdr/.img pair, with sform and qform, in mm; atomic."""
    name = path.name.lower()
    array = _xyz_first(volume.array)
    if name.endswith((".img", ".img.gz", ".hdr.gz")):
        raise VolumeError("is half of a NIfTI pair: give the name of the header, ending in .hdr")
    single = not name.endswith(".hdr")
    header = _make_header(volume, array, single)
    if not single:
        with atomic_pair(path, path.with_name(path.name[:-4] + ".img")) as (header_path, data_path):
            header_path.write_bytes(header + b"\0\0\0\0")
            with open(data_path, "wb") as handle:
                write_array(handle, array)
        return
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        if name.endswith(".gz"):
            with gzip_writer(handle) as stream:
                stream.write(header + b"\0\0\0\0")
                write_array(stream, array)
        else:
            handle.write(header + b"\0\0\0\0")
            write_array(handle, array)


def _xyz_first(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize == 2 else np.float64)
    return np.moveaxis(array, 0, -1) if array.ndim == 4 else array


def _make_header(volume: Volume, array: np.ndarray, single: bool) -> bytes:
    kind = nib.Nifti1Header if max(array.shape) < 2**15 else nib.Nifti2Header
    header = kind(endianness="<")
    header.set_data_shape(array.shape)
    header.set_data_dtype(array.dtype)
    header.set_sform(volume.affine, code=_SCANNER)
    header.set_qform(volume.affine, code=_SCANNER, strip_shears=True)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = 1, 0
    version = b"1" if kind is nib.Nifti1Header else b"2"
    header["magic"] = (b"n+" if single else b"ni") + version + (b"\0\r\n\x1a\n" if version == b"2" else b"")
    header["vox_offset"] = len(header.binaryblock) + 4 if single else 0
    return bytes(header.binaryblock)
