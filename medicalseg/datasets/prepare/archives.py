"""Archives with raw volumes: fetched under names of their own, compared with checksums, unpacked once."""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from medicalseg.errors import DataError, UserError
from medicalseg.utils.download import ChecksumError, download, extract_archive, file_hash, file_name, shown_url
from medicalseg.utils.files import write_json
from medicalseg.utils.logger import logger

SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".zip")
_KINDS = {32: "md5", 40: "sha1", 64: "sha256"}


def fetch_all(urls: Sequence[str], checksums: Sequence[str | None], folder: Path) -> list[Path]:
    """Download archives into a folder; those that are there from the same addresses stay.

    Args:
        urls: addresses.
        checksums: one for each, or None.
        folder: where they go.

    Raises:
        UserError: two of them would have the same name.
        DataError: a file of that name was fetched from another address.
    """
    names = [archive_name(url) for url in urls]
    _check_stems(names, [f"--url {shown_url(url)}" for url in urls], "fetch them and pass them with --archive")
    return [_fetch(url, folder / name, sum_) for url, name, sum_ in zip(urls, names, checksums, strict=True)]


def check_all(archives: Sequence[Path], checksums: Sequence[str | None]) -> None:
    """Refuse archives that would be unpacked to the same folder or are not what their checksums say.

    Raises:
        UserError: two of them have the same name, or a checksum is malformed.
        ChecksumError: a checksum differs.
    """
    names = [archive.name for archive in archives]
    _check_stems(names, [f"--archive {archive}" for archive in archives], "rename one of them")
    for archive, checksum in zip(archives, checksums, strict=True):
        if checksum is not None:
            _compare(archive, checksum)


def archive_name(url: str) -> str:
    """Last part of an address's path that has an archive's suffix, else its last part.

    Raises:
        UserError: that is no file name.

    Example:
        >>> archive_name("https://example.org/files/im.zip/content")
        'im.zip'
    """
    parts = urllib.parse.urlsplit(url)
    steps = parts.path.split("/")
    for end in range(len(steps), 0, -1):
        if urllib.parse.unquote(steps[end - 1]).lower().endswith(SUFFIXES):
            return file_name(parts._replace(path="/".join(steps[:end])).geturl())
    return file_name(url)


def file_stem(name: str) -> str:
    """Name of an archive without its suffixes."""
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), Path(name).suffix)
    return name[: len(name) - len(suffix)]


def extract_once(archive: Path, target: Path) -> Path:
    """Unpack `archive` into the folder `target`, unless that was done before.

    Raises:
        DataError: the folder is there, but from an archive of another size or time of change.
    """
    record = target.with_name(f".{target.name}.archive.json")
    stat = archive.stat()
    source = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    if not target.is_dir():
        logger.info("unpacking %s into %s", archive, target)
        write_json(record, source)
        return extract_archive(archive, target)
    if _recorded(record) not in (None, source):
        raise DataError(
            f"{target} was unpacked from another {archive.name} than {archive} is now; delete that folder to unpack it "
            "again, or pass the folder with --raw_dir"
        )
    logger.info("%s is unpacked already: %s", archive.name, target)
    return target


def _check_stems(names: Iterable[str], shown: Iterable[str], remedy: str) -> None:
    seen: dict[str, str] = {}
    for name, where in zip(names, shown, strict=True):
        stem = file_stem(name).lower()
        if stem in seen:
            raise UserError(f"{seen[stem]} and {where}: both would be unpacked to the folder '{stem}'; {remedy}")
        seen[stem] = where


def _fetch(url: str, target: Path, checksum: str | None) -> Path:
    record = target.with_name(f"{target.name}.url.json")
    source = {"url": shown_url(url), "sha256": hashlib.sha256(url.encode()).hexdigest()}
    trusted = checksum is None and target.is_file()
    known = _recorded(record)
    if trusted and known not in (None, source):
        raise DataError(
            f"{target} was fetched from another address, {known['url']}; delete it to fetch --url {source['url']}, "
            "or pass it with --archive"
        )
    if not trusted:
        write_json(record, source)
    return download(url, target, checksum=checksum)


def _compare(archive: Path, checksum: str) -> None:
    digest = checksum.strip().lower().rpartition(":")[2]
    kind = _KINDS.get(len(digest))
    if kind is None:
        raise UserError(f"--checksum {checksum}: expected sha256:HEX (64 digits) or md5:HEX (32 digits)")
    found = file_hash(archive, kind)
    if found != digest:
        raise ChecksumError(f"--archive {archive}: its {kind} is {found}, --checksum says {digest}; fetch it again")


def _recorded(path: Path) -> Any:
    """What a record says; None if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
