"""Connected components of binary masks: clean-up of predictions."""

from __future__ import annotations

import numpy as np
import scipy.ndimage

from medicalseg.cvlibs import manager
from medicalseg.errors import DataError
from medicalseg.transforms.base import Transform
from medicalseg.transforms.checks import Arguments


class _MaskTransform(Transform):
    """Takes a mask instead of an image, and keeps its type."""

    def __call__(self, im: np.ndarray, label: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        self._check(im, label)
        return self.apply(im, label)


@manager.TRANSFORMS.add_component
class BinaryMaskToConnectComponent(_MaskTransform):
    """Number the face-connected components of a binary mask 1, 2, ... from the largest to the smallest.

    Called with a mask `(X, Y, Z)` with at most one value other than 0, and a label of the same kind or None.

    Args:
        minimum_volume: components of fewer voxels become background.

    Raises:
        DataError: if a mask has more than one value other than 0.
    """

    def __init__(self, minimum_volume: int = 0) -> None:
        self.minimum_volume = Arguments(self).whole("minimum_volume", minimum_volume, 0)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        numbered = connected_components(image, self.minimum_volume)
        return numbered, None if label is None else connected_components(label, self.minimum_volume)


@manager.TRANSFORMS.add_component
class TopkLargestConnectComponent(_MaskTransform):
    """Keep the k largest face-connected components of a binary mask, numbered 1 ... k; the label is left alone.

    Args:
        k: how many components to keep, >= 1.

    Raises:
        DataError: if the mask has more than one value other than 0.
    """

    def __init__(self, k: int = 1) -> None:
        self.k = Arguments(self).whole("k", k, 1)

    def apply(self, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        numbered = connected_components(image)
        numbered[numbered > self.k] = 0
        return numbered, label


def connected_components(mask: np.ndarray, minimum_volume: int = 0) -> np.ndarray:
    """Face-connected components of a binary mask, numbered from the largest (1); ties in storage order.

    Args:
        mask: any shape; at most one value other than 0.
        minimum_volume: components of fewer voxels become 0.

    Returns:
        Array of the mask's type, or int32 where that type cannot hold the numbers.

    Raises:
        DataError: if there is more than one value other than 0.
    """
    foreground = mask != 0
    values = np.unique(mask[foreground])
    if values.size > 1:
        shown = ", ".join(f"{value:g}" for value in values[:5]) + (", ..." if values.size > 5 else "")
        raise DataError(f"Connected components need a mask with one value beside 0, got {shown}; split the classes")
    numbered, count = scipy.ndimage.label(foreground)
    volumes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-volumes, kind="stable")
    rank = np.zeros(count + 1, dtype=np.int32)
    rank[order + 1] = np.arange(1, count + 1)
    rank[1:][volumes < minimum_volume] = 0
    return rank[numbered].astype(_kind_for(mask.dtype, count), copy=False)


def _kind_for(dtype: np.dtype, count: int) -> np.dtype:
    fits = dtype.kind == "f" or (dtype.kind in "ui" and count <= np.iinfo(dtype).max)
    return dtype if fits else np.dtype(np.int32)
