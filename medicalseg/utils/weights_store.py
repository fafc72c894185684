"""Downloaded weights: where they lie, what was recorded of them, and whether they are still the same.

Beside a file `F` lies `F.sha256.json` with its size and SHA-256 of the first download. Every use compares both; so does
a later download, so a file that was replaced, here or at its publisher, is told before anything is read from it.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import tarfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from medicalseg.errors import CheckpointError, DataError, RunError
from medicalseg.utils.download import ChecksumError, download, file_hash, shown_url
from medicalseg.utils.extract import extract_archive
from medicalseg.utils.file_lock import locked
from medicalseg.utils.files import read_json_object, write_json
from medicalseg.utils.logger import logger

ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
PICKLE = b"\x80"


@dataclass(frozen=True)
class Record:
    """What is remembered of a download: address, bytes, hexadecimal SHA-256, day."""

    url: str
    size: int
    sha256: str
    date: str


def home() -> Path:
    """Folder of all downloaded weights: `$SEG_HOME/pretrained_model`, by default below `~/.paddleseg`."""
    return Path(os.environ.get("SEG_HOME", Path.home() / ".paddleseg")) / "pretrained_model"


def place_of(url: str) -> Path:
    """Where the file of an address lies once it was fetched: host and path of the address below `home()`."""
    address, _, query = url.split("://", 1)[1].partition("?")
    parts = [part for part in address.split("/") if part not in ("", ".", "..")]
    if query:
        parts.insert(-1, hashlib.sha256(query.encode()).hexdigest()[:12])
    return home() / "/".join(parts)


def record_of(target: Path) -> Record | None:
    """What was recorded of a downloaded file; None if nothing was.

    Raises:
        CheckpointError: the record is damaged.
    """
    path = _record_path(target)
    if not path.is_file():
        return None
    content = read_json_object(path, CheckpointError)
    try:
        return Record(str(content["url"]), int(content["size"]), str(content["sha256"]), str(content["date"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a record of a download ({error}); delete it to record anew") from error


def fetch(url: str, *, checksum: str | None = None, source: str | None = None, refresh: bool = False) -> Path:
    """The file of an address: the one that is here, if it is still what was fetched, else a download.

    Args:
        url: http or https; says where the file is kept.
        checksum: "sha256:HEX" or "md5:HEX"; stands above the record.
        source: address that it is really fetched from, such as a mirror's.
        refresh: fetch it anew and forget what was recorded.

    Raises:
        CheckpointError: the file here is not what was recorded.
        DataError: the server refuses, or its file is not what was recorded or asked for.
        RunError: the server cannot be reached, or the disk is full.
    """
    target = place_of(url)
    with locked(target):
        record = None if refresh else record_of(target)
        if target.is_file() and not refresh and checksum is None:
            _verify(target, record)
        else:
            _fetch(source or url, target, checksum, record, refresh)
        if record is None or checksum is not None:
            _remember(url, target, record)
    return target


def unpacked(path: Path) -> Path:
    """The `.pdparams` file itself, or the only one in an archive, which is unpacked beside it once.

    Raises:
        CheckpointError: the archive holds none or several.
        DataError: the archive cannot be unpacked.
    """
    if not path.name.endswith(ARCHIVES):
        return path
    return unpacked_into(path, path.with_name(f"{path.name}-{file_hash(path, 'md5')[:12]}"))


def unpacked_into(archive: Path, folder: Path) -> Path:
    """As `unpacked`, into `folder`."""
    with locked(folder):
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            extract_archive(archive, folder)
    found = sorted(folder.rglob("*.pdparams"))
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found) or "none"
        raise CheckpointError(f"{archive} should hold one .pdparams, it has {names}; unpack it and name the file")
    return found[0]


def _fetch(source: str, target: Path, checksum: str | None, record: Record | None, refresh: bool) -> None:
    wanted = checksum or (f"sha256:{record.sha256}" if record else None)
    work = target.with_name(f"{target.name}.new") if refresh else target
    if refresh:
        work.unlink(missing_ok=True)
    try:
        download(source, work, checksum=wanted)
    except ChecksumError as error:
        if checksum is not None or record is None:
            raise
        raise DataError(
            f"{error}: it is not the file that was fetched on {record.date}. If its publisher has replaced it, fetch "
            f"it with `medicalseg weights get --refresh`, or delete {_record_path(target)}"
        ) from error
    except RunError as error:
        raise RunError(f"{error}. Without network: fetch it elsewhere and put it at {target}") from error
    _check_kind(work, source)
    if refresh:
        os.replace(work, target)


def _check_kind(path: Path, source: str) -> None:
    """Remove what is no weights at all, such as the page of a proxy that answers for the server, before it counts."""
    if path.name.removesuffix(".new").endswith(ARCHIVES):
        right = tarfile.is_tarfile(path) or zipfile.is_zipfile(path)
    else:
        with open(path, "rb") as handle:
            start = handle.read(20)
        right = start.startswith(PICKLE) or ".pdparams" not in path.name
    if not right:
        path.unlink()
        raise DataError(f"{shown_url(source)}: what came is no weights; does a proxy answer in the server's place?")


def _verify(target: Path, record: Record | None) -> None:
    if record is None:
        return
    size = target.stat().st_size
    found = f"{size} bytes" if size != record.size else f"sha256 {file_hash(target)}"
    expected = f"{record.size} bytes" if size != record.size else f"sha256 {record.sha256}"
    if found != expected:
        raise CheckpointError(
            f"{target}: {found}, but {expected} were recorded when it was fetched on {record.date}; "
            "delete the file to fetch it again"
        )
    logger.info("%s is as it was fetched on %s", target, record.date)


def _remember(url: str, target: Path, before: Record | None) -> None:
    today = datetime.date.today().isoformat()
    record = Record(shown_url(url), target.stat().st_size, file_hash(target), today)
    if before is not None and (before.size, before.sha256) == (record.size, record.sha256):
        return
    try:
        write_json(_record_path(target), asdict(record))
    except OSError as error:
        logger.warning("%s: size and SHA-256 cannot be recorded: %s", target, error.strerror or error)
        return
    logger.info("recorded: %d bytes, sha256 %s", record.size, record.sha256)


def _record_path(target: Path) -> Path:
    return target.with_name(target.name + ".sha256.json")
