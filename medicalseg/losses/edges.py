"""Borders between the classes of a label."""

from __future__ import annotations

import paddle


def edge_map(ids: paddle.Tensor, valid: paddle.Tensor | None = None) -> paddle.Tensor:
    """Voxels that touch, by a face, a voxel of another class.

    Args:
        ids: (N, ...) integer class ids.
        valid: (N, ...) bool; a voxel that is not valid has no border with others.

    Returns:
        (N, ...) bool.
    """
    edges = paddle.zeros(ids.shape, "int32")
    for axis in range(1, ids.ndim):
        size = int(ids.shape[axis])
        if size < 2:
            continue
        low, high = [paddle.slice(ids, [axis], [start], [start + size - 1]) for start in (0, 1)]
        step = low != high
        if valid is not None:
            one, other = [paddle.slice(valid.astype("int32"), [axis], [start], [start + size - 1]) for start in (0, 1)]
            step = step & (one * other > 0)
        border = step.astype("int32")
        rest = list(ids.shape)
        rest[axis] = 1
        blank = paddle.zeros(rest, "int32")
        edges = edges + paddle.concat([border, blank], axis) + paddle.concat([blank, border], axis)
    return edges > 0
