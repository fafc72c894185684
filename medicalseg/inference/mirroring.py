"""Test-time mirroring: the mean of what a network gives for an image and for its mirror images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from medicalseg.errors import ConfigError
from medicalseg.inference.network import Network, WithDecision


class Mirrored(WithDecision):
    """A network whose output is averaged over all combinations of mirrored axes, each brought back.

    Logits are averaged, or probabilities where the network gives those, as overlapping windows are.

    Args:
        network: what is asked 2 ** len(axes) times.
        axes: spatial axes of the network's arrays, 0 being the first behind the channels.
    """

    def __init__(self, network: Network, axes: Sequence[int]) -> None:
        self.network, self.axes = network, tuple(axes)
        self.decision, self.gives_probabilities = network.decision, network.gives_probabilities

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(N, K, X, Y, Z) float32: the mean."""
        total: np.ndarray | None = None
        combinations = list(_combinations(self.axes))
        for axes in combinations:
            flipped = tuple(2 + axis for axis in axes)
            found = np.flip(self.network.logits(np.ascontiguousarray(np.flip(x, flipped))), flipped)
            total = np.array(found, np.float32) if total is None else np.add(total, found, out=total)
        if total is None:
            return self.network.logits(x)
        total /= len(combinations)
        return total

    def decide(self, logits: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """As the network decides."""
        return self.network.decide(logits, weights)


def mirrored(network: Network, axes: Sequence[int]) -> Network:
    """The network itself where no axis is mirrored."""
    return Mirrored(network, axes) if axes else network


def check_axes(axes: Sequence[int] | None, count: int, where: str) -> tuple[int, ...]:
    """Axes in order, none twice.

    Raises:
        ConfigError: if one is not among the `count` axes; names `where`.
    """
    values = () if axes is None else tuple(axes) if isinstance(axes, Sequence) else (axes,)
    known = all(isinstance(axis, int) and not isinstance(axis, bool) and 0 <= axis < count for axis in values)
    if isinstance(axes, str) or not known or len(set(values)) < len(values):
        raise ConfigError(f"{where}: expected some of the axes {list(range(count))}, got {axes!r}")
    return tuple(sorted(values))


def _combinations(axes: Sequence[int]) -> itertools.chain[tuple[int, ...]]:
    return itertools.chain.from_iterable(itertools.combinations(axes, count) for count in range(len(axes) + 1))
