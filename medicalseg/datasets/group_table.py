"""A table that tells the patient of each case."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from medicalseg.datasets.splits import GroupOf
from medicalseg.errors import ConfigError, DataError

GROUP_COLUMNS = ("id", "patient")


def read_group_table(path: Path, columns: Sequence[str] = GROUP_COLUMNS) -> GroupOf:
    """The patient of a case by its name.

    Args:
        path: a CSV file with a header.
        columns: its columns with case and patient.

    Raises:
        ConfigError: if `columns` are not two names.
        DataError: if the file is wrong; when called, if a case is not in it.
    """
    if isinstance(columns, str) or len(columns) != len(GROUP_COLUMNS):
        raise ConfigError(
            f"group_columns: expected names of two columns such as {list(GROUP_COLUMNS)}, got {columns!r}"
        )
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            rows = [] if missing else [[(row[name] or "").strip() for name in columns] for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from error
    if missing:
        raise DataError(f"{path}: has no column {missing}; its columns are {list(reader.fieldnames or ())}")
    groups = {row[0]: row[1] for row in rows}

    def group_of(case: str) -> str:
        if not groups.get(case):
            raise DataError(f"{path}: tells no {columns[1]} of case {case}")
        return groups[case]

    return group_of
