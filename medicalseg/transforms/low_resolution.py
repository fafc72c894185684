"""Simulated low resolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import IntensityTransform, happens, uniform
from medicalseg.transforms.checks import Arguments
from medicalseg.transforms.sampling import resize


@manager.TRANSFORMS.add_component
class SimulateLowResolutionTransform(IntensityTransform):
    """Sample a channel on a coarser grid and bring it back to its own.

    Args:
        zoom_range: range of (coarse side) / (side), within (0, 1].
        per_channel: draw the zoom for each channel; otherwise once for all.
        p_per_channel: probability that a channel of a changed sample is coarsened.
        channels: indices of the channels that may be changed; default all.
        order_downsample: spline order on the way down, 0 to 5.
        order_upsample: spline order on the way back, 0 to 5.
        p_per_sample: probability that a sample is changed.
        ignore_axes: spatial axes that keep their resolution, X = 0.
    """

    def __init__(
        self,
        zoom_range: Sequence[float] = (0.5, 1),
        per_channel: bool = False,
        p_per_channel: float = 1.0,
        channels: Sequence[int] | None = None,
        order_downsample: int = 1,
        order_upsample: int = 0,
        p_per_sample: float = 1.0,
        ignore_axes: Sequence[int] | None = None,
    ) -> None:
        arguments = Arguments(self)
        self.zoom_range = arguments.interval("zoom_range", zoom_range, 0.01, 1)
        self.per_channel = arguments.flag("per_channel", per_channel)
        self.p_per_channel = arguments.probability("p_per_channel", p_per_channel)
        if channels is not None and not isinstance(channels, (list, tuple)):
            arguments.refuse("channels", "a list of channel numbers or null", channels)
        self.channels = None if channels is None else [arguments.whole("channels", item, 0) for item in channels]
        self.order_downsample = arguments.whole("order_downsample", order_downsample, 0, 5)
        self.order_upsample = arguments.whole("order_upsample", order_upsample, 0, 5)
        super().__init__(arguments.probability("p_per_sample", p_per_sample))
        self.ignore_axes = arguments.axes("ignore_axes", ignore_axes) if ignore_axes else ()

    def change(self, image: np.ndarray) -> np.ndarray:
        common = uniform(self.zoom_range)
        chosen = range(len(image)) if self.channels is None else [i for i in self.channels if i < len(image)]
        for index in chosen:
            if happens(self.p_per_channel):
                image[index] = self._coarsen(image[index], uniform(self.zoom_range) if self.per_channel else common)
        return image

    def _coarsen(self, channel: np.ndarray, zoom: float) -> np.ndarray:
        factors = [1.0 if axis in self.ignore_axes else zoom for axis in range(3)]
        shape = [max(1, round(side * factor)) for side, factor in zip(channel.shape, factors, strict=True)]
        coarse = resize(channel[np.newaxis], shape, self.order_downsample, corners=False)
        fine = resize(coarse, channel.shape, self.order_upsample, corners=False)
        if max(self.order_downsample, self.order_upsample) < 2:
            return fine[0]
        return np.clip(fine[0], channel.min(), channel.max())
