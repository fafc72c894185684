"""Boxes of which nothing is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.transforms.base import Step, Transform, happens, uniform
from medicalseg.transforms.checks import Arguments
from medicalseg.transforms.flat import flat_axes
from medicalseg.utils.seeding import rng

Box = tuple[slice, ...]

MEAN, KEEP, BACKGROUND = "mean", "keep", "background"


@manager.TRANSFORMS.add_component
class RandomCutout(Transform):
    """Fill random boxes with one grey value, so that the network learns to use what surrounds them.

    The centre of a box is any voxel, so boxes may reach beyond the border, where they are clipped. An axis of a single
    voxel is covered whole.

    Args:
        size: range of (side of the box) / (length of the axis); a number s stands for (s, s).
        holes: number of boxes, or the range [low, high] to draw it from.
        isotropic: the same fraction for all axes; otherwise one for each.
        fill: the grey value, in the units of the stored array; "mean" is the channel's own.
        label: "keep" leaves the label as it is; "background" or an id (the dataset's `ignore_index` keeps the boxes
            out of the loss) is written into them.
        prob: probability that a sample is changed.

    Source:
        DeVries and Taylor (2017), "Improved regularization of convolutional neural networks with cutout",
        arXiv:1708.04552 (one square, filled with 0).
    """

    def __init__(
        self,
        size: float | Sequence[float] = (0.1, 0.3),
        holes: int | Sequence[int] = 1,
        isotropic: bool = True,
        fill: float | str = 0,
        label: str | int = KEEP,
        prob: float = 0.5,
    ) -> None:
        arguments = Arguments(self)
        self.size = arguments.interval("size", size if isinstance(size, (list, tuple)) else (size, size), 0, 1)
        self.holes = _holes(arguments, holes)
        self.isotropic = arguments.flag("isotropic", isotropic)
        self.fill = fill if fill == MEAN else _grey_value(arguments, fill)
        self.label = _label_rule(arguments, label)
        self.prob = arguments.probability("prob", prob)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        return self.step(image, label, False)[:2]

    def step(self, image: np.ndarray, label: np.ndarray | None, owned: bool) -> Step:
        if not happens(self.prob):
            return image, label, owned
        boxes = self._boxes(image.shape[1:])
        values = image.mean(axis=(1, 2, 3), dtype=np.float64) if self.fill == MEAN else np.full(len(image), self.fill)
        image = image if owned else image.copy()
        for box in boxes:
            image[(slice(None),) + box] = values.astype(np.float32).reshape(-1, 1, 1, 1)
        return image, self._new_label(label, boxes), True

    def _boxes(self, shape: Sequence[int]) -> list[Box]:
        count = int(rng().integers(self.holes[0], self.holes[1] + 1))
        return [self._box(shape) for _ in range(count)]

    def _box(self, shape: Sequence[int]) -> Box:
        flat = flat_axes(shape)
        common = uniform(self.size)
        box = []
        for axis, length in enumerate(shape):
            side = round(length * (common if self.isotropic else uniform(self.size)))
            start = int(rng().integers(length)) - side // 2
            box.append(slice(0, 1) if axis in flat else slice(max(0, start), max(0, start + side)))
        return tuple(box)

    def _new_label(self, label: np.ndarray | None, boxes: Sequence[Box]) -> np.ndarray | None:
        if label is None or self.label == KEEP:
            return label
        value = 0 if self.label == BACKGROUND else int(self.label)
        new = label.astype(np.promote_types(label.dtype, np.min_scalar_type(value)))
        for box in boxes:
            new[box] = value
        return new


def _holes(arguments: Arguments, value: Any) -> tuple[int, int]:
    items = value if isinstance(value, (list, tuple)) and len(value) == 2 else (value, value)
    low, high = (arguments.whole("holes", item, 1) for item in items)
    if low > high:
        arguments.refuse("holes", "a whole number >= 1 or two of them [low, high], the smaller first", value)
    return low, high


def _grey_value(arguments: Arguments, value: Any) -> float:
    if isinstance(value, str):
        arguments.refuse("fill", f'a number or "{MEAN}"', value)
    return arguments.number("fill", value)


def _label_rule(arguments: Arguments, value: Any) -> str | int:
    if value in (KEEP, BACKGROUND):
        return str(value)
    if isinstance(value, str):
        arguments.refuse("label", f'"{KEEP}", "{BACKGROUND}" or a label id', value)
    return arguments.whole("label", value)
