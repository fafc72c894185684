"""From a volume as stored to a network's input, and from its labels back to the original grid.

One `Preprocessing` travels from the dataset over the checkpoint to the deployed model, so training, evaluation and
deployment see the same numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from medicalseg.errors import ConfigError, VolumeError
from medicalseg.inference.colour import COLOURS, channels_after, convert
from medicalseg.inference.content import Bounds, body_bounds, bounds_of, union
from medicalseg.inference.grid import (
    AxisMap,
    GridRecord,
    Triple,
    centre_aligned,
    corner_aligned,
    orient,
    orientation_change,
    oriented_bounds,
)
from medicalseg.inference.intensity import check_step, nearest, prepare, standardize
from medicalseg.inference.interpolate import resize
from medicalseg.inference.preprocess_checks import (
    check_channels,
    check_choice,
    check_order,
    check_orientation,
    check_triple,
)
from medicalseg.inference.restore import codes_to_original, labels_to_original
from medicalseg.io import Volume

__all__ = ["GridRecord", "Preprocessing", "normalize_image"]

CROPS = ("none", "nonzero", "body")
FITS = ("resize", "pad")
NORMALIZATIONS = ("none", "max", "zscore")


@dataclass(frozen=True)
class Preprocessing:
    """Deterministic steps from a stored volume to the array a network sees, in the order of the attributes.

    Attributes:
        channels: which channels of an image are used, by number, in this order; None = all.
        colour: "keep"; "grey" makes one channel of a colour picture's three; "rgb" three of a single one.
        orientation: axis codes ("RAS") that the array is brought to; None = as stored.
        crop: the box of the image that is used, of all channels together: "none" all of it; "nonzero" around the voxels
            that are not 0; "body" around the body (see `medicalseg.inference.content`) and 5 mm more. What lies
            outside is background.
        intensity: steps on float32, per channel that is used: {type: window, low, high, out_low: 0, out_high: 1, nan:
            value?} (linear, clipped), {type: standardize, low, high, mean, std} (clipped, minus mean, by std),
            {type: zscore, mask: all|nonzero|body}, {type: percentile, low: 0.5, high: 99.5}, {type: minmax}; each with
            `channels: [...]` for some channels only. Numbers of an image are those of its crop, the body's always
            of the whole.
        spacing: voxel size in mm to resample to; the field of view stays.
        size: then the grid to bring the image to; an axis with None keeps its voxels, as [None, 224, 224] for slices
            of one size and volumes of any number of them.
        fit: "resize" interpolates as `scipy.ndimage.zoom(mode="nearest")` does, corners aligned; "pad" pads with 0 on
            both sides to at least `size`.
        divisor: pad with 0 at the end until each axis is a multiple.
        image_order: spline order of image interpolation, or one per axis, as [3, 3, 0] for thick slices; labels take
            the nearest voxel.
        normalize: last step over the whole array: "max" divides by the maximum if that is > 0, else z-scores
            (PaddleSeg's Compose); "zscore"; "none".

    Raises:
        ConfigError: if a value is wrong; names the field.
    """

    orientation: str | None = None
    intensity: tuple[dict[str, Any], ...] = ()
    spacing: tuple[float, float, float] | None = None
    size: tuple[int | None, int | None, int | None] | None = None
    fit: str = "resize"
    divisor: Triple | None = None
    image_order: int | Triple = 1
    normalize: str = "none"
    colour: str = "keep"
    crop: str = "none"
    channels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        steps = self.intensity
        if not isinstance(steps, Sequence) or isinstance(steps, str):
            raise ConfigError(f"preprocessing.intensity: expected a list of steps, got {steps!r}")
        checked = tuple(check_step(step, f"preprocessing.intensity[{index}]") for index, step in enumerate(steps))
        object.__setattr__(self, "intensity", checked)
        object.__setattr__(self, "orientation", check_orientation(self.orientation))
        for name, kind in (("spacing", float), ("size", int), ("divisor", int)):
            object.__setattr__(
                self, name, check_triple(getattr(self, name), kind, f"preprocessing.{name}", name == "size")
            )
        check_choice(self.fit, FITS, "preprocessing.fit")
        check_choice(self.normalize, NORMALIZATIONS, "preprocessing.normalize")
        check_choice(self.colour, COLOURS, "preprocessing.colour")
        check_choice(self.crop, CROPS, "preprocessing.crop")
        object.__setattr__(self, "image_order", check_order(self.image_order))
        object.__setattr__(self, "channels", check_channels(self.channels))

    def apply(self, volume: Volume) -> tuple[np.ndarray, GridRecord]:
        """The network's input for a volume.

        Args:
            volume: (X, Y, Z) or (C, X, Y, Z), any number type.

        Returns:
            float32 array (C, X, Y, Z) and the record that `restore` needs.

        Raises:
            VolumeError: if a channel that is used does not exist, or NaN or Inf remain.
        """
        volume = self.selected(volume)
        stored = convert(np.asarray(volume.array), self.colour)
        stages, record = self._plan(volume, self._bounds(volume))
        first = self._channel(stored[0], 0, record, stages)
        image = first[None]
        if len(stored) > 1:
            image = np.empty((len(stored), *first.shape), np.float32)
            image[0] = first
            for index, channel in enumerate(stored[1:], start=1):
                image[index] = self._channel(channel, index, record, stages)
        image = normalize_image(_pad(image, record), self.normalize)
        if not _is_finite(image):
            name = volume.path or "volume"
            raise VolumeError(
                f"{name}: NaN or Inf in the image; give the window step of 'intensity' a 'nan' value or repair the file"
            )
        return _own(image, volume, np.float32), record

    def _channel(
        self, stored: np.ndarray, number: int, record: GridRecord, stages: Sequence[Sequence[AxisMap]]
    ) -> np.ndarray:
        array = _cropped(stored, record)
        convert = prepare(array, self.intensity, stored, number)
        unchanged = [AxisMap(size, size, 1.0, 0.0) for size in array.shape]
        for index, maps in enumerate(stages or [unchanged]):
            array = resize(array, maps, self.image_order, convert if index == 0 else None)
        return array

    def _bounds(self, volume: Volume) -> Bounds | None:
        """The crop of a volume with the channels that are used, on the oriented grid; None without one."""
        if self.crop == "none":
            return None
        array = np.asarray(volume.array)
        channels = array if array.ndim == 4 else array[None]
        change = orientation_change(volume.affine, self.orientation)
        if self.crop == "nonzero":
            boxes = [bounds_of(channel) for channel in channels if channel.any()] or [bounds_of(channels[0])]
        else:
            boxes = [body_bounds(channel, volume.spacing) for channel in channels]
        return oriented_bounds(union(boxes), volume.shape, change)

    def selected(self, volume: Volume) -> Volume:
        """The volume with the channels that are used.

        Raises:
            VolumeError: if one does not exist.
        """
        if self.channels is None:
            return volume
        missing = [channel for channel in self.channels if channel >= volume.channels]
        if missing:
            where = volume.path or "the volume"
            raise VolumeError(f"{where}: channels {missing} do not exist; the image has {volume.channels}")
        array = volume.array if volume.array.ndim == 4 else volume.array[None]
        return volume.with_array(array[list(self.channels)])

    def channels_of(self, channels: int) -> int:
        """Channels of the network's input for an image of `channels`."""
        return channels_after(channels if self.channels is None else len(self.channels), self.colour)

    def apply_label(
        self, volume: Volume, record: GridRecord | None = None, kind: type[np.integer] = np.int32
    ) -> np.ndarray:
        """The label map on the network's grid, by nearest neighbour.

        Args:
            volume: (X, Y, Z) integers.
            record: what `apply` gave with the image; its crop is the label's. Needed where there is a crop.
            kind: of the result.

        Returns:
            Array (X, Y, Z) of the type `kind`.

        Raises:
            ConfigError: if there is a crop and no record.
        """
        if record is None and self.crop != "none":
            raise ConfigError("preprocessing.crop: a label is cropped as its image was; give the image's record too")
        bounds = None if record is None else [(part.start, part.stop) for part in record.box]
        stages, record = self._plan(volume, bounds)
        labels = _cropped(np.asarray(volume.array), record)
        for maps in stages:
            labels = resize(labels, maps, 0)
        return _own(_pad(labels, record), volume, kind)

    def grid(self, volume: Volume) -> GridRecord:
        """The record `apply` gives; looks at voxels only where there is a crop."""
        return self._plan(volume, None if self.crop == "none" else self._bounds(self.selected(volume)))[1]

    def restore(self, labels: np.ndarray, record: GridRecord, structures: int | None = None) -> Volume:
        """Bring a predicted label map back to the original grid and orientation.

        Args:
            labels: (X, Y, Z) non-negative integers on the network's grid.
            record: what `apply` gave with the image.
            structures: the labels are codes of so many structures that may overlap; None = they are ids.

        Returns:
            Label volume of the smallest fitting unsigned type (int32 above 65535) on the original affine.

        Raises:
            DataError: if the labels do not belong to the record.
        """
        if structures is None:
            array = labels_to_original(np.asarray(labels), record)
        else:
            array = codes_to_original(np.asarray(labels), record, structures)
        return Volume(array, np.array(record.affine), meta={"labels": True})

    @property
    def nonfinite(self) -> Literal["keep", "refuse"]:
        """What `read_volume` should do about NaN: kept where a window step replaces it."""
        return "keep" if any(step.get("nan") is not None for step in self.intensity) else "refuse"

    def without_normalization(self) -> Preprocessing:
        """The same without the last step: what a dataset stores, since augmentation comes before that step."""
        return dataclasses.replace(self, normalize="none")

    def to_dict(self) -> dict[str, Any]:
        """JSON- and YAML-able form."""
        content: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            content[field.name] = list(value) if isinstance(value, tuple) else value
        content["intensity"] = [dict(step) for step in self.intensity]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any] | None) -> Preprocessing:
        """Inverse of `to_dict`; missing keys take their defaults, None gives all defaults.

        Raises:
            ConfigError: if a key is unknown or a value is wrong.
        """
        if content is None:
            return cls()
        if not isinstance(content, Mapping):
            raise ConfigError(f"preprocessing: expected a dict, got {content!r}")
        names = [field.name for field in fields(cls)]
        for key in content:
            if key not in names:
                raise ConfigError(f"preprocessing.{key}: unknown key; allowed: {names}{nearest(key, names)}")
        return cls(**content)

    def _plan(self, volume: Volume, bounds: Bounds | None) -> tuple[list[list[AxisMap]], GridRecord]:
        axes = [int(axis) for axis in orientation_change(volume.affine, self.orientation)[:, 0]]
        whole = [(0, volume.shape[axes.index(axis)]) for axis in range(3)]
        bounds = whole if bounds is None else bounds
        shape = [last - first for first, last in bounds]
        spacing = [volume.spacing[axes.index(axis)] for axis in range(3)]
        stages = []
        if self.spacing is not None:
            stages.append([centre_aligned(*axis) for axis in zip(shape, spacing, self.spacing, strict=True)])
        if self.size is not None and self.fit == "resize":
            sizes = [axis.size_out for axis in stages[-1]] if stages else shape
            stages.append([corner_aligned(n, wanted or n) for n, wanted in zip(sizes, self.size, strict=True)])
        return stages, self._record(volume, bounds, stages, cropped=self.crop != "none")

    def _record(self, volume: Volume, bounds: Bounds, stages: Sequence[Sequence[AxisMap]], cropped: bool) -> GridRecord:
        start, stop, network, scale, offset = [], [], [], [], []
        for axis in range(3):
            factor, shift = 1.0, 0.0
            for maps in stages:
                step, origin = maps[axis].inverse()
                factor, shift = factor * step, shift * step + origin
            first, last = bounds[axis]
            size = stages[-1][axis].size_out if stages else last - first
            wanted = size if self.size is None else max(size, self.size[axis] or 0)
            before = (wanted - size) // 2
            multiple = self.divisor[axis] if self.divisor is not None else 1
            start.append(before)
            stop.append(before + size)
            network.append(math.ceil(wanted / multiple) * multiple)
            scale.append(factor)
            offset.append(shift + before - factor * first)
        return GridRecord(
            shape=_as_triple(volume.shape),
            affine=tuple(tuple(float(value) for value in row) for row in volume.affine),
            orientation=self.orientation,
            scale=_as_triple(scale),
            offset=_as_triple(offset),
            start=_as_triple(start),
            stop=_as_triple(stop),
            network_shape=_as_triple(network),
            crop_start=_as_triple([first for first, _ in bounds]) if cropped else None,
            crop_stop=_as_triple([last for _, last in bounds]) if cropped else None,
        )


