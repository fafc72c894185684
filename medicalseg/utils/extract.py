"""Unpack archives that nobody vouches for: nothing outside the target, no links, no devices, no bombs."""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from medicalseg.errors import DataError, RunError

MAX_BYTES = 100 << 30
MAX_FILES = 200_000
_CHUNK = 1 << 20
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError,
)  # fmt: skip


def extract_archive(
    archive: str | os.PathLike[str],
    target: str | os.PathLike[str],
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
) -> Path:
    """Unpack a zip or tar file (plain, gz, bz2, xz) into a new folder, whole or not at all.

    Args:
        archive: the file.
        target: folder to make; must not exist.
        max_bytes: bound of the unpacked size.
        max_files: bound of the number of members.

    Returns:
        `target`.

    Raises:
        DataError: the archive is corrupt, encrypted, too large, or holds a path outside the target, a link or a device.
        RunError: the disk is full.
    """
    archive, target = Path(archive), Path(target)
    if target.exists():
        raise DataError(f"{target} exists; remove it to unpack {archive.name} again")
    if not archive.is_file():
        raise DataError(f"{archive}: no such file")
    work = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        _unpack(archive, work, _Budget(archive, max_bytes, max_files))
        os.rename(work, target)
    except _BROKEN as error:
        raise DataError(f"{archive}: the archive is corrupt or incomplete ({error})") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(f"{archive}: the disk is full while unpacking into {target.parent}") from error
        raise DataError(f"{archive}: cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


@dataclass
class _Budget:
    """Counts what really comes out, whatever the archive claims."""

    archive: Path
    max_bytes: int
    max_files: int
    used: int = 0
    files: int = 0

    def file(self) -> None:
        self.files += 1
        if self.files > self.max_files:
            raise DataError(f"{self.archive}: more than {self.max_files} members; refused")

    def take(self, count: int) -> None:
        self.used += count
        if self.used > self.max_bytes:
            raise DataError(f"{self.archive}: unpacks to more than {self.max_bytes} bytes; refused")


def _unpack(archive: Path, work: Path, budget: _Budget) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as handle:
            _check_claims(archive, sum(info.file_size for info in handle.infolist()), work, budget)
            _write_all(_zip_members(archive, handle), work, budget)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as handle:
            _write_all(_tar_members(archive, handle), work, budget)
    else:
        raise DataError(f"{archive}: neither a zip nor a tar file, or cut off")


def _check_claims(archive: Path, claimed: int, work: Path, budget: _Budget) -> None:
    if claimed > budget.max_bytes:
        raise DataError(f"{archive}: unpacks to {claimed} bytes, more than {budget.max_bytes}; refused")
    free = shutil.disk_usage(work).free
    if claimed > free:
        raise RunError(f"{archive}: unpacks to {claimed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free in {work.parent}")


@dataclass
class _Member:
    name: str
    size: int
    is_folder: bool
    open: Any


def _zip_members(archive: Path, handle: zipfile.ZipFile) -> Iterator[_Member]:
    for info in handle.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{archive}: member {info.filename!r} is a link or a device; refused")
        if info.flag_bits & 1:
            raise DataError(f"{archive}: is encrypted; unpack it yourself and give the folder with --raw_dir")
        yield _Member(info.filename, info.file_size, info.is_dir(), lambda info=info: handle.open(info))


def _tar_members(archive: Path, handle: tarfile.TarFile) -> Iterator[_Member]:
    for info in handle:
        if not (info.isreg() or info.isdir()):
            raise DataError(f"{archive}: member {info.name!r} is a link or a device; refused")
        yield _Member(info.name, info.size, info.isdir(), lambda info=info: handle.extractfile(info))
    _check_end(archive, handle)


def _check_end(archive: Path, handle: tarfile.TarFile) -> None:
    """A tar ends with zeros; tarfile takes a missing or damaged header for the end as well."""
    source: Any = handle.fileobj
    source.seek(handle.offset)
    if source.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise DataError(
            f"{archive}: the archive is cut off or damaged: no end behind {len(handle.getmembers())} members; "
            "fetch or copy it again"
        )


def _write_all(members: Iterator[_Member], work: Path, budget: _Budget) -> None:
    for member in members:
        budget.file()
        path = work / _safe_path(budget.archive, member.name)
        if member.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, open(path, "xb") as sink:
            _copy(source, sink, member, budget)


def _copy(source: IO[bytes], sink: IO[bytes], member: _Member, budget: _Budget) -> None:
    copied = 0
    while chunk := source.read(_CHUNK):
        budget.take(len(chunk))
        sink.write(chunk)
        copied += len(chunk)
    if copied != member.size:
        raise DataError(f"{budget.archive}: member {member.name!r} is cut off ({copied} of {member.size} bytes)")


def _safe_path(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name.split("/")[0]
    if outside:
        raise DataError(f"{archive}: member {name!r} points outside the target; refused")
    return path
