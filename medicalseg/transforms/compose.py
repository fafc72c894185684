"""The chain of transforms of a dataset, and the normalisation at its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError, DataError
from medicalseg.transforms.base import Step, Transform
from medicalseg.transforms.checks import Arguments
from medicalseg.transforms.pointwise import mean_and_deviation

NORMALIZATIONS = ("max", "zscore", "none")


@manager.TRANSFORMS.add_component
class Compose:
    """Load arrays, apply transforms in order, add the channel axis, normalise.

    The normalisation takes its numbers from the image as it was loaded, so that no crop, rotation or brightness
    change alters what the factor is:

    - `max`: divide by the maximum; an image without a positive value gets `zscore` (PaddleSeg3D's rule);
    - `zscore`: subtract the mean, divide by the standard deviation (by 1 for a constant image);
    - `none`: leave the values alone.

    Args:
        transforms: callables `(im, label) -> (im, label)`; may be empty.
        isnhwd: give a 3D image a channel axis in front; a 4D image has one already.
        use_std: True for `zscore` instead of `max`.
        normalize: `max`, `zscore` or `none`; overrides `use_std`.

    Raises:
        ConfigError: if an argument is wrong.
    """

    def __init__(
        self,
        transforms: Sequence[Callable[..., Any]] | None,
        isnhwd: bool = True,
        use_std: bool = False,
        normalize: str | None = None,
    ) -> None:
        arguments = Arguments(self)
        if transforms is not None and not isinstance(transforms, (list, tuple)):
            arguments.refuse("transforms", "a list", transforms)
        self.transforms = list(transforms or [])
        for transform in self.transforms:
            if not callable(transform):
                arguments.refuse("transforms", "a list of transforms (each with its own type)", transform)
        self.isnhwd = arguments.flag("isnhwd", isnhwd)
        self.use_std = arguments.flag("use_std", use_std)
        if normalize is not None and normalize not in NORMALIZATIONS:
            raise ConfigError(f"Compose: normalize must be one of {', '.join(NORMALIZATIONS)}, got {normalize!r}")
        self.normalize_name = normalize or ("zscore" if use_std else "max")

    def __call__(
        self,
        im: np.ndarray | str | os.PathLike[str],
        label: np.ndarray | str | os.PathLike[str] | None = None,
        normalization: tuple[float, float] | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Make one sample.

        Args:
            im: (X, Y, Z) or (C, X, Y, Z), or the path of an .npy file with such an array.
            label: (X, Y, Z) of whole numbers, or the path of an .npy file, or None.
            normalization: what `normalization` gave for the image that `im` is a part of; default: as for `im` itself.
                A part with a last axis of 1 is a slice, and stays one.

        Returns:
            Image, float32 (C, X, Y, Z) (or (X, Y, Z) without `isnhwd`), and label, int64 or None; both C-contiguous.

        Raises:
            DataError: if a file cannot be read, a label has fractions, an image has NaN or infinity, or the two do
                not fit; the message names the file.
        """
        image = _image(im)
        labels = None if label is None else _label(label)
        if labels is not None and labels.shape != image.shape[-3:]:
            raise DataError(
                f"{_name(im)}: image {image.shape} and label {labels.shape} ({_name(label)}) have different grids"
            )
        shift, factor = normalization or self.normalization(image)
        owned = not (isinstance(im, np.ndarray) and np.may_share_memory(image, im))
        for transform in self.transforms:
            flat = normalization is not None and image.shape[-1] == 1
            image, labels, owned = _run(transform, image, labels, owned)
            if flat and image.shape[-1] != 1:
                name = type(transform).__name__
                raise DataError(f"{name} gave a slice the shape {image.shape}; its last axis must stay 1")
        if self.isnhwd and image.ndim == 3:
            image = image[np.newaxis]
        finished = None if labels is None else np.array(labels, dtype=np.int64, order="C")
        return _normalized(image, shift, factor, owned), finished

    def __repr__(self) -> str:
        return f"Compose({self.transforms!r}, isnhwd={self.isnhwd}, normalize={self.normalize_name!r})"

    def normalization(self, image: np.ndarray) -> tuple[float, float]:
        """What is subtracted from an image (C, X, Y, Z), and what it is then divided by."""
        if self.normalize_name == "none":
            return 0.0, 1.0
        maximum = float(image.max())
        if self.normalize_name == "max" and maximum > 0:
            return 0.0, maximum
        mean, deviation = mean_and_deviation(image)
        return mean, deviation if deviation > 0 else 1.0


def _run(transform: Any, image: np.ndarray, label: np.ndarray | None, owned: bool) -> Step:
    """One transform; any callable may stand in the list, and what it returns may be its own."""
    if isinstance(transform, Transform) and type(transform).__call__ is Transform.__call__:
        return transform.run(image, label, owned)
    result = transform(image, label)
    return result[0], result[1] if len(result) > 1 else label, False


def _normalized(image: np.ndarray, shift: float, factor: float, owned: bool) -> np.ndarray:
    usable = owned and image.dtype == np.float32 and image.flags.c_contiguous
    result = image if usable else np.array(image, dtype=np.float32, order="C")
    if shift:
        result -= np.float32(shift)
    if factor != 1:
        result /= np.float32(factor)
    return result


def _image(source: Any) -> np.ndarray:
    array = _load(source)
    if array.ndim not in (3, 4) or array.size == 0 or array.dtype.kind not in "buif":
        raise DataError(
            f"{_name(source)}: an image must be a non-empty numeric array (X, Y, Z) or (C, X, Y, Z), "
            f"got {array.dtype} {array.shape}"
        )
    image = array.astype(np.float32, copy=False)
    if not np.isfinite(image).all():
        raise DataError(f"{_name(source)}: the image has NaN, infinite or too large values; prepare the data again")
    return image


def _label(source: Any) -> np.ndarray:
    array = _load(source)
    if array.ndim != 3 or array.dtype.kind not in "buif":
        raise DataError(f"{_name(source)}: a label must be an array (X, Y, Z) of ids, got {array.dtype} {array.shape}")
    if array.dtype.kind != "f":
        return array
    if not np.array_equal(array, np.rint(array)):
        raise DataError(f"{_name(source)}: the label has values that are not whole numbers; it may be interpolated")
    return array.astype(np.int32)


def _load(source: Any) -> np.ndarray:
    if isinstance(source, np.ndarray):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise DataError(f"Expected an array or the path of an .npy file, got {type(source).__name__}")
    try:
        array = np.load(source, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{_name(source)}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{_name(source)}: not a readable .npy array ({_first_line(error)})") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{_name(source)}: an .npz archive; expected one .npy array")
    return array


def _name(source: Any) -> str:
    return "array" if isinstance(source, np.ndarray) else os.fspath(source)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
