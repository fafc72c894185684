"""Windows of maps (N, H, W, C), as the Swin Transformer looks at them.

Only the number of images may be unknown in a traced graph; heights, widths and channels are integers.
"""

from __future__ import annotations

import numpy as np
import paddle

FORBIDDEN = -100.0


def cut(x: paddle.Tensor, size: tuple[int, int], window: int) -> paddle.Tensor:
    """(N, H, W, C) as windows (N windows, window window, C), those of an image after one another, row by row.

    Args:
        x: the map.
        size: (H, W), multiples of `window`.
        window: rows and columns of a window.
    """
    (height, width), channels = size, x.shape[-1]
    tiles = x.reshape([-1, height // window, window, width // window, window, channels])
    return tiles.transpose([0, 1, 3, 2, 4, 5]).reshape([-1, window * window, channels])


def put_together(windows: paddle.Tensor, size: tuple[int, int], window: int) -> paddle.Tensor:
    """Inverse of `cut`."""
    (height, width), channels = size, windows.shape[-1]
    tiles = windows.reshape([-1, height // window, width // window, window, window, channels])
    return tiles.transpose([0, 1, 3, 2, 4, 5]).reshape([-1, height, width, channels])


def relative_positions(window: int) -> np.ndarray:
    """Which row of a table of (2 window - 1) ** 2 offsets belongs to each pair of a window's pixels.

    Args:
        window: rows and columns of a window.

    Returns:
        (window window, window window) int64; pixels and offsets are counted row by row.

    Example:
        >>> relative_positions(2)[0].tolist()
        [4, 3, 1, 0]
    """
    place = np.stack(np.meshgrid(np.arange(window), np.arange(window), indexing="ij"), axis=-1).reshape(-1, 2)
    rows, columns = np.moveaxis(place[:, None] - place[None] + window - 1, -1, 0)
    return (rows * (2 * window - 1) + columns).astype(np.int64)


def shift_mask(size: tuple[int, int], window: int, shift: int) -> np.ndarray:
    """What is added to the scores of pairs of pixels that only the cyclic shift has brought into one window.

    Args:
        size: (H, W) of the map.
        window: rows and columns of a window.
        shift: pixels that the map was shifted up and to the left by.

    Returns:
        (windows, window window, window window) float32, 0 or -100.
    """
    rows, columns = (_parts(length, window, shift) for length in size)
    part = rows[:, None] * 3 + columns[None]
    height, width = size
    tiles = part.reshape(height // window, window, width // window, window).transpose(0, 2, 1, 3)
    parts = tiles.reshape(-1, window * window)
    return np.where(parts[:, :, None] == parts[:, None], 0, FORBIDDEN).astype(np.float32)


def _parts(length: int, window: int, shift: int) -> np.ndarray:
    """Number of the part that each place of a shifted axis is from: 0, then 1 and 2 in the last window."""
    place = np.arange(length)
    return (place >= length - window).astype(int) + (place >= length - shift)
