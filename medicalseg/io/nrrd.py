"""NRRD: .nrrd, and .nhdr with a separate voxel file. Format: https://teem.sourceforge.net/nrrd/format.html"""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from medicalseg.errors import VolumeError
from medicalseg.io.geometry import swap_lps_ras
from medicalseg.io.pairs import atomic_pair, named_in_header
from medicalseg.io.payload import Compression, Payload, check_shape, gzip_writer, open_stream, read_array, write_array
from medicalseg.io.stored import Stored
from medicalseg.io.volume import Volume
from medicalseg.utils.files import atomic_path

SUFFIXES = (".nrrd", ".nhdr")

_TYPES = {
    "i1": "signed char,int8,int8_t",
    "u1": "uchar,unsigned char,uint8,uint8_t",
    "i2": "short,short int,signed short,signed short int,int16,int16_t",
    "u2": "ushort,unsigned short,unsigned short int,uint16,uint16_t",
    "i4": "int,signed int,int32,int32_t",
    "u4": "uint,unsigned int,uint32,uint32_t",
    "i8": "longlong,long long,long long int,signed long long,signed long long int,int64,int64_t",
    "u8": "ulonglong,unsigned long long,unsigned long long int,uint64,uint64_t",
    "f4": "float",
    "f8": "double",
}
_DTYPES = {name: np.dtype(code) for code, names in _TYPES.items() for name in names.split(",")}
_ENCODINGS: dict[str, Compression] = {"raw": "none", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_TEXT = ("txt", "text", "ascii")
_SPACES = {  # signs that take the space's axes to RAS
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
_UNITS = {"mm": 1.0, "millimeter": 1.0, "um": 0.001, "μm": 0.001, "µm": 0.001, "cm": 10.0, "m": 1000.0}
_LONGEST_HEADER = 1 << 20


def read(path: Path) -> Stored:
    """Read a NRRD file; encodings raw, gzip, bzip2, text and hex, voxels in the same or in one other file.

    Raises:
        VolumeError: not NRRD, truncated, damaged, or with a header that makes no sense.
    """
    with open(path, "rb") as handle:
        fields = _read_header(handle)
        start = handle.tell()
    sizes = tuple(_integers(fields, "sizes"))
    check_shape(sizes)
    if len(sizes) != _integer(fields, "dimension"):
        raise VolumeError(f"the header gives dimension {fields['dimension']} but {len(sizes)} sizes")
    notes: list[str] = []
    affine, spatial = _geometry(fields, len(sizes), notes)
    array, surplus = _read_voxels(path, start, fields, sizes)
    if surplus > 1:
        notes.append(f"{surplus} bytes follow the voxels and are ignored")
    return Stored(_space_last(array, spatial), affine, tuple(notes))


def _read_header(handle: BinaryIO) -> dict[str, str]:
    if not re.fullmatch(rb"NRRD000[1-5]", handle.readline(16).rstrip(b"\r\n")):
        raise VolumeError("is not NRRD: its first line is not NRRD0001 ... NRRD0005")
    fields: dict[str, str] = {}
    while line := handle.readline(_LONGEST_HEADER):
        text = line.decode("utf-8", "replace").strip()
        if not text:
            break
        if not text.startswith("#") and ": " in text and ":=" not in text.split(": ")[0]:
            name, _, value = text.partition(": ")
            fields[name.strip().lower().replace("datafile", "data file")] = value.strip()
        if handle.tell() > _LONGEST_HEADER:
            raise VolumeError("is not NRRD: the header does not end")
    missing = [name for name in ("type", "dimension", "sizes", "encoding") if name not in fields]
    if missing:
        raise VolumeError(f"the NRRD header lacks {', '.join(missing)}")
    return fields


def _integers(fields: dict[str, str], name: str) -> list[int]:
    words = fields[name].split()
    if not words or not all(re.fullmatch(r"[+-]?\d{1,18}", word) for word in words):
        raise VolumeError(f"the header's {name!r} is {fields[name]!r}, not whole numbers")
    return [int(word) for word in words]


def _integer(fields: dict[str, str], name: str, default: int | None = None) -> int:
    return default if name not in fields and default is not None else _integers(fields, name)[0]


def _dtype(fields: dict[str, str]) -> np.dtype:
    dtype = _DTYPES.get(fields["type"].lower())
    if dtype is None:
        raise VolumeError(f"the header's type {fields['type']!r} is not a number type that can be read")
    endian = fields.get("endian", "").lower()
    if dtype.itemsize > 1 and fields["encoding"].lower() not in _TEXT and endian not in ("little", "big"):
        raise VolumeError("the header does not say endian: little or big")
    return dtype.newbyteorder(">" if endian == "big" else "<")


def _read_voxels(path: Path, start: int, fields: dict[str, str], sizes: tuple[int, ...]) -> tuple[np.ndarray, int]:
    dtype = _dtype(fields)
    if "data file" in fields:
        name = fields["data file"]
        if name.upper().startswith("LIST") or "%" in name:
            raise VolumeError("spreads its voxels over several files; convert it to one file")
        path, start = named_in_header(path, name), 0
    encoding = fields["encoding"].lower()
    start += _line_bytes(path, start, _integer(fields, "line skip", 0))
    skip = _integer(fields, "byte skip", 0)
    if encoding in (*_TEXT, "hex"):
        return _read_text(path, start, encoding, dtype, sizes), 0
    if encoding not in _ENCODINGS:
        raise VolumeError(f"the encoding {fields['encoding']!r} is not known")
    if skip < 0:
        if skip != -1 or encoding != "raw":
            raise VolumeError(f"the header's byte skip is {skip}")
        needed = int(np.prod([int(size) for size in sizes], dtype=object)) * dtype.itemsize
        start, skip = max(path.stat().st_size - needed, start), 0
    return read_array(Payload(path, start, skip, _ENCODINGS[encoding]), dtype, sizes)


def _line_bytes(path: Path, start: int, lines: int) -> int:
    if lines < 0:
        raise VolumeError(f"the header's line skip is {lines}")
    with open(path, "rb") as handle:
        handle.seek(start)
        for _ in range(min(lines, _LONGEST_HEADER)):
            if not handle.readline():
                break
        return handle.tell() - start


def _read_text(path: Path, start: int, encoding: str, dtype: np.dtype, sizes: tuple[int, ...]) -> np.ndarray:
    with open_stream(Payload(path, start)) as stream:
        content = stream.read()
    count = int(np.prod([int(size) for size in sizes], dtype=object))
    if encoding == "hex":
        flat = np.frombuffer(bytes.fromhex(content.decode("ascii")), dtype=dtype)
    else:
        flat = np.array(content.split(), dtype=np.float64 if dtype.kind == "f" else np.int64)
    if flat.size < count:
        raise VolumeError(f"is truncated: the header promises {count} voxels, {flat.size} are there")
    return flat[:count].astype(dtype.newbyteorder("=")).reshape(sizes, order="F")


def _geometry(fields: dict[str, str], dimension: int, notes: list[str]) -> tuple[np.ndarray, list[int]]:
    """Return the RAS affine and which array axes are the three of space."""
    signs = _SPACES.get(fields.get("space", "").lower().removesuffix("-time"))
    if "space directions" in fields:
        vectors = _vectors(fields["space directions"])
        spatial = [axis for axis, vector in enumerate(vectors) if vector is not None]
        if len(vectors) != dimension:
            raise VolumeError(f"the header gives {dimension} axes but {len(vectors)} space directions")
        directions = [vector[:3] for vector in vectors if vector is not None][:3]
    else:
        spacings = [float(word) for word in fields["spacings"].split()] if "spacings" in fields else [1.0] * dimension
        known = [axis for axis, value in enumerate(spacings) if np.isfinite(value)]
        spatial = [axis for axis in _domain_axes(fields, dimension) if axis in known or "spacings" not in fields]
        directions = list(np.diag([spacings[axis] for axis in spatial[:3]]))
    if len(spatial) == 4:
        spatial = spatial[:3]
    if len(spatial) != 3 or any(len(vector) != 3 for vector in directions):
        raise VolumeError(f"has {len(spatial)} axes of space in its header; a 3D volume is needed")
    if signs is None or "space directions" not in fields:
        notes.append("the header does not say how the axes lie in the patient; LPS is assumed")
    affine = np.eye(4)
    affine[:3, :3] = np.array(directions, dtype=float).T
    if "space origin" in fields:
        origin = _vectors(fields["space origin"])[0]
        if origin is None or len(origin) < 3:
            raise VolumeError(f"the header's space origin is {fields['space origin']!r}")
        affine[:3, 3] = origin[:3]
    scale = _unit(fields, notes)
    return np.diag([*np.multiply(signs or (-1, -1, 1), scale), 1.0]) @ affine, spatial


def _domain_axes(fields: dict[str, str], dimension: int) -> list[int]:
    kinds = fields.get("kinds", "").lower().split()
    if len(kinds) == dimension:
        return [axis for axis, kind in enumerate(kinds) if kind in ("domain", "space", "???", "none")]
    return list(range(dimension))


def _vectors(text: str) -> list[list[float] | None]:
    found = re.findall(r"\(([^()]*)\)|\bnone\b", text)
    return [[float(word) for word in inner.split(",")] if inner.strip() else None for inner in found]


def _unit(fields: dict[str, str], notes: list[str]) -> float:
    units = set(re.findall(r'"([^"]*)"', fields.get("space units", "")))
    if len(units) > 1 or not units <= set(_UNITS):
        notes.append(f"the space units {fields['space units']} are not one known unit; millimetres are assumed")
        return 1.0
    return _UNITS[units.pop()] if units else 1.0


def _space_last(array: np.ndarray, spatial: list[int]) -> np.ndarray:
    others = [axis for axis in range(array.ndim) if axis not in spatial]
    long = [axis for axis in others if array.shape[axis] > 1]
    if len(long) > 1:
        raise VolumeError(f"has shape {array.shape}: more than one axis beside the three of space")
    moved = array.transpose([*others, *spatial])
    shape = (*(array.shape[axis] for axis in long), *(array.shape[axis] for axis in spatial))
    return moved.reshape(shape, order="A")


def write(volume: Volume, path: Path) -> None:
    """Write .nrrd (gzip inside) or .nhdr with NAME.raw.gz beside it; LPS; atomic."""
    array = volume.array if volume.array.dtype != np.float16 else volume.array.astype(np.float32)
    if path.suffix.lower() == ".nrrd":
        with atomic_path(path) as temporary, open(temporary, "wb") as handle:
            handle.write(_header(volume, array, None))
            with gzip_writer(handle) as stream:
                write_array(stream, array)
        return
    data = path.with_name(path.stem + ".raw.gz")
    with atomic_pair(path, data) as (header_path, data_path):
        header_path.write_bytes(_header(volume, array, data.name))
        with open(data_path, "wb") as handle, gzip_writer(handle) as stream:
            write_array(stream, array)


def _header(volume: Volume, array: np.ndarray, data_file: str | None) -> bytes:
    affine = swap_lps_ras(volume.affine)
    vectors = [_vector(affine[:3, axis]) for axis in range(3)]
    channel = array.ndim == 4
    lines = [
        "NRRD0005",
        f"type: {next(name for name, dtype in _DTYPES.items() if dtype == array.dtype)}",
        f"dimension: {array.ndim}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, array.shape))}",
        f"space directions: {'none ' if channel else ''}{' '.join(vectors)}",
        f"kinds: {'list ' if channel else ''}domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(affine[:3, 3])}",
        'space units: "mm" "mm" "mm"',
    ]
    lines += [] if data_file is None else [f"data file: {data_file}"]
    return ("\n".join(lines) + "\n" + ("\n" if data_file is None else "")).encode()


def _vector(numbers: np.ndarray) -> str:
    return "(" + ",".join(repr(float(number)) for number in numbers) + ")"
