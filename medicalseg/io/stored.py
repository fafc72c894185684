"""What every format's reader hands over, and the number handling that all formats share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medicalseg.errors import VolumeError


@dataclass(frozen=True)
class Stored:
    """An image as one file holds it.

    Args:
        array: (X, Y, Z), or (C, X, Y, Z) when there are several values per voxel; scaled as the header says.
        affine: (4, 4), RAS, mm.
        notes: what is odd about the file though it can be read; each becomes a warning.
        meta: goes to `Volume.meta`.
    """

    array: np.ndarray
    affine: np.ndarray
    notes: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


def one_line(error: BaseException) -> str:
    """Return an error's message on one line of at most 200 characters; its type when it has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def channels_first(array: np.ndarray) -> np.ndarray:
    """Turn (X, Y, Z, ...) into (X, Y, Z), or into (C, X, Y, Z) when one of the further axes is longer than 1.

    Raises:
        VolumeError: fewer than 3 axes, or several further axes longer than 1.
    """
    if array.ndim < 3:
        raise VolumeError(f"is {array.ndim}D with shape {array.shape}; a 3D volume is needed")
    extra = [size for size in array.shape[3:] if size > 1]
    if not extra:
        return array.reshape(array.shape[:3], order="F")
    if len(extra) > 1:
        raise VolumeError(f"has shape {array.shape}: more than one axis beside the three of space")
    return np.moveaxis(array.reshape((*array.shape[:3], extra[0]), order="F"), -1, 0)


def apply_scaling(array: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Return slope * array + intercept in the smallest fitting type.

    Slope 0 or NaN means "not scaled" (NIfTI). Whole numbers stay whole numbers (int16, int32 or int64); other results
    are float32, float64 only from stored float64. No temporary is larger than one slab of the last axis.

    Raises:
        VolumeError: an infinite slope or an intercept that is not finite.
    """
    if slope == 0 or np.isnan(slope) or (slope == 1 and intercept == 0):
        return array
    if not np.isfinite([slope, intercept]).all():
        raise VolumeError(f"the header's intensity scale is {slope} and {intercept}; finite numbers are needed")
    dtype = _scaled_type(array, slope, intercept)
    if dtype.kind == "i":
        result = array.astype(dtype)
        result *= dtype.type(slope)
        result += dtype.type(intercept)
        return result
    result = np.empty_like(array, dtype=dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for index in range(array.shape[-1]):
            result[..., index] = array[..., index] * float(slope) + float(intercept)
    return result


def _scaled_type(array: np.ndarray, slope: float, intercept: float) -> np.dtype:
    if array.dtype.kind in "iu" and float(slope).is_integer() and float(intercept).is_integer():
        low, high = int(array.min()), int(array.max())
        ends = [value * int(slope) + int(intercept) for value in (low, high)]
        numbers = [low, high, int(slope), int(intercept), *ends, *(value * int(slope) for value in (low, high))]
        for name in ("int16", "int32", "int64"):
            limits = np.iinfo(name)
            if limits.min <= min(numbers) and max(numbers) <= limits.max:
                return np.dtype(name)
    return np.dtype(np.float64 if array.dtype == np.float64 else np.float32)


def smallest_integer(array: np.ndarray) -> np.ndarray:
    """Return integers in the smallest of uint8, int16, int32, int64 that holds them; other arrays as they are."""
    if array.dtype.kind not in "iu":
        return array
    low, high = int(array.min()), int(array.max())
    for name in ("uint8", "int16", "int32", "int64"):
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return array.astype(name, copy=False)
    return array


def to_label(array: np.ndarray, tolerance: float = 1e-4) -> np.ndarray:
    """Return (X, Y, Z) class ids as int32, in the memory order of `array`.

    Args:
        array: integers, or floats that are whole numbers within `tolerance`.
        tolerance: how far a stored value may lie from a whole number.

    Raises:
        VolumeError: fractional, negative, NaN or too large values; the message lists them.
    """
    result = np.empty_like(array, dtype=np.int32)
    wrong: set[float] = set()
    for index in range(array.shape[-1]):
        slab = array[..., index]
        whole = slab if slab.dtype.kind in "iu" else np.rint(slab)
        with np.errstate(invalid="ignore"):
            good = (whole >= 0) & (whole <= np.iinfo(np.int32).max)
            if slab.dtype.kind == "f":
                good &= np.abs(slab - whole) <= tolerance
        if good.all():
            result[..., index] = whole
        elif len(wrong) < 1000:
            wrong.update(value if value == value else math.nan for value in np.unique(slab[~good]).tolist()[:1000])
    if wrong:
        values = sorted(wrong)
        shown = ", ".join(f"{value:.6g}" for value in values[:8]) + (", ..." if len(values) > 8 else "")
        raise VolumeError(f"is no label map: class ids are whole numbers from 0, it holds {shown}")
    return result
