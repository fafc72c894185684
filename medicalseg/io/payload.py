"""Voxel bytes: read into one array with every checksum and length verified, and written slab by slab."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np

from medicalseg.errors import VolumeError
from medicalseg.io import deflate

Compression = Literal["none", "gzip", "bzip2", "zlib"]

_CHUNK = 1 << 20
_BEST_RATIO = {"none": 1, "gzip": 1100, "zlib": 1100, "bzip2": 50_000_000}
"""How many bytes one byte of the file can stand for; bounds what a damaged header can make us allocate."""


@dataclass(frozen=True)
class Payload:
    """Where the voxels of a file are.

    Args:
        path: the file that holds them.
        start: bytes of the file before the voxels (or before the compressed stream).
        skip: bytes of the stream before the voxels, after decompression.
        compression: how the stream is packed.
    """

    path: Path
    start: int = 0
    skip: int = 0
    compression: Compression = "none"


class _Inflate(io.RawIOBase):
    """A zlib or gzip stream inside another file; MetaImage keeps its voxels so."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._decompressor = deflate.decompressor()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._decompressor.eof:
            packed = self._decompressor.unconsumed_tail or self._handle.read(_CHUNK)
            plain = self._decompressor.decompress(packed, len(buffer))
            if plain:
                buffer[: len(plain)] = plain
                return len(plain)
            if not packed:
                raise EOFError("compressed stream is cut")
        return 0


@contextlib.contextmanager
def open_stream(payload: Payload) -> Iterator[BinaryIO]:
    """Open the decompressed stream; failures of decompression become a `VolumeError` in plain words."""
    with open(payload.path, "rb") as handle:
        handle.seek(payload.start)
        if payload.compression == "gzip" and handle.read(2) != b"\x1f\x8b":
            raise VolumeError("is not gzip data, though its name or header says so")
        handle.seek(payload.start)
        try:
            yield _decompressed(handle, payload.compression)
        except EOFError as error:
            raise VolumeError("is truncated: the compressed data end too early") from error
        except gzip.BadGzipFile as error:
            cause = "the checksum is wrong" if "check" in str(error) else "something that is not gzip follows the data"
            raise VolumeError(f"is damaged: {cause} ({error})") from error
        except deflate.ERRORS as error:
            raise VolumeError(f"is damaged: the compressed data cannot be unpacked ({error})") from error
        except OSError as error:
            if payload.compression != "bzip2" or error.errno is not None:
                raise
            raise VolumeError(f"is damaged: the compressed data cannot be unpacked ({error})") from error


def _decompressed(handle: BinaryIO, compression: Compression) -> BinaryIO:
    if compression == "gzip":
        return deflate.gzip_reader(handle)
    if compression == "bzip2":
        return cast(BinaryIO, bz2.BZ2File(handle))
    if compression == "zlib":
        return cast(BinaryIO, _Inflate(handle))
    return handle


def read_array(payload: Payload, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Read a Fortran-ordered array (first axis fastest) in native byte order, and the stream to its end.

    Args:
        payload: where the voxels are.
        dtype: stored number type, with its byte order.
        shape: size of every axis, fastest first.

    Returns:
        The array, and how many bytes followed it.

    Raises:
        VolumeError: fewer bytes than `shape` needs, a wrong checksum, or a stream that cannot be unpacked.
    """
    check_shape(shape)
    needed = int(np.prod([int(size) for size in shape], dtype=object)) * dtype.itemsize
    available = max(payload.path.stat().st_size - payload.start, 0)
    if needed + payload.skip > available * _BEST_RATIO[payload.compression]:
        raise VolumeError(_too_short(shape, dtype, needed, max(available - payload.skip, 0), payload.compression))
    flat = np.empty(needed // dtype.itemsize, dtype=dtype)
    with open_stream(payload) as stream:
        _advance(stream, payload.skip)
        found = _fill(stream, memoryview(cast(bytearray, flat.view(np.uint8))))
        if found < needed:
            raise VolumeError(_too_short(shape, dtype, needed, found, "none"))
        surplus = _drain(stream)
    return to_native(flat).reshape(shape, order="F"), surplus


def _too_short(shape: tuple[int, ...], dtype: np.dtype, needed: int, found: int, compression: str) -> str:
    what = f"{' x '.join(map(str, shape))} {dtype.name} voxels"
    have = f"{found} are there" if compression == "none" else f"its {found} compressed bytes cannot hold them"
    return f"is truncated: the header promises {what} ({needed} bytes), {have}"


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuse sizes that are not positive.

    Raises:
        VolumeError: always names the shape.
    """
    if not shape or any(size < 1 for size in shape):
        raise VolumeError(f"the header gives the size {' x '.join(map(str, shape)) or 'of no axis'}, which cannot be")


def to_native(array: np.ndarray) -> np.ndarray:
    """Return `array` in native byte order; swaps in place, so the argument must not be used afterwards."""
    if array.dtype.isnative:
        return array
    return array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))


def _advance(stream: BinaryIO, count: int) -> None:
    while count > 0:
        chunk = stream.read(min(count, _CHUNK))
        if not chunk:
            raise VolumeError("is truncated: the file ends before the voxels begin")
        count -= len(chunk)


def _fill(stream: BinaryIO, target: memoryview) -> int:
    position = 0
    while position < len(target):
        count = stream.readinto(target[position : position + _CHUNK])  # type: ignore[attr-defined]
        if not count:
            break
        position += count
    return position


def _drain(stream: BinaryIO) -> int:
    surplus = 0
    while chunk := stream.read(_CHUNK):
        surplus += len(chunk)
    return surplus


def write_array(stream: BinaryIO, array: np.ndarray) -> None:
    """Write `array` first axis fastest, little endian, one slab of the last axis at a time."""
    little = array.dtype.newbyteorder("<")
    for index in range(array.shape[-1]):
        stream.write(np.ascontiguousarray(array[..., index].T, dtype=little).data)


@contextlib.contextmanager
def gzip_writer(handle: BinaryIO) -> Iterator[BinaryIO]:
    """Compress into `handle`; the same content gives the same bytes (no name, no time)."""
    with deflate.gzip_writer(handle) as stream:
        yield stream
