"""A table that tells the patient of each case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medicalseg.datasets.splits import GroupOf
from medicalseg.datasets.text_files import read_columns
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
    groups = {(case or "").strip(): (patient or "").strip() for _, (case, patient) in read_columns(path, columns)}

    def group_of(case: str) -> str:
        if not groups.get(case):
            raise DataError(f"{path}: tells no {columns[1]} of case {case}")
        return groups[case]

    return group_of
