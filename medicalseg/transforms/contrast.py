"""Contrast: grey values stretched about their mean, or bent by a power law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import IntensityTransform, happens, uniform
from medicalseg.transforms.checks import Arguments, Interval
from medicalseg.transforms.pointwise import blocks, mean_and_deviation, raise_to


@manager.TRANSFORMS.add_component
class ContrastAugmentationTransform(IntensityTransform):
    """Stretch the grey values about the channel's mean.

    Args:
        contrast_range: range of the factor; below and above 1 are equally likely if it spans 1.
        preserve_range: clip the result to the channel's old minimum and maximum.
        per_channel: draw a factor for each channel; otherwise one for all.
        p_per_sample: probability that a sample is changed.
        p_per_channel: probability that a channel of such a sample is changed.
    """

    def __init__(
        self,
        contrast_range: Sequence[float] = (0.75, 1.25),
        preserve_range: bool = True,
        per_channel: bool = True,
        p_per_sample: float = 1.0,
        p_per_channel: float = 1.0,
    ) -> None:
        arguments = Arguments(self)
        self.contrast_range = arguments.interval("contrast_range", contrast_range, 0)
        self.preserve_range = arguments.flag("preserve_range", preserve_range)
        self.per_channel = arguments.flag("per_channel", per_channel)
        super().__init__(arguments.probability("p_per_sample", p_per_sample))
        self.p_per_channel = arguments.probability("p_per_channel", p_per_channel)

    def change(self, image: np.ndarray) -> np.ndarray:
        common = _around_one(self.contrast_range)
        for channel in image:
            if happens(self.p_per_channel):
                self._stretch(channel, _around_one(self.contrast_range) if self.per_channel else common)
        return image

    def _stretch(self, channel: np.ndarray, factor: float) -> None:
        centre = np.float32(mean_and_deviation(channel)[0])
        low, high = (channel.min(), channel.max()) if self.preserve_range else (None, None)
        for part in blocks(channel):
            part -= centre
            part *= np.float32(factor)
            part += centre
            if self.preserve_range:
                np.clip(part, low, high, out=part)


@manager.TRANSFORMS.add_component
class GammaTransform(IntensityTransform):
    """Raise the grey values, scaled to 0 ... 1 between minimum and maximum, to a power, and scale them back.

    Args:
        gamma_range: range of the exponent, > 0; below and above 1 are equally likely if it spans 1.
        invert_image: do it on the negative of the image, which bends the bright end.
        per_channel: draw the exponent and use minimum and maximum for each channel; otherwise for all together.
        retain_stats: afterwards restore mean and standard deviation.
        p_per_sample: probability that a sample is changed.
    """

    def __init__(
        self,
        gamma_range: Sequence[float] = (0.5, 2),
        invert_image: bool = False,
        per_channel: bool = False,
        retain_stats: bool = False,
        p_per_sample: float = 1.0,
    ) -> None:
        arguments = Arguments(self)
        self.gamma_range = arguments.interval("gamma_range", gamma_range, 0.01, 100)
        self.invert_image = arguments.flag("invert_image", invert_image)
        self.per_channel = arguments.flag("per_channel", per_channel)
        self.retain_stats = arguments.flag("retain_stats", retain_stats)
        super().__init__(arguments.probability("p_per_sample", p_per_sample))

    def change(self, image: np.ndarray) -> np.ndarray:
        for part in image if self.per_channel else [image]:
            if part.min() < part.max():
                self._bend(part, _around_one(self.gamma_range))
        return image

    def _bend(self, part: np.ndarray, gamma: float) -> None:
        low, high = part.min(), part.max()
        start, span = (high, low - high) if self.invert_image else (low, high - low)
        before = mean_and_deviation(part) if self.retain_stats else None
        for block in blocks(part):
            block -= start
            block /= span
            raise_to(block, gamma)
            block *= span
            block += start
        if before is not None:
            _restore(part, before)


def _restore(part: np.ndarray, wanted: tuple[float, float]) -> None:
    """Give `part` the wanted mean and standard deviation."""
    mean, deviation = mean_and_deviation(part)
    for block in blocks(part):
        block -= np.float32(mean)
        block *= np.float32(wanted[1] / max(deviation, 1e-8))
        block += np.float32(wanted[0])


def _around_one(interval: Interval) -> float:
    low, high = interval
    if low < 1 < high:
        return uniform((low, 1)) if happens(0.5) else uniform((1, high))
    return uniform(interval)
