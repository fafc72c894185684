"""Preprocessed arrays kept between epochs, runs and data workers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import threading
import time
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medicalseg.errors import ConfigError
from medicalseg.utils.files import atomic_path
from medicalseg.utils.logger import logger

VERSION = 1
GIGABYTE = 1 << 30
Arrays = dict[str, np.ndarray]


def default_folder() -> Path:
    """`MEDICALSEG_CACHE`, else `medicalseg` in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`)."""
    if folder := os.environ.get("MEDICALSEG_CACHE"):
        return Path(folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "medicalseg"


def cache_key(files: Iterable[Path], settings: Any) -> str:
    """Hash of the files' paths, sizes and times and of the settings."""
    states = []
    for path in files:
        state = path.stat()
        states.append([str(path.resolve()), state.st_size, state.st_mtime_ns])
    text = json.dumps([VERSION, states, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class NoCache:
    """Keeps nothing."""

    def get(self, key: str) -> Arrays | None:
        """Always None."""
        return None

    def put(self, key: str, arrays: Arrays) -> None:
        """Does nothing."""


class MemoryCache:
    """Keeps arrays in this process, the least recently used leaving first; a copy in another process starts empty.

    Threads may share it.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[str, Arrays] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limit,)

    def get(self, key: str) -> Arrays | None:
        """Copies of the arrays kept under `key`, or None."""
        with self._lock:
            kept = self._entries.get(key)
            if kept is None:
                return None
            self._entries.move_to_end(key)
        return {name: array.copy() for name, array in kept.items()}

    def put(self, key: str, arrays: Arrays) -> None:
        """Keep `arrays`."""
        kept = {name: array.copy() for name, array in arrays.items()}
        with self._lock:
            self._entries[key] = kept
            while self._entries and sum(map(_size, self._entries.values())) > self.limit:
                self._entries.popitem(last=False)


class DiskCache:
    """Keeps arrays in files that all processes share; written whole or not at all, least recently used leaving first.

    A full or read-only disk is told once and then ignored: the run goes on without the cache. What was read once is
    mapped from then on, so that a slice costs little; what is written to an array stays in this process.

    Args:
        folder: made when needed.
        limit: bytes.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._usable = True
        self._checked: set[str] = set()

    def get(self, key: str) -> Arrays | None:
        """The arrays kept under `key`, or None; a damaged file counts as absent."""
        path = self._path(key)
        try:
            if key in self._checked:
                arrays = _mapped(path)
            else:
                with np.load(path, allow_pickle=False) as content:
                    arrays = {name: content[name] for name in content.files}
                self._checked.add(key)
            os.utime(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return arrays

    def put(self, key: str, arrays: Arrays) -> None:
        """Keep `arrays`, after making room."""
        if not self._usable or _size(arrays) > self.limit:
            return
        try:
            self._make_room(_size(arrays))
            with atomic_path(self._path(key)) as path:
                np.savez(path, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            self._usable = False
            logger.warning("%s: preprocessed arrays cannot be kept (%s); continuing without", self.folder, error)

    def _path(self, key: str) -> Path:
        return self.folder / "arrays" / f"{key}.npz"

    def _make_room(self, wanted: int) -> None:
        entries = []
        for path in (self.folder / "arrays").glob("*.npz"):
            with contextlib.suppress(OSError):
                state = path.stat()
                entries.append((state.st_mtime, state.st_size, path))
        used = sum(size for _, size, _ in entries)
        for used_at, size, path in sorted(entries):
            if used + wanted <= self.limit:
                break
            if not path.name.startswith(".tmp-") or time.time() - used_at > 3600:
                path.unlink(missing_ok=True)
                used -= size


def make_cache(kind: str, folder: Path | None = None, gigabytes: float = 20) -> NoCache | MemoryCache | DiskCache:
    """A cache by name: "disk", "ram" or "none".

    Raises:
        ConfigError: if the name or the size is wrong.
    """
    if isinstance(gigabytes, bool) or not isinstance(gigabytes, (int, float)) or gigabytes <= 0:
        raise ConfigError(f"cache_gb: expected a positive number of gigabytes, got {gigabytes!r}")
    limit = int(gigabytes * GIGABYTE)
    if kind == "disk":
        return DiskCache(folder or default_folder(), limit)
    if kind == "ram":
        return MemoryCache(limit)
    if kind == "none":
        return NoCache()
    raise ConfigError(f"cache: expected 'disk', 'ram' or 'none', got {kind!r}")


def _mapped(path: Path) -> Arrays:
    """The arrays of an uncompressed .npz file, mapped.

    Raises:
        ValueError: if they are compressed or no arrays.
        OSError: if the file cannot be read.
    """
    arrays = {}
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{path}: {entry.filename} is compressed")
            file.seek(entry.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4))
            file.seek(name + extra, os.SEEK_CUR)
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError(f"{path}: {entry.filename} has another version of the format")
            shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
            order: Literal["F", "C"] = "F" if fortran else "C"
            array = np.memmap(path, kind, "c", file.tell(), shape, order)
            arrays[entry.filename.removesuffix(".npy")] = np.asarray(array)
    return arrays


def _size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())
