"""Lines and tables of text files, with errors that name the file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from medicalseg.errors import DataError


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def read_columns(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str | None]]]:
    """Line number and values of some columns of a CSV file, row by row; None where a row is too short.

    Args:
        path: a CSV file with a header.
        columns: names in the header.

    Raises:
        DataError: if the file cannot be read or lacks a column.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            rows = csv.DictReader(handle)
            missing = [name for name in columns if name not in (rows.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: has no column {missing}; its columns are {list(rows.fieldnames or ())}")
            for row in rows:
                yield rows.line_num, [row[name] for name in columns]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from error
