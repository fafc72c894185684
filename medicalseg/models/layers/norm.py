"""Normalisation layers for volumes, chosen by name."""

from __future__ import annotations

import math
from collections.abc import Callable

from paddle import nn

from medicalseg.errors import ConfigError

GROUPS = 8


def _group_norm(channels: int) -> nn.Layer:
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


NORMS: dict[str, Callable[[int], nn.Layer]] = {
    "batch": nn.BatchNorm3D,
    "instance": nn.InstanceNorm3D,
    "group": _group_norm,
}


def make_norm(name: str, channels: int) -> nn.Layer:
    """Build a normalisation layer with learned scale and shift.

    Args:
        name: "batch", "instance" or "group" (8 groups, or fewer where 8 does not divide the channels).
        channels: number of channels it normalises.

    Raises:
        ConfigError: the name is not one of these.
    """
    if not isinstance(name, str) or name not in NORMS:
        raise ConfigError(f"norm: {name!r} is not one of {sorted(NORMS)}")
    return NORMS[name](channels)
