"""Polygons of YOLO label files, and the pixels inside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medicalseg.errors import DataError

CORNERS = 3


def read_yolo(path: Path) -> list[tuple[int, np.ndarray]]:
    """The objects of a label file: one a line, `class x1 y1 x2 y2 ...`, in parts of width and height.

    Returns:
        Class number and corners (n, 2) for each; an empty file has none.

    Raises:
        DataError: a line is no polygon; names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    return [_object(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]


def _object(line: str, where: str) -> tuple[int, np.ndarray]:
    words = line.split()
    try:
        label, numbers = int(words[0]), np.array([float(word) for word in words[1:]])
    except ValueError as error:
        raise DataError(f"{where}: expected a class number and coordinates: {error}") from error
    if len(numbers) == 4:
        raise DataError(f"{where}: a box (class, centre, width, height); polygons are needed")
    if len(numbers) < 2 * CORNERS or len(numbers) % 2:
        raise DataError(f"{where}: {len(numbers)} coordinates; a polygon has pairs x y, at least {CORNERS}")
    if not np.isfinite(numbers).all() or numbers.min() < -1 or numbers.max() > 2:
        raise DataError(f"{where}: coordinates are parts of the width and height, from 0 to 1")
    return label, numbers.reshape(-1, 2)


def paint(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixels whose centre lies inside a polygon, by the even-odd rule.

    Args:
        corners: (n, 2), x and y in parts of width and height.
        size: (columns, rows).

    Returns:
        uint8 (rows, columns) of 0 and 1.
    """
    columns, rows = size
    x, y = corners[:, 0] * columns - 0.5, corners[:, 1] * rows - 0.5
    crossings = np.zeros((rows, columns + 1), np.int32)
    for x0, y0, x1, y1 in zip(x, y, np.roll(x, -1), np.roll(y, -1), strict=True):
        if y0 == y1:
            continue
        low, high = (y0, y1) if y0 < y1 else (y1, y0)
        lines = np.arange(max(0, int(np.ceil(low))), min(rows, int(np.ceil(high))))
        at = x0 + (lines - y0) * ((x1 - x0) / (y1 - y0))
        crossings[lines, np.clip(np.ceil(at), 0, columns).astype(int)] += 1
    return (np.cumsum(crossings[:, :columns], axis=1) % 2).astype(np.uint8)