def normalize_image(image: np.ndarray, how: str) -> np.ndarray:
    """Divide by the maximum, z-score, or leave; see `Preprocessing.normalize`."""
    if how == "none":
        return image
    highest = float(image.max())
    if how == "max" and highest > 0:
        return image / np.float32(highest)
    return standardize(image)


def _is_finite(image: np.ndarray) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(image.sum()) or np.isfinite(image).all())


def _cropped(array: np.ndarray, record: GridRecord) -> np.ndarray:
    """The oriented array inside the record's box (a view)."""
    return orient(array, orientation_change(record.affine, record.orientation))[record.box]


def _pad(array: np.ndarray, record: GridRecord) -> np.ndarray:
    if array.shape[-3:] == record.network_shape:
        return array
    grid = zip(record.start, record.stop, record.network_shape, strict=True)
    widths = [(start, size - stop) for start, stop, size in grid]
    return np.pad(array, [(0, 0)] * (array.ndim - 3) + widths)


def _own(array: np.ndarray, volume: Volume, kind: type) -> np.ndarray:
    """Contiguous and free of the volume's memory, so that changing the result leaves the volume as it is."""
    array = np.ascontiguousarray(array, dtype=kind)
    return array.copy() if np.may_share_memory(array, volume.array) else array


def _as_triple(values: Sequence[Any]) -> Any:
    return (values[0], values[1], values[2])
