"""Intensity steps that come before resizing, each per channel on float32.

A step is made from the statistics of the whole channel and then called on its parts, while they are in the cache.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from medicalseg.errors import ConfigError
from medicalseg.inference.interpolate import Convert
from medicalseg.inference.statistics import Values, moments


def prepare(
    array: np.ndarray, steps: Sequence[Mapping[str, Any]], whole: np.ndarray | None = None, channel: int = 0
) -> Convert | None:
    """One function for all steps, to be called on any part of the array; None where there are no steps.

    Args:
        array: one channel, real numbers; statistics are those of all its voxels.
        steps: checked by `check_step`.
        whole: the channel that `array` was cropped from, in which a body is looked for; default: `array`.
        channel: its number; steps that name other `channels` are left out.
    """
    values, functions = Values(array, whole), []
    for step in steps:
        if channel not in step.get(CHANNELS, (channel,)):
            continue
        make, defaults = STEPS[step["type"]]
        settings = {key: value for key, value in step.items() if key not in ("type", CHANNELS)}
        functions.append(make(values, **{**defaults, **settings}))
        values.then(functions[-1])
    return partial(_one_after_another, functions) if functions else None


def _one_after_another(functions: Sequence[Convert], part: np.ndarray) -> np.ndarray:
    for function in functions:
        part = function(part)
    return part


def window(
    part: np.ndarray, low: float, high: float, out_low: float = 0.0, out_high: float = 1.0, nan: float | None = None
) -> np.ndarray:
    """Map `low`..`high` linearly to `out_low`..`out_high` and clip; NaN becomes the input value `nan` first."""
    result = part.astype(np.float32)
    if nan is not None:
        result[np.isnan(result)] = nan
    result -= np.float32(low)
    result /= np.float32(high - low)
    np.clip(result, 0, 1, out=result)
    if (out_low, out_high) != (0, 1):
        result *= np.float32(out_high - out_low)
        result += np.float32(out_low)
    return result


def standardize(image: np.ndarray) -> np.ndarray:
    """(image - mean) / standard deviation as float32; constant gives 0."""
    return _scaled(image, *moments(image))


def _scaled(part: np.ndarray, mean: float, deviation: float, keep_zero: bool = False) -> np.ndarray:
    result = part.astype(np.float32)
    result -= np.float32(mean)
    result /= np.float32(deviation if deviation > 0 else 1)
    if keep_zero:
        result[part == 0] = 0
    return result


def _window(values: Values, **settings: Any) -> Convert:
    return partial(window, **settings)


def _zscore(values: Values, mask: str) -> Convert:
    """Mean 0 and standard deviation 1 over all voxels, over the body, or over the nonzero ones, zeros staying 0."""
    found = values.moments(mask)
    if found is None:
        return partial(np.ndarray.astype, dtype=np.float32)
    return partial(_scaled, mean=found[0], deviation=found[1], keep_zero=mask == "nonzero")


def _percentile(values: Values, low: float, high: float) -> Convert:
    """Clip to two percentiles of the image and map them to 0..1; a constant image becomes 0."""
    bottom, top = values.percentiles([low, high])
    return partial(window, low=bottom, high=top) if top > bottom else partial(np.zeros_like, dtype=np.float32)


def _standardize(values: Values, low: float, high: float, mean: float, std: float) -> Convert:
    """Clip, then subtract and divide by numbers of the whole dataset."""
    return partial(_clipped_scaled, low=low, high=high, mean=mean, std=std)


def _clipped_scaled(part: np.ndarray, low: float, high: float, mean: float, std: float) -> np.ndarray:
    result = part.astype(np.float32)
    np.clip(result, np.float32(low), np.float32(high), out=result)
    result -= np.float32(mean)
    result /= np.float32(std)
    return result


def _minmax(values: Values) -> Convert:
    return _percentile(values, 0, 100)


CHANNELS = "channels"
MASKS = ("all", "nonzero", "body")
STEPS: dict[str, tuple[Callable[..., Convert], dict[str, Any]]] = {
    "window": (_window, {"low": ..., "high": ..., "out_low": 0.0, "out_high": 1.0, "nan": None}),
    "standardize": (_standardize, {"low": ..., "high": ..., "mean": ..., "std": ...}),
    "zscore": (_zscore, {"mask": "all"}),
    "percentile": (_percentile, {"low": 0.5, "high": 99.5}),
    "minmax": (_minmax, {}),
}


def check_step(step: Any, where: str) -> dict[str, Any]:
    """Return `step` as a plain dict.

    Args:
        step: {type: window | standardize | zscore | percentile | minmax, channels: [...]?, ...}.
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
        if key not in ("type", CHANNELS, *defaults):
            allowed = [*sorted(defaults), CHANNELS]
            raise ConfigError(f"{where}.{key}: unknown for '{step['type']}'; allowed: {allowed}{nearest(key, allowed)}")
    missing = [key for key, value in defaults.items() if value is ... and key not in step]
    if missing:
        raise ConfigError(f"{where}: '{step['type']}' needs {missing}")
    _check_values(step, where)
    return dict(step)


def _check_values(step: Mapping[str, Any], where: str) -> None:
    for key, value in step.items():
        if key == "type" or (key == "nan" and value is None):
            continue
        if key == CHANNELS:
            _check_channels(value, where)
        elif key == "mask":
            if value not in MASKS:
                raise ConfigError(f"{where}.mask: expected one of {list(MASKS)}, got {value!r}")
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ConfigError(f"{where}.{key}: expected a number, got {value!r}")
    if "low" in step and "high" in step and not step["low"] < step["high"]:
        raise ConfigError(f"{where}: 'low' ({step['low']}) must be smaller than 'high' ({step['high']})")
    if step.get("std", 1) <= 0:
        raise ConfigError(f"{where}.std: expected a number above 0, got {step['std']!r}")
    if step["type"] == "percentile":
        bounds = {**STEPS["percentile"][1], **step}
        if not 0 <= bounds["low"] < bounds["high"] <= 100:
            raise ConfigError(f"{where}: percentiles must be 0 <= low < high <= 100, got {bounds}")


def _check_channels(value: Any, where: str) -> None:
    numbers = value if isinstance(value, (list, tuple)) else ()
    if not numbers or any(isinstance(item, bool) or not isinstance(item, int) or item < 0 for item in numbers):
        raise ConfigError(f"{where}.{CHANNELS}: expected a list of channel numbers from 0 on, got {value!r}")


def nearest(name: Any, allowed: Any) -> str:
    """'; did you mean ...?' or nothing."""
    close = difflib.get_close_matches(str(name), [str(item) for item in allowed], n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
