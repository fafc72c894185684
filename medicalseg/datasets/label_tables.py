"""Names of label values from the tables that lie beside labels: BIDS' dseg.tsv, and JSON."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from medicalseg.datasets.labels import names_by_id
from medicalseg.errors import DataError
from medicalseg.utils.files import read_json

BACKGROUND = "background"


def read_label_table(path: Path) -> dict[int, str]:
    """Names by value, the background's 0 included.

    Args:
        path: BIDS' table with the columns `index` and `name`, or a JSON file that maps names to values or values to
            names, maybe under "labels".

    Raises:
        DataError: if it is neither; names the file.
    """
    names = _from_tsv(path) if path.suffix.lower() == ".tsv" else _from_json(path)
    return dict(sorted(({0: BACKGROUND} | names).items()))


def first_label_table(paths: Iterable[Path]) -> dict[int, str]:
    """Names of the first table that exists; empty if there is none."""
    return next((read_label_table(path) for path in paths if path.is_file()), {})


def _from_tsv(path: Path) -> dict[int, str]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        pairs = [(int(row["index"]), row["name"].strip()) for row in rows]
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: expected a table with the columns 'index' (whole numbers) and 'name'") from error
    return names_by_id(dict(pairs), str(path)) if len(dict(pairs)) == len(pairs) else _twice(path)


def _twice(path: Path) -> dict[int, str]:
    raise DataError(f"{path}: an index occurs twice")


def _from_json(path: Path) -> dict[int, str]:
    content = read_json(path)
    inner = content.get("labels", content) if isinstance(content, dict) else content
    return names_by_id(inner, str(path))
