"""Exponential moving average of a network's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from medicalseg.errors import ConfigError
from medicalseg.utils.arrays import host_array, is_host_array

if TYPE_CHECKING:
    import paddle

BLOCK = 1 << 16
WARM_UP = 10


class ExponentialMovingAverage:
    """Average of the weights over the last steps; often segments better than the last weights.

    Trainable parameters are averaged, everything else (running statistics) is copied. At the beginning the average
    forgets faster, so that the random weights it starts from do not stay in it: step t keeps at most t / (t + 10).

    Args:
        model: the network that is trained.
        decay: share of the old average that each step keeps; 0.999 averages over about 1000 steps.

    Raises:
        ConfigError: the decay is not between 0 and 1.
    """

    def __init__(self, model: paddle.nn.Layer, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"ema decay {decay}: must be at least 0 and below 1")
        self._model = model
        self._decay = decay
        self._average = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
        self._trainable = {name for name, parameter in model.named_parameters() if not parameter.stop_gradient}

    def update(self, iteration: int) -> None:
        """Take the weights of the step that was just done, number `iteration` from 0, into the average."""
        import paddle

        decay = min(self._decay, iteration / (iteration + WARM_UP))
        with paddle.no_grad():
            for key, tensor in self._model.state_dict().items():
                average = self._average[key]
                if key not in self._trainable:
                    average.set_value(tensor.detach())
                elif is_host_array(average) and is_host_array(tensor) and average.is_contiguous():
                    _blend(host_array(average).reshape(-1), host_array(tensor).reshape(-1), decay)
                else:
                    average.set_value(average * decay + tensor.detach().astype(average.dtype) * (1 - decay))

    def state_dict(self) -> dict[str, paddle.Tensor]:
        """The averaged weights under the network's keys."""
        return dict(self._average)

    def set_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take averaged weights back, as `load_state` read them."""
        import paddle

        for key, tensor in self._average.items():
            if key in state:
                tensor.set_value(paddle.to_tensor(state[key]).astype(tensor.dtype))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the network computes with the averaged weights."""
        own = self._model.state_dict()
        kept = {key: tensor.detach().clone() for key, tensor in own.items()}
        try:
            for key, tensor in own.items():
                tensor.set_value(self._average[key].astype(tensor.dtype))
            yield
        finally:
            for key, tensor in own.items():
                tensor.set_value(kept[key])


def _blend(average: np.ndarray, values: np.ndarray, decay: float) -> None:
    """average = average * decay + values * (1 - decay), in place and in cache-sized blocks."""
    old, new = average.dtype.type(decay), average.dtype.type(1 - decay)
    scratch = np.empty(min(BLOCK, average.size), average.dtype)
    for first in range(0, average.size, BLOCK):
        block = average[first : first + BLOCK]
        block *= old
        block += np.multiply(values[first : first + BLOCK], new, out=scratch[: block.size])
