"""Noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import IntensityTransform, happens, uniform
from medicalseg.transforms.checks import Arguments
from medicalseg.utils.seeding import rng


@manager.TRANSFORMS.add_component
class GaussianNoiseTransform(IntensityTransform):
    """Add independent Gaussian noise to every voxel.

    Args:
        noise_variance: range of the noise's **standard deviation**, in the image's units. The name is PaddleSeg3D's
            and batchgenerators'; both use the number as a standard deviation too.
        p_per_sample: probability that a sample is changed.
        p_per_channel: probability that a channel of such a sample is changed.
        per_channel: draw the strength for each channel; otherwise once for all.
    """

    def __init__(
        self,
        noise_variance: Sequence[float] = (0, 0.1),
        p_per_sample: float = 1.0,
        p_per_channel: float = 1.0,
        per_channel: bool = False,
    ) -> None:
        arguments = Arguments(self)
        self.noise_variance = arguments.interval("noise_variance", noise_variance, 0)
        super().__init__(arguments.probability("p_per_sample", p_per_sample))
        self.p_per_channel = arguments.probability("p_per_channel", p_per_channel)
        self.per_channel = arguments.flag("per_channel", per_channel)

    def change(self, image: np.ndarray) -> np.ndarray:
        common = uniform(self.noise_variance)
        for channel in image:
            if happens(self.p_per_channel):
                strength = uniform(self.noise_variance) if self.per_channel else common
                noise = rng().standard_normal(channel.shape, dtype=np.float32)
                noise *= np.float32(strength)
                channel += noise
        return image
