"""One process at a time at a file, so that ranks which start together fetch it once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from medicalseg.utils.logger import logger


@contextlib.contextmanager
def locked(target: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock of `target` (the empty file `target.lock` beside it), waiting for a process that has it.

    Where no lock can be had (a read-only folder, a system without `fcntl`), nothing is locked.
    """
    try:
        import fcntl

        path = Path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path.with_name(path.name + ".lock"), "w")  # noqa: SIM115 - closed below
    except (ImportError, OSError):
        yield
        return
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("waiting for another process that fetches %s", path)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            logger.debug("%s cannot be locked", path)
        yield
