"""Means of what is applicable."""

from __future__ import annotations

import numpy as np


def mean(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN without any."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def column_means(values: np.ndarray) -> np.ndarray:
    """`mean` of every column."""
    return np.array([mean(column) for column in values.T])
