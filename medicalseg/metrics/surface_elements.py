"""The surface of a mask as elements between voxels: where they are, and the area each stands for.

An element is a corner of the voxel grid whose neighbouring voxels are not all alike. Its area is that of the marching
cubes surface within the box that joins the centres of the eight voxels around it, for voxels of any size (Lorensen and
Cline 1987; the areas are those of DeepMind's surface-distance, Nikolov et al. 2021). Counting border voxels instead
would weigh a thick-slice face and an in-plane face alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.ndimage import find_objects

Edge = tuple[int, int]
CORNERS = {axes: tuple(itertools.product((0, 1), repeat=axes)) for axes in (2, 3)}
MOST_ADDED_CORNERS = 4


def surface_elements(mask: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Places and sizes of a mask's surface elements; the edge of the image counts as surface.

    Args:
        mask: booleans, (X, Y, Z) or (X, Y).
        spacing: mm, one per axis.

    Returns:
        (N, axes) int corner indices (corner i lies between the voxels i - 1 and i), and (N,) areas in mm², in two
        dimensions lengths in mm.
    """
    box = find_objects(mask.view(np.uint8), max_label=1)[0]
    if box is None:
        return np.zeros((0, mask.ndim), np.intp), np.zeros(0)
    codes = _corner_codes(mask[box])
    areas = element_areas(tuple(float(size) for size in spacing))
    places = np.nonzero((areas > 0)[codes])
    return np.stack(places, axis=1) + [side.start for side in box], areas[codes[places]]


@lru_cache(maxsize=64)
def element_areas(spacing: tuple[float, ...]) -> np.ndarray:
    """Area (of pictures: length) of an element by code; bit i is the voxel at the i-th of the corners of a box."""
    sides = np.asarray(spacing)
    if len(spacing) == 2:
        return np.array([sum(_length(a, b, sides) for a, b in _segments(code)) for code in range(16)])
    half = [sum(_area(triangle, sides) for triangle in _triangles(code)) for code in range(128)]
    return np.array([*half, *reversed(half)])


def _corner_codes(mask: np.ndarray) -> np.ndarray:
    codes = np.pad(mask.view(np.uint8), 1)
    for axis in reversed(range(mask.ndim)):
        lower, upper = ((slice(None),) * axis + (part,) for part in (slice(-1), slice(1, None)))
        codes = codes[lower] | codes[upper] << np.uint8(1 << (mask.ndim - 1 - axis))
    return codes


def _length(first: Edge, second: Edge, sides: np.ndarray) -> float:
    return float(np.linalg.norm((_middle(first, 2) - _middle(second, 2)) * sides))


def _area(triangle: np.ndarray, sides: np.ndarray) -> float:
    a, b, c = triangle * sides
    return float(np.linalg.norm(np.cross(b - a, c - a))) / 2


def _middle(edge: Edge, axes: int) -> np.ndarray:
    corners = CORNERS[axes]
    return (np.array(corners[edge[0]], float) + corners[edge[1]]) / 2


def _segments(code: int) -> list[tuple[Edge, Edge]]:
    return _links(code, (0, 1, 3, 2))


def _links(code: int, around: Sequence[int]) -> list[tuple[Edge, Edge]]:
    """Lines across a rectangle that cut its set corners off; two opposite ones are cut off one by one."""
    set_ = [code >> corner & 1 for corner in around]
    edges = [_edge(around[i], around[(i + 1) % 4]) for i in range(4)]
    cut = [edges[i] for i in range(4) if set_[i] != set_[(i + 1) % 4]]
    if len(cut) == 2:
        return [(cut[0], cut[1])]
    return [(edges[i - 1], edges[i]) for i in range(4) if cut and set_[i]]


def _edge(first: int, second: int) -> Edge:
    return (min(first, second), max(first, second))


@lru_cache(maxsize=256)
def _triangles(code: int) -> tuple[np.ndarray, ...]:
    """Triangles (3, 3) of the surface in a unit box. Complements share theirs, so at most four corners are cut off."""
    if code.bit_count() > MOST_ADDED_CORNERS:
        code = 255 - code
    triangles = []
    for polygon in _polygons(code):
        points = np.stack([_middle(edge, 3) for edge in polygon])
        triangles += [points[list(corners)] for corners in _flattest(points)]
    return tuple(triangles)


def _polygons(code: int) -> list[list[Edge]]:
    """Closed lines around the box along its faces."""
    neighbours: dict[Edge, list[Edge]] = {}
    for axis, side in itertools.product(range(3), (0, 1)):
        face = [number for number, corner in enumerate(CORNERS[3]) if corner[axis] == side]
        for first, second in _links(code, (face[0], face[1], face[3], face[2])):
            neighbours.setdefault(first, []).append(second)
            neighbours.setdefault(second, []).append(first)
    polygons, left = [], dict.fromkeys(neighbours)
    while left:
        polygon = [next(iter(left))]
        while polygon[-1] in left:
            del left[polygon[-1]]
            polygon += [edge for edge in neighbours[polygon[-1]] if edge in left][:1]
        polygons.append(polygon)
    return polygons


def _flattest(points: np.ndarray) -> list[tuple[int, int, int]]:
    """The triangulation of a polygon that lies in the fewest planes; of several the smallest."""

    def cost(triangles: list[tuple[int, int, int]]) -> tuple[int, float]:
        normals = [np.cross(points[b] - points[a], points[c] - points[a]) for a, b, c in triangles]
        sizes = [float(np.linalg.norm(normal)) for normal in normals]
        planes = {tuple(np.round(normal / size, 6) + 0.0) for normal, size in zip(normals, sizes, strict=True)}
        return len(planes), round(sum(sizes), 6)

    return min(_triangulations(0, len(points) - 1), key=cost)


def _triangulations(first: int, last: int) -> list[list[tuple[int, int, int]]]:
    if last - first < 2:
        return [[]]
    return [
        [(first, apex, last), *left, *right]
        for apex in range(first + 1, last)
        for left in _triangulations(first, apex)
        for right in _triangulations(apex, last)
    ]
