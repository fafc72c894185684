"""Labels from a network's grid back to the grid of the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from medicalseg.errors import DataError
from medicalseg.inference.grid import Box, GridRecord, orient, orientation_change
from medicalseg.inference.interpolate import Line, interpolate, memory_order
from medicalseg.inference.threads import for_each

SLAB_VOXELS = 1 << 21


def labels_to_original(labels: np.ndarray, record: GridRecord) -> np.ndarray:
    """Bring labels from the network's grid to the original shape and axis order.

    Every class's indicator is interpolated linearly and the largest wins, the lowest id of equals. Only the
    foreground's indicators are computed, each inside its bounding box and slab by slab; what they leave of 1 is the
    background's. Where the grids coincide the labels are copied. Outside the record's box all is background.

    Args:
        labels: (X, Y, Z) non-negative integers on the network's grid.
        record: what `Preprocessing.apply` gave with the image.

    Returns:
        (X, Y, Z) in the order files are written in, first axis fastest.

    Raises:
        DataError: if the labels' shape is not the record's, or an id is negative.
    """
    if labels.shape != record.network_shape:
        raise DataError(f"labels have the shape {labels.shape}, but the image had {record.network_shape}")
    lowest, highest = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if lowest < 0:
        raise DataError(f"label map has the negative id {lowest}")
    content = labels[tuple(slice(*bounds) for bounds in zip(record.start, record.stop, strict=True))]
    content = content.astype(_smallest_type(highest), copy=False)
    result = np.zeros(record.shape, content.dtype, order="F")
    inside = orient(result, orientation_change(record.affine, record.orientation))[record.box]
    if record.is_interpolated:
        vote(content, record, inside)
    else:
        inside[...] = _same_size(content, record)
    return result


def codes_to_original(codes: np.ndarray, record: GridRecord, structures: int) -> np.ndarray:
    """Bring structures that may overlap from the network's grid to the original shape and axis order.

    Each structure's indicator is interpolated linearly and is present where it is above one half, as a single class
    of `labels_to_original` is. Where the grids coincide the codes are copied.

    Args:
        codes: (X, Y, Z) on the network's grid, bit k set where structure k is present.
        record: what `Preprocessing.apply` gave with the image.
        structures: how many there are.

    Returns:
        (X, Y, Z) codes in the order files are written in, first axis fastest.

    Raises:
        DataError: if the codes' shape is not the record's, or a code is negative.
    """
    if not record.is_interpolated:
        return labels_to_original(codes, record)
    kind = _smallest_type((1 << structures) - 1)
    result: np.ndarray | None = None
    for index in range(structures):
        mask = labels_to_original(codes >> index & 1, record).astype(kind) << kind(index)
        result = mask if result is None else np.bitwise_or(result, mask, out=result)
    return np.zeros(record.shape, kind) if result is None else result


def _smallest_type(highest: int) -> type[np.integer]:
    return next((kind for kind in (np.uint8, np.uint16) if highest <= np.iinfo(kind).max), np.int32)


def _same_size(content: np.ndarray, record: GridRecord) -> np.ndarray:
    if content.shape != record.box_shape:
        raise DataError(f"grid record is wrong: content {content.shape}, original {record.box_shape}")
    return content


def vote(content: np.ndarray, record: GridRecord, result: np.ndarray) -> None:
    """Fill `result` with the class whose interpolated indicator is largest.

    Args:
        content: (X, Y, Z) labels, the network's grid without its padding.
        record: where the voxels lie.
        result: (X, Y, Z) on the record's box of the oriented original grid, zeros; any memory order.
    """
    axes = memory_order(result)
    target, content = result.transpose(axes), np.ascontiguousarray(content.transpose(axes))
    coordinates = [_coordinates(record, axis, content.shape[place]) for place, axis in enumerate(axes)]
    boxes = _boxes(content)
    rows = max(1, SLAB_VOXELS // max(1, target.shape[1] * target.shape[2]))

    def slab(first: int) -> None:
        lines = [coordinates[0][first : first + rows], *coordinates[1:]]
        _vote_slab(content, boxes, lines, target[first : first + rows])

    for_each(slab, range(0, len(target), rows), target.size)


def _coordinates(record: GridRecord, axis: int, size: int) -> np.ndarray:
    indices = np.arange(record.box[axis].start, record.box[axis].stop)
    line = indices * record.scale[axis] + record.offset[axis] - record.start[axis]
    return np.clip(line, 0, size - 1)


def _boxes(content: np.ndarray) -> list[tuple[int, Box]]:
    found = ndimage.find_objects(content if content.dtype == np.int32 else content.astype(np.int32))
    return [(index + 1, (box[0], box[1], box[2])) for index, box in enumerate(found) if box is not None]


def _vote_slab(
    content: np.ndarray, boxes: Sequence[tuple[int, Box]], coordinates: Sequence[np.ndarray], result: np.ndarray
) -> None:
    candidates = list(_candidates(content, boxes, coordinates))
    if not candidates:
        return
    regions = [region for _, region, _ in candidates]
    around = tuple(
        slice(min(region[axis].start for region in regions), max(region[axis].stop for region in regions))
        for axis in range(3)
    )
    shape = [part.stop - part.start for part in around]
    best, total, winner = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, result.dtype)
    for label, region, weight in candidates:
        inside = tuple(slice(r.start - a.start, r.stop - a.start) for r, a in zip(region, around, strict=True))
        np.copyto(winner[inside], label, where=weight > best[inside])
        np.maximum(best[inside], weight, out=best[inside])
        total[inside] += weight
    best += total
    result[around] = np.multiply(winner, best > 1, out=winner)


def _candidates(
    content: np.ndarray, boxes: Sequence[tuple[int, Box]], coordinates: Sequence[np.ndarray]
) -> Iterator[tuple[int, Box, np.ndarray]]:
    """Every class that reaches this slab: where it can win, and its interpolated indicator there."""
    first, last = int(coordinates[0][0]), int(coordinates[0][-1]) + 2
    for label, box in boxes:
        rows = slice(max(box[0].start, first), min(box[0].stop, last))
        if rows.start >= rows.stop:
            continue
        box = (rows, box[1], box[2])
        tight = _tightened(content[box] == label, box)
        region = [_reach(line, bounds) for line, bounds in zip(coordinates, tight, strict=True)] if tight else []
        if not tight or any(part.start >= part.stop for part in region):
            continue
        wider = [
            slice(max(0, bounds.start - 1), min(size, bounds.stop + 1))
            for bounds, size in zip(tight, content.shape, strict=True)
        ]
        mask = content[tuple(wider)] == label
        lines = [
            Line.at(line[part] - bounds.start, size)
            for line, part, bounds, size in zip(coordinates, region, wider, mask.shape, strict=True)
        ]
        yield label, (region[0], region[1], region[2]), interpolate(mask.astype(np.float32), lines)


def _tightened(mask: np.ndarray, box: Box) -> Box | None:
    """The part of `box` that really holds the class in these rows."""
    bounds = []
    for axis, part in enumerate(box):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(used):
            return None
        bounds.append(slice(part.start + int(used[0]), part.start + int(used[-1]) + 1))
    return bounds[0], bounds[1], bounds[2]


def _reach(line: np.ndarray, bounds: slice) -> slice:
    """Output range that a class within `bounds` can reach: coordinates between one below and one above."""
    first = int(np.searchsorted(line, bounds.start - 1, side="right"))
    return slice(first, max(first, int(np.searchsorted(line, bounds.stop, side="left"))))
