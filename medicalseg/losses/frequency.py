"""Class weights from how frequent the classes are in the training data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from paddle import nn

from medicalseg.errors import ConfigError
from medicalseg.losses.base import SegmentationLoss
from medicalseg.losses.class_weights import DATA_FREQUENCY

Losses = Mapping[str, Sequence[Any]]


def wants_class_frequencies(losses: Losses) -> bool:
    """Whether a loss has class weights that are still the word "frequency"."""
    return next(_waiting(losses), None) is not None


def resolve_class_weights(losses: Losses, frequencies: Sequence[float] | np.ndarray) -> None:
    """Put numbers in place of class weights given as "frequency", in place and in every loss.

    Args:
        losses: `{"types": [loss, ...], ...}`; losses inside of others are found.
        frequencies: (K,) shares of voxels of each class in the training cases, see `frequency_weights`.

    Raises:
        ConfigError: the frequencies are no such shares.
    """
    for loss, name in list(_waiting(losses)):
        setattr(loss, name, frequency_weights(frequencies))


def frequency_weights(frequencies: Sequence[float] | np.ndarray) -> list[float]:
    """Weights inverse to the square roots of the shares, their mean over labelled voxels being 1.

    A class with the share f weighs a / sqrt(f), a = Σ f / Σ sqrt(f). The square root keeps rare classes from taking
    over: where one class has 10,000 times the voxels of another, it has 1/100 of its weight, and 100 times its share of
    the loss. A class without a voxel weighs as the rarest one with voxels.

    Args:
        frequencies: (K,) not negative, at least one above 0; they need not sum to 1.

    Raises:
        ConfigError: they are something else.

    Example:
        >>> [round(weight, 3) for weight in frequency_weights([0.64, 0.32, 0.04, 0.0])]
        [0.798, 1.129, 3.194, 3.194]
    """
    shares = np.asarray(frequencies, np.float64)
    if shares.ndim != 1 or not np.isfinite(shares).all() or (shares < 0).any() or not shares.any():
        raise ConfigError(f"class frequencies: need one share per class, not all 0, got {np.array2string(shares)}")
    roots = np.sqrt(shares)
    roots[roots == 0] = roots[roots > 0].min()
    return [float(weight) for weight in shares.sum() / np.sqrt(shares).sum() / roots]


def _waiting(losses: Losses) -> Iterator[tuple[SegmentationLoss, str]]:
    for loss in losses["types"]:
        for layer in loss.sublayers(include_self=True) if isinstance(loss, nn.Layer) else ():
            if isinstance(layer, SegmentationLoss):
                name = layer.class_weighted
                if name and getattr(layer, name, None) == DATA_FREQUENCY:
                    yield layer, name
