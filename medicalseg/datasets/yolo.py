"""Polygons in the text files of YOLO: one object a line, "class x y x y ...", from 0 to 1 of width and height."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.path import Path as Outline

from medicalseg.datasets.text_files import read_lines
from medicalseg.errors import DataError

_BOX_NUMBERS = 5
_LEAST_NUMBERS = 7
_OUTSIDE = 0.05


@dataclass(frozen=True)
class Polygon:
    """One object.

    Attributes:
        category: its class in the file, from 0.
        points: (n, 2), x and y as parts of width and height.
    """

    category: int
    points: np.ndarray


def read_polygons(path: Path) -> list[Polygon]:
    """The objects of a file, in its order; none of an empty file.

    Raises:
        DataError: if a line is no polygon (boxes have four numbers); names file and line.
    """
    lines = enumerate(read_lines(path), start=1)
    return [_polygon(line, f"{path}:{number}") for number, line in lines if line.strip()]


def fill(polygon: Polygon, width: int, height: int) -> np.ndarray:
    """The pixels whose centre lies inside.

    Args:
        polygon: pixel (i, j) covers i to i + 1 and j to j + 1 of its coordinates times width and height.
        width: columns of the picture.
        height: its rows.

    Returns:
        bool (W, H). Where a polygon crosses itself, what is enclosed twice is outside.
    """
    points = polygon.points * (width, height)
    mask = np.zeros((width, height), bool)
    low = np.clip(np.floor(points.min(0) - 0.5).astype(int), 0, (width, height))
    high = np.clip(np.ceil(points.max(0) + 0.5).astype(int), 0, (width, height))
    if (high <= low).any():
        return mask
    columns, rows = (np.arange(start, stop) + 0.5 for start, stop in zip(low, high, strict=True))
    centres = np.stack(np.meshgrid(columns, rows, indexing="ij"), axis=-1).reshape(-1, 2)
    outline = Outline(np.vstack([points, points[:1]]), closed=True)
    mask[low[0] : high[0], low[1] : high[1]] = outline.contains_points(centres).reshape(len(columns), len(rows))
    return mask


def _polygon(line: str, where: str) -> Polygon:
    words = line.split()
    if len(words) == _BOX_NUMBERS:
        raise DataError(f"{where}: is a box (class and four numbers); a mask needs polygons of at least three points")
    if len(words) < _LEAST_NUMBERS or len(words) % 2 == 0:
        raise DataError(f"{where}: expected 'class x y x y x y ...', got {len(words)} values")
    try:
        category, numbers = float(words[0]), [float(word) for word in words[1:]]
    except ValueError as error:
        raise DataError(f"{where}: holds something that is no number: {error}") from error
    if not category.is_integer() or category < 0:
        raise DataError(f"{where}: the class is a whole number from 0 on, got {words[0]!r}")
    wrong = [value for value in numbers if not (math.isfinite(value) and -_OUTSIDE <= value <= 1 + _OUTSIDE)]
    if wrong:
        raise DataError(f"{where}: coordinates are parts of width and height, from 0 to 1, got {wrong[0]:g}")
    return Polygon(int(category), np.array(numbers).reshape(-1, 2))
