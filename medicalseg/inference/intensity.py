"""Intensity steps that come before resizing, each per channel on float32."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from medicalseg.errors import ConfigError


def window(
    image: np.ndarray, low: float, high: float, out_low: float = 0.0, out_high: float = 1.0, nan: float | None = None
) -> np.ndarray:
    """Map `low`..`high` linearly to `out_low`..`out_high` and clip; NaN becomes the input value `nan` first."""
    if nan is not None:
        image = np.where(np.isnan(image), np.float32(nan), image)
    image = (image - np.float32(low)) / np.float32(high - low)
    np.clip(image, 0, 1, out=image)
    if (out_low, out_high) != (0, 1):
        image *= np.float32(out_high - out_low)
        image += np.float32(out_low)
    return image


def zscore(image: np.ndarray, mask: str) -> np.ndarray:
    """Mean 0 and standard deviation 1 over all voxels, or over the nonzero ones, zeros staying 0."""
    if mask == "all":
        return standardize(image)
    inside = image != 0
    if not inside.any():
        return image
    return np.where(inside, standardize(image, image[inside]), np.float32(0))


def percentile(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Clip to two percentiles of the image and map them to 0..1."""
    bottom, top = (float(value) for value in np.percentile(image, [low, high]))
    return window(image, bottom, top) if top > bottom else np.zeros_like(image)


def minmax(image: np.ndarray) -> np.ndarray:
    """Map minimum..maximum to 0..1; a constant image becomes 0."""
    return percentile(image, 0, 100)


def standardize(image: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
    """(image - mean) / standard deviation, both of `values` (default: the image); constant gives 0."""
    values = image if values is None else values
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    return ((image - np.float32(mean)) / np.float32(deviation if deviation > 0 else 1)).astype(np.float32, copy=False)


STEPS: dict[str, tuple[Callable[..., np.ndarray], dict[str, Any]]] = {
    "window": (window, {"low": ..., "high": ..., "out_low": 0.0, "out_high": 1.0, "nan": None}),
    "zscore": (zscore, {"mask": "all"}),
    "percentile": (percentile, {"low": 0.5, "high": 99.5}),
    "minmax": (minmax, {}),
}


def apply_step(image: np.ndarray, step: Mapping[str, Any]) -> np.ndarray:
    """Run one checked step on one channel."""
    function, defaults = STEPS[step["type"]]
    return function(image, **{**defaults, **{key: value for key, value in step.items() if key != "type"}})


def check_step(step: Any, where: str) -> dict[str, Any]:
    """Return `step` as a plain dict.

    Args:
        step: {type: window | zscore | percentile | minmax, ...}.
        where: key path for messages.

    Raises:
        ConfigError: if the type, a key or a value is wrong.
    """
    if not isinstance(step, Mapping) or "type" not in step:
        raise ConfigError(f"{where}: expected a dict with 'type' (one of {sorted(STEPS)}), got {step!r}")
    if step["type"] not in STEPS:
        raise ConfigError(f"{where}.type: {step['type']!r} is not one of {sorted(STEPS)}{nearest(step['type'], STEPS)}")
    defaults = STEPS[step["type"]][1]
    for key in step:
        if key != "type" and key not in defaults:
            allowed = sorted(defaults) or "no other key"
            raise ConfigError(
                f"{where}.{key}: unknown for '{step['type']}'; allowed: {allowed}{nearest(key, defaults)}"
            )
    missing = [key for key, value in defaults.items() if value is ... and key not in step]
    if missing:
        raise ConfigError(f"{where}: '{step['type']}' needs {missing}")
    _check_values(step, where)
    return dict(step)


def _check_values(step: Mapping[str, Any], where: str) -> None:
    for key, value in step.items():
        if key == "type" or (key == "nan" and value is None):
            continue
        if key == "mask":
            if value not in ("all", "nonzero"):
                raise ConfigError(f"{where}.mask: expected 'all' or 'nonzero', got {value!r}")
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ConfigError(f"{where}.{key}: expected a number, got {value!r}")
    if "low" in step and "high" in step and not step["low"] < step["high"]:
        raise ConfigError(f"{where}: 'low' ({step['low']}) must be smaller than 'high' ({step['high']})")
    if step["type"] == "percentile":
        bounds = {**STEPS["percentile"][1], **step}
        if not 0 <= bounds["low"] < bounds["high"] <= 100:
            raise ConfigError(f"{where}: percentiles must be 0 <= low < high <= 100, got {bounds}")


def nearest(name: Any, allowed: Any) -> str:
    """'; did you mean ...?' or nothing."""
    close = difflib.get_close_matches(str(name), [str(item) for item in allowed], n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
