"""Arrays in compressed files of which any box can be read without the rest (Blosc2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np

from medicalseg.errors import DataError
from medicalseg.utils.files import atomic_path

BLOCKS_PER_PATCH = 4
LEAST_SIDE = 8
USUAL_SIDE = 32
ONE_BLOCK = 1 << 17
LEVEL = 1
LAYER = "medicalseg"


def block_sides(patch_size: Sequence[int] | None) -> tuple[int, int, int]:
    """Sides of the blocks in which cases are kept for patches of a size.

    A power of two that is about a quarter of the patch's side, at least 8 (or the patch's side, if that is less), so
    that few voxels beside the patch are decoded, and neighbouring patch sizes share their files.

    Example:
        >>> block_sides([128, 160, 14])
        (32, 64, 8)
    """
    if patch_size is None:
        return (USUAL_SIDE,) * 3
    x, y, z = (_power(max(min(LEAST_SIDE, side), math.ceil(side / BLOCKS_PER_PATCH))) for side in patch_size)
    return x, y, z


def write_blocks(path: Path, array: np.ndarray, sides: Sequence[int], meta: Mapping[str, Any]) -> None:
    """Write an array (..., X, Y, Z) as a file that appears whole or not at all.

    Args:
        path: the file.
        array: a leading channel axis is cut into single channels.
        sides: of the blocks; an array that is small altogether is one block.
        meta: what is kept beside it; numbers, words, lists and dicts.
    """
    shape = array.shape[-3:]
    whole = math.prod(shape) <= ONE_BLOCK
    blocks = [length if whole else min(side, length) for side, length in zip(sides, shape, strict=True)]
    chunks = [min(length, side * BLOCKS_PER_PATCH) for side, length in zip(blocks, shape, strict=True)]
    single = [1] * (array.ndim - 3)
    packed = blosc2.asarray(
        np.ascontiguousarray(array),
        chunks=(*single, *chunks),
        blocks=(*single, *blocks),
        cparams={"codec": blosc2.Codec.ZSTD, "clevel": LEVEL, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1},
        meta={LAYER: dict(meta)},
    )
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed.to_cframe())


class BlockFile:
    """An array in such a file.

    Args:
        path: the file.

    Attributes:
        shape: of the array.
        meta: what was kept beside it.

    Raises:
        DataError: if the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._array = blosc2.open(str(path), mode="r", dparams={"nthreads": 1})
            self.meta: dict[str, Any] = self._array.schunk.meta[LAYER]
        except Exception as error:  # blosc2 raises RuntimeError, ValueError, KeyError, OSError by what is damaged
            raise DataError(f"{path}: no readable block file ({type(error).__name__})") from error
        self.shape: tuple[int, ...] = tuple(self._array.shape)

    def read(self, low: Sequence[int] = (0, 0, 0), high: Sequence[int] | None = None) -> np.ndarray:
        """The box from `low` to before `high` of the last three axes; only the blocks it touches are decoded.

        Raises:
            DataError: if the file is damaged.
        """
        high = self.shape[-3:] if high is None else high
        box = tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
        lengths = tuple(item.stop - item.start for item in box)
        if min(lengths) <= 0:
            return np.zeros((*self.shape[:-3], *lengths), self._array.dtype)
        try:
            return np.asarray(self._array[(slice(None),) * (len(self.shape) - 3) + box])
        except RuntimeError as error:
            raise DataError(f"{self.path}: damaged; delete it, it is made again") from error


def _power(side: int) -> int:
    return 1 << max(0, math.ceil(math.log2(side)))
