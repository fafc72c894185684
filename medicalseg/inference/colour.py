"""Colour pictures for networks that take grey ones, and the other way round."""

from __future__ import annotations

import numpy as np

COLOURS = ("keep", "grey", "rgb")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def channels_after(channels: int, how: str) -> int:
    """Channels of an image of `channels` after `convert`."""
    if channels in (1, 3):
        return {"keep": channels, "grey": 1, "rgb": 3}[how]
    return channels


def convert(array: np.ndarray, how: str) -> np.ndarray:
    """Bring an image to grey or colour.

    Args:
        array: (X, Y, Z) or (C, X, Y, Z).
        how: "keep"; "grey" makes one channel of three, by the weights of ITU-R BT.601 for red, green and blue, not
            rounded; "rgb" repeats a single channel three times. Any other number of channels stays.

    Returns:
        (C, X, Y, Z), float32 where three channels became one.
    """
    array = array if array.ndim == 4 else array[None]
    if how == "grey" and len(array) == 3:
        return np.einsum("c,cxyz->xyz", _LUMA, array.astype(np.float32))[None]
    if how == "rgb" and len(array) == 1:
        return np.broadcast_to(array, (3, *array.shape[1:]))
    return array
