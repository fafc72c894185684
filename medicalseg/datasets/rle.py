"""Masks as run lengths: pairs "start length", counted from 1, as Kaggle's competitions write them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from medicalseg.datasets.text_files import read_columns
from medicalseg.errors import DataError

COLUMNS = ("id", "class", "segmentation")
ORDERS = ("rows", "columns")
_NOTHING = ("", "-1", "nan")
_LONGEST_FIELD = 1 << 28

Table = dict[str, dict[str, list[str]]]


def encode_rle(mask: np.ndarray, order: str = "rows") -> str:
    """Run lengths of a mask; "" where it is empty.

    Args:
        mask: (H, W), non-zero inside.
        order: "rows" counts along the rows, "columns" along the columns.

    Raises:
        DataError: if the mask is not 2D or the order is another.

    Example:
        >>> encode_rle(np.array([[0, 1, 1], [1, 0, 0]]))
        '2 3'
    """
    if np.ndim(mask) != 2:
        raise DataError(f"run lengths are of a mask (H, W), not of shape {np.shape(mask)}")
    flat = np.ravel(np.asarray(mask) != 0, order=_numpy_order(order))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    return " ".join(f"{start + 1} {end - start}" for start, end in zip(starts.tolist(), ends.tolist(), strict=True))


def decode_rle(text: str, height: int, width: int, order: str = "rows") -> np.ndarray:
    """Inverse of `encode_rle`.

    Args:
        text: pairs "start length"; "" (also "-1", "nan") is an empty mask. Runs may come in any order and overlap.
        height: rows of the mask.
        width: its columns.
        order: as for `encode_rle`.

    Returns:
        uint8 (H, W) of 0 and 1.

    Raises:
        DataError: if the text is something else, or a run lies outside the mask.

    Example:
        >>> decode_rle("2 3", 2, 3).tolist()
        [[0, 1, 1], [1, 0, 0]]
    """
    starts, lengths = _pairs(text)
    size = height * width
    outside = (starts < 1) | (lengths < 1) | (starts + lengths - 1 > size)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise DataError(
            f"run lengths: {starts[first]} {lengths[first]} does not lie within {height} rows of {width} pixels"
        )
    steps = np.zeros(size + 1, np.int32)
    np.add.at(steps, starts - 1, 1)
    np.add.at(steps, starts - 1 + lengths, -1)
    inside = np.cumsum(steps[:-1]) > 0
    return np.ascontiguousarray(inside.reshape((height, width), order=_numpy_order(order))).view(np.uint8)


def read_rle_table(path: Path, columns: Sequence[str] = COLUMNS) -> Table:
    """Run lengths by image id and class name.

    Args:
        path: a CSV file with a header; several rows of one image and class are united.
        columns: names of the columns with image id, class and run lengths.

    Raises:
        DataError: if the file cannot be read or lacks a column.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    table: Table = {}
    for line, (case, name, text) in read_columns(path, columns):
        if case is None or name is None:
            raise DataError(f"{path}:{line}: the row has too few values")
        table.setdefault(case.strip(), {}).setdefault(name.strip(), []).append((text or "").strip())
    return table


def _pairs(text: str) -> tuple[np.ndarray, np.ndarray]:
    words = text.split()
    if not words or text.strip().lower() in _NOTHING:
        words = []
    if len(words) % 2:
        raise DataError(f"run lengths: expected pairs 'start length', got {len(words)} numbers")
    try:
        numbers = np.array([int(word) for word in words], np.int64).reshape(-1, 2)
    except (ValueError, OverflowError) as error:
        raise DataError(f"run lengths: expected whole numbers, got {text[:60]!r}") from error
    return numbers[:, 0], numbers[:, 1]


def _numpy_order(order: str) -> Literal["C", "F"]:
    if order not in ORDERS:
        raise DataError(f"run lengths: order is one of {list(ORDERS)}, not {order!r}")
    return "C" if order == "rows" else "F"
