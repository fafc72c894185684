"""MetaImage: .mha, and .mhd with a separate voxel file. Format: https://itk.org/Wiki/ITK/MetaIO/Documentation"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from medicalseg.errors import VolumeError
from medicalseg.io import deflate
from medicalseg.io.geometry import compose_affine, swap_lps_ras
from medicalseg.io.pairs import atomic_pair, named_in_header
from medicalseg.io.payload import Payload, check_shape, read_array, write_array
from medicalseg.io.stored import Stored, channels_first
from medicalseg.io.volume import Volume
from medicalseg.utils.files import atomic_path

SUFFIXES = (".mha", ".mhd")

_DTYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in reversed(_DTYPES.items())}
_UNITS = {"mm": 1.0, "um": 0.001, "cm": 10.0}
_LONGEST_HEADER = 1 << 20


def read(path: Path) -> Stored:
    """Read a MetaImage whose voxels are in the same or in one other file, plain or compressed.

    Raises:
        VolumeError: not MetaImage, truncated, damaged, or with a header that makes no sense.
    """
    with open(path, "rb") as handle:
        fields = _read_header(handle)
        start = handle.tell()
    dimensions = _integers(fields, ("NDims",), 1)[0]
    if not 1 <= dimensions <= 10:
        raise VolumeError(f"the header's NDims is {dimensions}; it should be 3")
    sizes = tuple(_integers(fields, ("DimSize",), dimensions))
    check_shape(sizes)
    components = _integers(fields, ("ElementNumberOfChannels",), 1)[0] if "ElementNumberOfChannels" in fields else 1
    check_shape((components,))
    notes: list[str] = []
    affine = _affine(fields, dimensions, notes)
    shape = sizes if components == 1 else (components, *sizes)
    array, surplus = _read_voxels(path, start, fields, shape)
    if surplus:
        notes.append(f"{surplus} bytes follow the voxels and are ignored")
    if components > 1:
        array = np.moveaxis(array, 0, -1)
    return Stored(channels_first(array), affine, tuple(notes))


def _read_header(handle: BinaryIO) -> dict[str, str]:
    fields: dict[str, str] = {}
    while line := handle.readline(1 << 16):
        text = line.decode("utf-8", "replace").strip()
        name, equals, value = text.partition("=")
        if text and not equals:
            break
        if text:
            fields[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile" or handle.tell() > _LONGEST_HEADER:
            break
    if "ElementDataFile" not in fields or "NDims" not in fields:
        raise VolumeError("is not MetaImage: its header has no NDims or no ElementDataFile")
    if fields.get("ObjectType", "Image").lower() != "image":
        raise VolumeError(f"is a MetaImage file of type {fields['ObjectType']}, not an image")
    missing = [name for name in ("DimSize", "ElementType") if name not in fields]
    if missing:
        raise VolumeError(f"the MetaImage header lacks {', '.join(missing)}")
    return fields


def _integers(fields: dict[str, str], names: tuple[str, ...], count: int) -> list[int]:
    text = next((fields[name] for name in names if name in fields), "")
    words = text.split()
    if len(words) != count or not all(re.fullmatch(r"[+-]?\d{1,18}", word) for word in words):
        raise VolumeError(f"the header's {names[0]} is {text!r}; {count} whole numbers are needed")
    return [int(word) for word in words]


def _floats(fields: dict[str, str], names: tuple[str, ...], default: Sequence[float]) -> tuple[np.ndarray, bool]:
    name = next((name for name in names if name in fields), None)
    if name is None:
        return np.array(default, dtype=float), False
    words = fields[name].split()
    if len(words) != len(default):
        raise VolumeError(f"the header's {name} has {len(words)} numbers; {len(default)} are needed")
    return np.array([float(word) for word in words]), True


def _flag(fields: dict[str, str], *names: str, default: bool) -> bool:
    text = next((fields[name] for name in names if name in fields), str(default))
    return text.strip().lower() in ("true", "1", "t")


def _affine(fields: dict[str, str], dimensions: int, notes: list[str]) -> np.ndarray:
    matrix, known = _floats(fields, ("TransformMatrix", "Rotation", "Orientation"), np.eye(dimensions).ravel().tolist())
    spacing, _ = _floats(fields, ("ElementSpacing", "ElementSize"), [1.0] * dimensions)
    origin, _ = _floats(fields, ("Offset", "Position", "Origin"), [0.0] * dimensions)
    if not known:
        notes.append("the header has no TransformMatrix; the axes are taken to run along L, P, S")
    if dimensions < 3:
        return np.eye(4)
    units = fields.get("DistanceUnits", "mm").lower()
    if units not in _UNITS:
        notes.append(f"the distance unit {units!r} is unknown; millimetres are assumed")
    scale = _UNITS.get(units, 1.0)
    direction = matrix.reshape(dimensions, dimensions).T[:3, :3]
    return swap_lps_ras(compose_affine(direction, spacing[:3] * scale, origin[:3] * scale))


def _read_voxels(path: Path, start: int, fields: dict[str, str], shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    kind = fields["ElementType"].upper().removesuffix("_ARRAY")
    if kind not in _DTYPES:
        raise VolumeError(f"the header's ElementType {fields['ElementType']!r} is not a number type that can be read")
    if not _flag(fields, "BinaryData", default=True):
        raise VolumeError("stores its voxels as text; save it as a binary MetaImage")
    big = _flag(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB", default=False)
    dtype = np.dtype(_DTYPES[kind]).newbyteorder(">" if big else "<")
    name = fields["ElementDataFile"]
    if name.upper().startswith("LIST") or "%" in name:
        raise VolumeError("spreads its voxels over several files; convert it to one file")
    if name.upper() != "LOCAL":
        path, start = named_in_header(path, name), 0
    packed = _flag(fields, "CompressedData", default=False)
    skip = _integers(fields, ("HeaderSize",), 1)[0] if "HeaderSize" in fields else 0
    if skip < 0:
        needed = int(np.prod([int(size) for size in shape], dtype=object)) * dtype.itemsize
        start, skip = max(path.stat().st_size - needed, start), 0
    return read_array(Payload(path, start + skip, 0, "zlib" if packed else "none"), dtype, shape)


def write(volume: Volume, path: Path) -> None:
    """Write .mha (compressed) or .mhd with NAME.raw beside it; LPS; atomic."""
    array = volume.array if volume.array.dtype != np.float16 else volume.array.astype(np.float32)
    if path.suffix.lower() == ".mha":
        packed = _compress(array)
        with atomic_path(path) as temporary, open(temporary, "wb") as handle:
            handle.write(_header(volume, array, "LOCAL", sum(map(len, packed))))
            handle.writelines(packed)
        return
    data = path.with_name(path.stem + ".raw")
    with atomic_pair(path, data) as (header_path, data_path):
        header_path.write_bytes(_header(volume, array, data.name, None))
        with open(data_path, "wb") as handle:
            write_array(handle, array)


class _Chunks(list[bytes]):
    """A stream that collects compressed chunks, because the header before them tells their size."""

    def __init__(self) -> None:
        super().__init__()
        self._compressor = deflate.compressor()

    def write(self, plain: bytes) -> None:
        self.append(self._compressor.compress(plain))

    def finish(self) -> None:
        self.append(self._compressor.flush())


def _compress(array: np.ndarray) -> list[bytes]:
    chunks = _Chunks()
    write_array(chunks, array)  # type: ignore[arg-type]
    chunks.finish()
    return chunks


def _header(volume: Volume, array: np.ndarray, data_file: str, packed: int | None) -> bytes:
    affine = swap_lps_ras(volume.affine)
    direction = affine[:3, :3] / np.array(volume.spacing)
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False"]
    lines += [f"CompressedData = {packed is not None}"]
    lines += [] if packed is None else [f"CompressedDataSize = {packed}"]
    lines += [
        f"TransformMatrix = {_words(direction.T.ravel())}",
        f"Offset = {_words(affine[:3, 3])}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {_words(volume.spacing)}",
        f"DimSize = {' '.join(map(str, volume.shape))}",
    ]
    lines += [f"ElementNumberOfChannels = {volume.channels}"] if array.ndim == 4 else []
    lines += [f"ElementType = {_NAMES[array.dtype]}", f"ElementDataFile = {data_file}"]
    return ("\n".join(lines) + "\n").encode()


def _words(numbers: Sequence[float] | np.ndarray) -> str:
    return " ".join(repr(float(number)) for number in numbers)
