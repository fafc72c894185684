"""Archives that hold weights: unpacked once, and again if what was unpacked is no longer the same."""

from __future__ import annotations

import shutil
from pathlib import Path

from medicalseg.errors import CheckpointError
from medicalseg.utils.checkpoint import load_state
from medicalseg.utils.extract import extract_archive
from medicalseg.utils.file_lock import locked
from medicalseg.utils.files import file_hash
from medicalseg.utils.logger import logger
from medicalseg.utils.weights_record import difference, record_of, remember

ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")


def unpacked(path: Path) -> Path:
    """The `.pdparams` file itself, or the only one in an archive, which is unpacked beside it once.

    Raises:
        CheckpointError: the archive holds none or several, or what it holds cannot be read as weights.
        DataError: the archive cannot be unpacked.
    """
    if not path.name.endswith(ARCHIVES):
        return path
    return unpacked_into(path, folder_of(path, path.name))


def unpacked_into(archive: Path, folder: Path) -> Path:
    """As `unpacked`, into `folder`; what is there and is not what was unpacked once is unpacked again."""
    with locked(folder):
        if not _is_as_unpacked(folder):
            shutil.rmtree(folder, ignore_errors=True)
            extract_archive(archive, folder)
            remember(archive.name, _checked_weights(archive, folder))
    return _weights_in(folder)[0]


def folder_of(archive: Path, name: str) -> Path:
    """Where an archive is unpacked that is, or will be, called `name`."""
    return archive.with_name(f"{name}-{file_hash(archive, 'md5')[:12]}")


def _weights_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.pdparams"))


def _is_as_unpacked(folder: Path) -> bool:
    found = _weights_in(folder)
    record = record_of(found[0]) if len(found) == 1 else None
    if record is None:
        return False
    changed = difference(found[0], record)
    if changed:
        logger.warning("%s is not what was unpacked on %s: %s; unpacking it again", found[0], record.date, changed)
    return not changed


def _checked_weights(archive: Path, folder: Path) -> Path:
    """The only `.pdparams` of an unpacked archive; the folder is removed if there is no such file that can be read."""
    found = _weights_in(folder)
    try:
        if len(found) != 1:
            names = ", ".join(str(path.relative_to(folder)) for path in found) or "none"
            raise CheckpointError(f"should hold one .pdparams, it has {names}; unpack it and name the file")
        load_state(found[0])
    except CheckpointError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise CheckpointError(f"{archive}: {error}") from error
    return found[0]
