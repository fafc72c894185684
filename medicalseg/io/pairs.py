"""Volumes in two files, a header and its voxels: found by the header's name, replaced together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from medicalseg.errors import VolumeError
from medicalseg.utils.files import atomic_path


def detached(path: Path, stem: str, kind: str, packed: str = "") -> Path:
    """Return the other half of a pair: `stem` + `kind` + `packed` in the folder of `path`, in lower or upper case.

    Raises:
        VolumeError: neither exists.
    """
    for suffix in (kind + packed, (kind + packed).upper()):
        candidate = path.with_name(stem + suffix)
        if candidate.is_file():
            return candidate
    raise VolumeError(f"is half of a pair, and the other half, {stem}{kind}{packed}, is missing")


def named_in_header(header: Path, name: str) -> Path:
    """Return the file that a header names, relative to the header's folder.

    Raises:
        VolumeError: it does not exist.
    """
    path = header.parent / name
    if not name or "\0" in name or not path.is_file():
        raise VolumeError(f"is a header whose voxel file {name!r} is missing")
    return path


@contextlib.contextmanager
def atomic_pair(header: Path, data: Path) -> Iterator[tuple[Path, Path]]:
    """Yield temporary paths for both files; on leaving, put them in place so that no reader sees two that do not match.

    An existing header goes first and the new one comes last: interrupted at any moment, there is either the old volume,
    the new one, or no header.
    """
    with atomic_path(header) as header_temporary, atomic_path(data) as data_temporary:
        yield header_temporary, data_temporary
        with open(header_temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        header.unlink(missing_ok=True)
