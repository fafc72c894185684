"""Downloaded weights: where they lie, what was recorded of them, and whether they are still the same.

Beside a file `F` lies `F.sha256.json` with its size and SHA-256 of the first download, written once the file has been
read as weights. Every use compares both; so does a later download, so a file that was replaced, here or at its
publisher, is told before anything is read from it. What was unpacked from an archive is recorded and compared too.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import zipfile
from pathlib import Path

from medicalseg.errors import CheckpointError, DataError, RunError
from medicalseg.utils import weights_table
from medicalseg.utils.checkpoint import load_state
from medicalseg.utils.download import ChecksumError, download, shown_url
from medicalseg.utils.file_lock import locked
from medicalseg.utils.files import file_hash
from medicalseg.utils.logger import logger
from medicalseg.utils.weights_archive import ARCHIVES, folder_of, unpacked_into
from medicalseg.utils.weights_record import Record, difference, record_of, record_path, remember

PICKLE = b"\x80"


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


def fetch(url: str, *, checksum: str | None = None, source: str | None = None, refresh: bool = False) -> Path:
    """The file of an address: the one that is here, if it is still what was fetched, else a download.

    Args:
        url: http or https; says where the file is kept.
        checksum: "sha256:HEX" or "md5:HEX"; stands above the record.
        source: address that it is really fetched from, such as a mirror's.
        refresh: fetch it anew and forget what was recorded.

    Raises:
        CheckpointError: the file here is not what was recorded, or what came cannot be read as weights.
        DataError: the server refuses, or its file is not what was recorded or asked for.
        RunError: the server cannot be reached, or the disk is full.
    """
    target = place_of(url)
    with locked(target):
        record = None if refresh else record_of(target)
        here = target.is_file() and not refresh and checksum is None
        if here and record is not None:
            _verify(url, target, record)
            return target
        if here:
            _check_put_here(url, target)
        else:
            _fetch(url, source or url, target, checksum, record, refresh)
        remember(shown_url(url), target, record)
    return target


def _fetch(url: str, source: str, target: Path, checksum: str | None, record: Record | None, refresh: bool) -> None:
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
            f"{error}: it is not the file that was fetched on {record.date}. If its publisher has replaced it, "
            f"{_acceptance(url, target)}"
        ) from error
    except RunError as error:
        raise RunError(f"{error}. Without network: fetch it elsewhere and put it at {target}") from error
    if record is None or file_hash(work) != record.sha256:
        _check_download(work, target, source)
    if refresh:
        os.replace(work, target)


def _check_download(work: Path, target: Path, source: str) -> None:
    """Delete what cannot be read as weights, so that it is never recorded."""
    _check_kind(work, source)
    try:
        _check_weights(work, target)
    except (CheckpointError, DataError) as error:
        work.unlink()
        raise CheckpointError(
            f"{error}. It came from {shown_url(source)} and was deleted; if the connection broke, the same command "
            "fetches it again"
        ) from error


def _check_put_here(url: str, target: Path) -> None:
    try:
        _check_weights(target, target)
    except (CheckpointError, DataError) as error:
        raise CheckpointError(f"{error}. To have it fetched, {_acceptance(url, target)}") from error


def _check_weights(path: Path, target: Path) -> None:
    if target.name.endswith(ARCHIVES):
        unpacked_into(path, folder_of(path, target.name))
    else:
        load_state(path)


def _check_kind(path: Path, source: str) -> None:
    """Remove what is no weights at all, such as the page of a proxy that answers for the server, before it counts."""
    if path.name.removesuffix(".new").endswith(ARCHIVES):
        right = _starts_as_archive(path)
    else:
        with open(path, "rb") as handle:
            start = handle.read(20)
        right = start.startswith(PICKLE) or ".pdparams" not in path.name
    if not right:
        path.unlink()
        raise DataError(f"{shown_url(source)}: what came is no weights; does a proxy answer in the server's place?")


def _starts_as_archive(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path) or zipfile.is_zipfile(path)
    except EOFError:
        return True


def _verify(url: str, target: Path, record: Record) -> None:
    changed = difference(target, record)
    if changed:
        raise CheckpointError(
            f"{target}: {changed} were recorded when it was fetched on {record.date}; delete the file to fetch it "
            f"again. To accept what its publisher has now, {_acceptance(url, target)}"
        )
    logger.info("%s is as it was fetched on %s", target, record.date)


def _acceptance(url: str, target: Path) -> str:
    name = next((entry.name for entry in weights_table.PUBLISHED if entry.url == url), None)
    if name is None:
        return f"delete {target} and {record_path(target)}"
    return f"run `medicalseg weights get {name} --refresh`"
