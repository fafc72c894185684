"""Errors that end a command with one line instead of a traceback.

Two families: `UserError` (the input is wrong, exit code 2) and `RunError` (the run failed, exit code 1).
The command line prints the message as it is, so a message names the file, the key or the value and says what to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


class MedicalSegError(Exception):
    """Base of all errors raised on purpose by this package."""

    exit_code = 1


class RunError(MedicalSegError):
    """The input was right, but the run could not be finished (full disk, NaN loss, dead worker)."""

    exit_code = 1


class UserError(MedicalSegError):
    """Something the user gave is wrong: a flag, a path, a file, a value."""

    exit_code = 2


class ConfigError(UserError):
    """A YAML configuration or an override of it is wrong."""


class VolumeError(UserError):
    """A volume cannot be read, written, or lacks the geometry that an operation needs."""


class DataError(UserError):
    """A dataset is missing, incomplete or inconsistent."""


class CheckpointError(UserError):
    """A checkpoint is missing, unsafe to load, or does not fit the model."""


class MissingDependencyError(UserError):
    """An optional package is needed; the message names the extra that installs it."""


@contextlib.contextmanager
def naming_file(path: Path | None) -> Iterator[None]:
    """A `DataError` inside the block names the file, unless it does already."""
    try:
        yield
    except DataError as error:
        if path is None or str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error
