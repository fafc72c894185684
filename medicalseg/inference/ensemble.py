"""Several networks of one task as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.errors import ConfigError
from medicalseg.inference.decision import Decision
from medicalseg.inference.network import Network, WithDecision


class Ensemble(WithDecision):
    """The mean of the probabilities of networks that see the same input, as those of several folds.

    Args:
        networks: with one decision.

    Raises:
        ConfigError: if there is none, or they decide differently.
    """

    gives_probabilities = True

    def __init__(self, networks: Sequence[Network]) -> None:
        if not networks:
            raise ConfigError("an ensemble needs at least one network")
        heads = {(network.decision.head, network.decision.threshold) for network in networks}
        if len(heads) > 1:
            raise ConfigError(f"an ensemble needs networks of one head and threshold, got {sorted(heads)}")
        self.networks = list(networks)
        self.decision: Decision = networks[0].decision

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(N, K, X, Y, Z) float32: mean probabilities.

        Raises:
            ConfigError: if the networks have different numbers of classes.
        """
        total: np.ndarray | None = None
        for network in self.networks:
            found = network.probabilities(x)
            if total is None:
                total = np.array(found, np.float32)
            elif total.shape != found.shape:
                raise ConfigError(f"networks of an ensemble give {total.shape[1]} and {found.shape[1]} classes")
            else:
                total += found
        if total is None:
            raise ConfigError("an ensemble needs at least one network")
        total /= len(self.networks)
        return total
