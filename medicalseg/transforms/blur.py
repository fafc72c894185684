"""Blur."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import IntensityTransform, happens, uniform
from medicalseg.transforms.checks import Arguments
from medicalseg.transforms.gaussian import smooth


@manager.TRANSFORMS.add_component
class GaussianBlurTransform(IntensityTransform):
    """Smooth with a Gaussian (the numbers of `scipy.ndimage.gaussian_filter`).

    Args:
        blur_sigma: range of sigma in voxels.
        different_sigma_per_channel: draw sigma for each channel; otherwise once for all.
        different_sigma_per_axis: draw sigma for each axis, except with probability `p_isotropic`.
        p_isotropic: see above.
        p_per_channel: probability that a channel of a changed sample is smoothed.
        p_per_sample: probability that a sample is changed.
    """

    def __init__(
        self,
        blur_sigma: Sequence[float] = (1, 5),
        different_sigma_per_channel: bool = True,
        different_sigma_per_axis: bool = False,
        p_isotropic: float = 0.0,
        p_per_channel: float = 1.0,
        p_per_sample: float = 1.0,
    ) -> None:
        arguments = Arguments(self)
        self.blur_sigma = arguments.interval("blur_sigma", blur_sigma, 0)
        self.different_sigma_per_channel = arguments.flag("different_sigma_per_channel", different_sigma_per_channel)
        self.different_sigma_per_axis = arguments.flag("different_sigma_per_axis", different_sigma_per_axis)
        self.p_isotropic = arguments.probability("p_isotropic", p_isotropic)
        self.p_per_channel = arguments.probability("p_per_channel", p_per_channel)
        super().__init__(arguments.probability("p_per_sample", p_per_sample))

    def change(self, image: np.ndarray) -> np.ndarray:
        common = self._sigma()
        for index, channel in enumerate(image):
            if happens(self.p_per_channel):
                sigma = self._sigma() if self.different_sigma_per_channel else common
                image[index] = smooth(channel, sigma)
        return image

    def _sigma(self) -> list[float]:
        if self.different_sigma_per_axis and not happens(self.p_isotropic):
            return [uniform(self.blur_sigma) for _ in range(3)]
        return [uniform(self.blur_sigma)] * 3
