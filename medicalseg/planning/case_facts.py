"""What one case tells a plan: its grid, its boxes, its intensities, its structures."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from medicalseg.datasets.case import Case
from medicalseg.datasets.case_reader import CaseReader
from medicalseg.errors import DataError, naming_file
from medicalseg.inference.content import body_bounds, bounds_of, union
from medicalseg.inference.label_map import LabelMap
from medicalseg.io import Volume, read_label, reorient

ORIENTATION = "RAS"
SAMPLES = 10_000
CROPS = ("nonzero", "body")
BRIGHT_PERCENTILE = 99.5
LOOKED_AT = 1 << 20
TOUCHING = np.ones((3, 3, 3), dtype=bool)
Box = tuple[slice, ...]


@dataclass(frozen=True)
class CaseFacts:
    """One case in orientation RAS.

    Attributes:
        case: its name.
        axcodes: orientation as stored.
        shape: voxels per axis.
        spacing: mm per axis.
        boxes: voxels per axis of the box that `crop` "nonzero" and "body" would leave.
        labels_inside: whether all labels lie in that box.
        channels: per channel "least", "low" (percentile 0.5), "high" (99.5), "whole" (all values are whole numbers);
            of the foreground "mean", "std", "median", "p0.5", "p99.5".
        voxels: per class id.
        components: connected parts per class id, corners touching.
        centres: centre of mass in mm from the first voxel, per class id.
    """

    case: str
    axcodes: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    boxes: dict[str, tuple[int, ...]]
    labels_inside: dict[str, bool]
    channels: tuple[dict[str, Any], ...]
    voxels: dict[int, int]
    components: dict[int, int]
    centres: dict[int, tuple[float, ...]]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> CaseFacts:
        """Inverse of `to_dict`, also after JSON made texts of the ids."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        for key in ("voxels", "components", "centres"):
            values[key] = {int(label): item for label, item in values[key].items()}
        for key in ("centres", "boxes"):
            values[key] = {label: tuple(item) for label, item in values[key].items()}
        return cls(**values)


def measure(
    reader: CaseReader, label_map: LabelMap | None, ignore_index: int | None, case: Case
) -> tuple[CaseFacts, np.ndarray]:
    """The facts of a case, and values of foreground voxels drawn from it.

    Args:
        reader: which channels, how files are read.
        label_map: what stored labels mean; None = ids.
        ignore_index: id that is no class.
        case: with a label.

    Returns:
        The facts and float32 values (C, n), n up to 10 000; 0 where there is no foreground.

    Raises:
        DataError: if image and label do not fit together.
    """
    stored = reader.volume(case)
    image = reorient(stored, ORIENTATION)
    if case.label is None:
        raise DataError(f"case {case.name}: has no label")
    label = read_label(case.label)
    if label.shape != stored.shape:
        raise DataError(f"case {case.name}: label has the shape {label.shape}, the image {stored.shape}")
    ids = reorient(label, ORIENTATION).array
    with naming_file(case.label):
        classes = dict(_classes(ids, label_map, ignore_index))
    foreground = np.zeros(ids.shape, dtype=bool)
    for mask, place in classes.values():
        foreground[place] |= mask
    boxes = {name: _box(image, name) for name in CROPS}
    samples = _samples(image.array, foreground, zlib.crc32(case.name.encode()))
    facts = CaseFacts(
        case=case.name,
        axcodes=stored.axcodes,
        shape=tuple(int(size) for size in image.shape),
        spacing=tuple(float(f"{value:.6g}") for value in image.spacing),
        boxes={name: tuple(part.stop - part.start for part in box) for name, box in boxes.items()},
        labels_inside={name: bool(foreground[box].sum() == foreground.sum()) for name, box in boxes.items()},
        channels=tuple(_intensities(*pair) for pair in zip(image.array, samples, strict=True)),
        voxels={label: int(mask.sum()) for label, (mask, _) in classes.items()},
        components={label: int(ndimage.label(mask, TOUCHING)[1]) for label, (mask, _) in classes.items()},
        centres={label: _centre(mask, place, image) for label, (mask, place) in classes.items()},
    )
    return facts, samples


def _box(image: Volume, crop: str) -> Box:
    """What a crop leaves of an image (C, X, Y, Z), as the preprocessing does it."""
    if crop == "body":
        bounds = union([body_bounds(channel, image.spacing) for channel in image.array])
    else:
        bounds = union([bounds_of(channel) for channel in image.array])
    return tuple(slice(first, last) for first, last in bounds)


def _classes(
    ids: np.ndarray, label_map: LabelMap | None, ignore_index: int | None
) -> Iterator[tuple[int, tuple[np.ndarray, Box]]]:
    """Every class that occurs: its id, and its mask in its box."""
    if label_map is not None:
        ids = label_map.labels(ids, 255 if ignore_index is None else ignore_index)
    if label_map is not None and label_map.regions:
        for number in range(label_map.num_classes):
            mask = (ids >= 0) & (ids >> number & 1 == 1)
            place = next(iter(ndimage.find_objects(mask.astype(np.uint8))), None)
            if place is not None:
                yield number + 1, (mask[place], place)
        return
    for number, place in enumerate(ndimage.find_objects(ids), start=1):
        if place is not None and number != ignore_index:
            yield number, (ids[place] == number, place)


def _samples(image: np.ndarray, foreground: np.ndarray, seed: int) -> np.ndarray:
    places = np.flatnonzero(foreground)
    if len(places) > SAMPLES:
        places = np.sort(np.random.default_rng(seed).choice(places, SAMPLES, replace=False))
    return np.stack([np.ascontiguousarray(channel).ravel()[places] for channel in image]).astype(np.float32)


def _intensities(channel: np.ndarray, samples: np.ndarray) -> dict[str, Any]:
    flat = channel.ravel(order="K")
    values = flat[:: max(1, flat.size // LOOKED_AT)].astype(np.float64)
    low, high = np.percentile(values, [100 - BRIGHT_PERCENTILE, BRIGHT_PERCENTILE])
    facts: dict[str, Any] = {
        "least": _number(values.min()),
        "low": _number(low),
        "high": _number(high),
        "whole": bool((values == np.rint(values)).all()),
    }
    return facts | (spread(samples) if samples.size else {})


def spread(values: np.ndarray) -> dict[str, float]:
    """Mean, deviation, median and outer percentiles of values."""
    low, median, high = np.percentile(values, [0.5, 50, 99.5])
    numbers = {"mean": values.mean(dtype=np.float64), "std": values.std(dtype=np.float64)}
    numbers |= {"median": median, "p0.5": low, "p99.5": high}
    return {name: _number(value) for name, value in numbers.items()}


def _centre(mask: np.ndarray, place: Box, image: Volume) -> tuple[float, ...]:
    centre = ndimage.center_of_mass(mask)
    starts = [part.start for part in place]
    return tuple(_number((c + s) * mm) for c, s, mm in zip(centre, starts, image.spacing, strict=True))


def _number(value: Any) -> float:
    return float(f"{float(value):.7g}")
