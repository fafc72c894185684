"""Brightness: a factor or a shift of all grey values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import IntensityTransform, uniform
from medicalseg.transforms.checks import Arguments


@manager.TRANSFORMS.add_component
class BrightnessMultiplicativeTransform(IntensityTransform):
    """Multiply the grey values by a random factor.

    Args:
        multiplier_range: range of the factor.
        per_channel: draw a factor for each channel; otherwise one for all.
        p_per_sample: probability that a sample is changed.
    """

    def __init__(
        self, multiplier_range: Sequence[float] = (0.5, 2), per_channel: bool = True, p_per_sample: float = 1.0
    ) -> None:
        arguments = Arguments(self)
        self.multiplier_range = arguments.interval("multiplier_range", multiplier_range)
        self.per_channel = arguments.flag("per_channel", per_channel)
        super().__init__(arguments.probability("p_per_sample", p_per_sample))

    def change(self, image: np.ndarray) -> np.ndarray:
        common = uniform(self.multiplier_range)
        for channel in image:
            channel *= np.float32(uniform(self.multiplier_range) if self.per_channel else common)
        return image


@manager.TRANSFORMS.add_component
class RandomBrightness(IntensityTransform):
    """Add a random constant to the grey values.

    Args:
        shift: range of the constant, as a fraction of the channel's (maximum - minimum); a number d stands for
            (-d, d).
        per_channel: draw a shift for each channel; otherwise one for all.
        p_per_sample: probability that a sample is changed.
    """

    def __init__(
        self, shift: float | Sequence[float] = 0.1, per_channel: bool = True, p_per_sample: float = 1.0
    ) -> None:
        arguments = Arguments(self)
        self.shift = arguments.spread("shift", shift)
        self.per_channel = arguments.flag("per_channel", per_channel)
        super().__init__(arguments.probability("p_per_sample", p_per_sample))

    def change(self, image: np.ndarray) -> np.ndarray:
        common = uniform(self.shift)
        for channel in image:
            shift = uniform(self.shift) if self.per_channel else common
            channel += np.float32(shift) * (channel.max() - channel.min())
        return image
