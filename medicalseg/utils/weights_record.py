"""What was recorded of a downloaded or unpacked file: its size and SHA-256, in `F.sha256.json` beside the file `F`."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from pathlib import Path

from medicalseg.errors import CheckpointError
from medicalseg.utils.files import file_hash, read_json_object, write_json
from medicalseg.utils.logger import logger


@dataclass(frozen=True)
class Record:
    """What is remembered of a file: address or archive that it came from, bytes, hexadecimal SHA-256, day."""

    url: str
    size: int
    sha256: str
    date: str


def record_of(target: Path) -> Record | None:
    """What was recorded of a downloaded file; None if nothing was.

    Raises:
        CheckpointError: the record is damaged.
    """
    path = record_path(target)
    if not path.is_file():
        return None
    content = read_json_object(path, CheckpointError)
    try:
        return Record(str(content["url"]), int(content["size"]), str(content["sha256"]), str(content["date"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a record of a download ({error}); delete it to record anew") from error


def difference(path: Path, record: Record) -> str:
    """`FOUND, but RECORDED` of a file that is not what was recorded, else nothing."""
    size = path.stat().st_size
    if size != record.size:
        return f"{size} bytes, but {record.size} bytes"
    found = file_hash(path)
    return "" if found == record.sha256 else f"sha256 {found}, but sha256 {record.sha256}"


def remember(origin: str, target: Path, before: Record | None = None) -> None:
    """Record a file, unless `before` says the same of it; `origin` is its address or archive."""
    today = datetime.date.today().isoformat()
    record = Record(origin, target.stat().st_size, file_hash(target), today)
    if before is not None and (before.size, before.sha256) == (record.size, record.sha256):
        return
    try:
        write_json(record_path(target), asdict(record))
    except OSError as error:
        logger.warning("%s: size and SHA-256 cannot be recorded: %s", target, error.strerror or error)
        return
    logger.info("recorded: %d bytes, sha256 %s", record.size, record.sha256)


def record_path(target: Path) -> Path:
    """Where the record of a file lies."""
    return target.with_name(target.name + ".sha256.json")
