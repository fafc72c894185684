"""Boxes cut out of a volume; where a box reaches beyond the volume it is filled."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import Transform, uniform
from medicalseg.transforms.boxes import crop
from medicalseg.transforms.checks import Arguments
from medicalseg.transforms.flat import Shape, flat_axes, grid_of
from medicalseg.transforms.sampling import resize, resize_label
from medicalseg.utils.logger import logger
from medicalseg.utils.seeding import rng

RATIO = (3 / 4, 4 / 3)
_TRIES = 10


@manager.TRANSFORMS.add_component
class RandomResizedCrop3D(Transform):
    """Cut a box of random size, proportions and place, and resize it to `size`.

    An axis of a single voxel is cut whole: of images, `scale` counts the area.

    Args:
        size: grid of the result, [x, y, z] or one number for a cube (a square of an image).
        scale: range of (volume of the box) / (volume of the image). Above 1 the box is larger than the image, which
            then appears smaller, with 0 around it. Up to 1 the box is inside the image.
        ratio: range of the factor by which each side of the box departs from the image's proportions (before they
            are divided by their geometric mean, so that the volume stays `scale`).
        interpolation: spline order of the image, 0 to 5; labels take the nearest voxel.
        pre_crop: first cut, at a random place, a box of `size` times a factor drawn from `scale` for each side, so
            that the result shows a part of the image at about its own resolution.
        nonzero_mask: take that first box from the part of the image that has labels other than 0.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.8, 1.2),
        ratio: Sequence[float] = RATIO,
        interpolation: int = 1,
        pre_crop: bool = False,
        nonzero_mask: bool = False,
    ) -> None:
        arguments = Arguments(self)
        self.size = arguments.grid("size", size)
        self.scale = arguments.interval("scale", scale, 0.001, 1000)
        self.ratio = arguments.interval("ratio", ratio, 0.01, 100)
        self.interpolation = arguments.whole("interpolation", interpolation, 0, 5)
        self.pre_crop = arguments.flag("pre_crop", pre_crop)
        self.nonzero_mask = arguments.flag("nonzero_mask", nonzero_mask)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        size = grid_of(self.size, image.shape[1:])
        if self.pre_crop:
            image, label = self._pre_crop(image, label, size)
        sides = self._box(image.shape[1:])
        starts = [_start(length, side) for length, side in zip(image.shape[1:], sides, strict=True)]
        image, label = crop(image, label, starts, sides)
        return resize(image, size, self.interpolation), None if label is None else resize_label(label, size)

    def _box(self, shape: Sequence[int]) -> list[int]:
        flat = flat_axes(shape)
        long = [axis for axis in range(3) if axis not in flat]
        side = uniform(self.scale) ** (1 / len(long))
        proportions = np.ones(len(long))
        for _ in range(_TRIES):
            drawn = np.exp(rng().uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), size=len(long)))
            drawn /= drawn.prod() ** (1 / len(long))
            if side > 1 or (side * drawn <= 1).all():
                proportions = drawn
                break
        sides = [1, 1, 1]
        for axis, part in zip(long, proportions, strict=True):
            sides[axis] = max(1, round(shape[axis] * side * part))
        return sides

    def _pre_crop(
        self, image: np.ndarray, label: np.ndarray | None, size: Shape
    ) -> tuple[np.ndarray, np.ndarray | None]:
        low, high = _region(image.shape[1:], label if self.nonzero_mask else None)
        wanted = np.maximum(1, np.round(rng().uniform(*self.scale, size=3) * size)).astype(int)
        sides = [min(side, b - a) for side, a, b in zip(wanted.tolist(), low, high, strict=True)]
        starts = [a + _start(b - a, side) for side, a, b in zip(sides, low, high, strict=True)]
        return crop(image, label, starts, sides)


@manager.TRANSFORMS.add_component
class RandomCrop4D(Transform):
    """Cut a box of `size` voxels at a random place of a (C, X, Y, Z) image, without interpolation.

    An image shorter than the box is padded with 0.

    Args:
        size: [x, y, z], or one number for a cube (a square of an image).
        scale, ratio, interpolation, pre_crop: accepted because PaddleSeg3D's configs carry them; they have no effect
            there nor here (use `RandomResizedCrop3D`, which takes 4D images too).
        nonzero_mask: place the box so that it meets the part of the image that has labels other than 0.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.8, 1.2),
        ratio: Sequence[float] = RATIO,
        interpolation: int = 1,
        pre_crop: bool = False,
        nonzero_mask: bool = False,
    ) -> None:
        arguments = Arguments(self)
        self.size = arguments.grid("size", size)
        self.nonzero_mask = arguments.flag("nonzero_mask", nonzero_mask)
        without_effect = (
            arguments.interval("scale", scale, 0.001, 1000) != (0.8, 1.2),
            arguments.interval("ratio", ratio, 0.01, 100) != RATIO,
            arguments.whole("interpolation", interpolation, 0, 5) != 1,
            arguments.flag("pre_crop", pre_crop),
        )
        if any(without_effect):
            logger.warning("RandomCrop4D: scale, ratio, interpolation and pre_crop have no effect.")

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        low, high = _region(image.shape[1:], label if self.nonzero_mask else None)
        size = grid_of(self.size, image.shape[1:])
        starts = []
        for length, side, a, b in zip(image.shape[1:], size, low, high, strict=True):
            start = a + _start(b - a, side)
            starts.append(int(np.clip(start, 0, length - side)) if side <= length else (length - side) // 2)
        return crop(image, label, starts, size)


@manager.TRANSFORMS.add_component
class RandomPaddingCrop(Transform):
    """Pad at the end of each axis that is shorter than `crop_size`, then cut a box of `crop_size` at a random place.

    Args:
        crop_size: [x, y, z], or one number for a cube (a square of an image).
        im_padding_value: grey value of the padding.
        label_padding_value: label id of the padding; the dataset's `ignore_index` keeps it out of the loss.
    """

    def __init__(
        self,
        crop_size: int | Sequence[int] = 512,
        im_padding_value: float = 0,
        label_padding_value: int = 0,
    ) -> None:
        arguments = Arguments(self)
        self.crop_size = arguments.grid("crop_size", crop_size)
        self.im_padding_value = arguments.number("im_padding_value", im_padding_value)
        self.label_padding_value = arguments.whole("label_padding_value", label_padding_value, 0)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        size = grid_of(self.crop_size, image.shape[1:])
        sides = zip(image.shape[1:], size, strict=True)
        starts = [_start(length, side) if length > side else 0 for length, side in sides]
        return crop(image, label, starts, size, self.im_padding_value, self.label_padding_value)


def _start(length: int, side: int) -> int:
    """A random first voxel: the box inside the axis, or the axis inside the box."""
    room = length - side
    return int(rng().integers(min(0, room), max(0, room) + 1))


def _region(shape: Sequence[int], label: np.ndarray | None) -> tuple[list[int], list[int]]:
    """Bounding box of the labels other than 0; the whole grid without a label or with an empty one."""
    if label is None or not label.any():
        return [0, 0, 0], list(shape)
    low, high = [], []
    for axis in range(3):
        used = np.flatnonzero(label.any(axis=tuple(other for other in range(3) if other != axis)))
        low.append(int(used[0]))
        high.append(int(used[-1]) + 1)
    return low, high
