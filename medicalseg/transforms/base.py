"""What every transform is: a callable that takes an image and its label and returns both."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from medicalseg.errors import DataError
from medicalseg.utils.seeding import rng

Step = tuple[np.ndarray, "np.ndarray | None", bool]


class Transform(ABC):
    """Maps an image and its label to a new image and label of the same kind; never changes its input.

    Called with an image `(X, Y, Z)` or `(C, X, Y, Z)` and a label `(X, Y, Z)` or None. A 3D image is one channel.
    Axes given to a constructor count the spatial axes, X = 0; the transforms named `...4D` count the axes of the
    4D image, so X = 1. The image becomes float32, the label keeps its integer type.

    Raises:
        DataError: if image and label are not arrays of these shapes and kinds.
    """

    def __call__(self, im: np.ndarray, label: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        return self.run(im, label)[:2]

    def run(self, im: np.ndarray, label: np.ndarray | None, owned: bool = False) -> Step:
        """Call the transform as one of several in a row, which need not copy what the one before has made.

        Args:
            im: image as for a call.
            label: label as for a call.
            owned: whether `im` may be overwritten.

        Returns:
            Image, label, and whether that image may be overwritten.
        """
        self._check(im, label)
        image = np.asarray(im, dtype=np.float32)
        image, label, owned = self.step(
            image if im.ndim == 4 else image[np.newaxis], label, owned or image.dtype != im.dtype
        )
        return (image if im.ndim == 4 else image[0]), label, owned

    @abstractmethod
    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Transform a float32 image `(C, X, Y, Z)` and its label `(X, Y, Z)`, with the same random parameters."""

    def step(self, image: np.ndarray, label: np.ndarray | None, owned: bool) -> Step:
        """`apply`, told whether `image` may be overwritten and telling whether the result may be."""
        new, label = self.apply(image, label)
        return new, label, owned or not np.may_share_memory(new, image)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in vars(self).items() if not key.startswith("_"))
        return f"{type(self).__name__}({arguments})"

    def _check(self, im: np.ndarray, label: np.ndarray | None) -> None:
        name = type(self).__name__
        if not isinstance(im, np.ndarray) or im.ndim not in (3, 4) or im.size == 0 or im.dtype.kind not in "buif":
            raise DataError(
                f"{name}: the image must be a non-empty numeric array (X, Y, Z) or (C, X, Y, Z), got {_describe(im)}"
            )
        if label is None:
            return
        if not isinstance(label, np.ndarray) or label.dtype.kind not in "bui":
            raise DataError(f"{name}: the label must be an array of integers, got {_describe(label)}")
        if label.shape != im.shape[-3:]:
            raise DataError(f"{name}: image {im.shape} and label {label.shape} have different grids")


class IntensityTransform(Transform):
    """A transform of grey values only: the label is returned as it is.

    Args:
        p_per_sample: probability that a sample is changed at all.
    """

    def __init__(self, p_per_sample: float) -> None:
        self.p_per_sample = p_per_sample

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        if not happens(self.p_per_sample):
            return image, label
        return self.change(image.copy()), label

    def step(self, image: np.ndarray, label: np.ndarray | None, owned: bool) -> Step:
        if not happens(self.p_per_sample):
            return image, label, owned
        return self.change(image if owned and image.flags.c_contiguous else image.copy()), label, True

    @abstractmethod
    def change(self, image: np.ndarray) -> np.ndarray:
        """Return the changed image `(C, X, Y, Z)`; `image` is a C-contiguous copy that may be overwritten."""


def happens(probability: float) -> bool:
    """True with the given probability: never for 0, always for 1."""
    return bool(rng().random() < probability)


def uniform(interval: tuple[float, float]) -> float:
    """A number drawn uniformly from `interval`."""
    return float(rng().uniform(*interval))


def choose(options: list | tuple):  # type: ignore[no-untyped-def, type-arg]
    """One of `options`, all equally likely."""
    return options[int(rng().integers(len(options)))]


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return type(value).__name__
