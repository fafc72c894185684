"""Everything that can be said about one case by itself."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.case import Case
from medicalseg.datasets.verify.finding import ERROR, WARNING, Finding, one_line
from medicalseg.io import Volume, is_picture, read_label, read_volume
from medicalseg.utils.logger import logger
from medicalseg.utils.words import few

SPACING_TOLERANCE = 1e-3
DIRECTION_TOLERANCE = 1e-3
ORIGIN_TOLERANCE = 0.05
LABEL_TOLERANCE = 1e-4
SAMPLES = 1 << 20
LABEL_REMEDY = "resample the label to the image's grid, or set check_geometry: False if only its header is wrong"
CHANNEL_REMEDY = "resample the channels to one grid, or copy the first one's header if only the header is wrong"
SHAPE_REMEDY = "they are of different scans, or one of them was resampled or cropped: bring both to one grid"


@dataclass(frozen=True)
class Rules:
    """What labels may hold.

    Attributes:
        ids: allowed ids; empty = any.
        ignore_index: id that is no class.
        also_ignored: further ids that are no class.
        headers: whether a label's own header counts; else it is only told where it differs.
    """

    ids: frozenset[int] = frozenset()
    ignore_index: int | None = 255
    also_ignored: tuple[int, ...] = ()
    headers: bool = True

    @property
    def ignored(self) -> tuple[int | None, ...]:
        """All ids that are no class."""
        return (self.ignore_index, *self.also_ignored)


@dataclass
class Facts:
    """What one case holds; small enough to travel between processes.

    Attributes:
        case: case name.
        images: per file: shape, spacing, axis codes, number type, intensity statistics, content hash.
        label_hash: content hash of the label; "" if there is none or it holds background only.
        voxels: voxels per label id.
        findings: what is wrong.
    """

    case: str
    images: list[dict[str, Any]] = field(default_factory=list)
    label_hash: str = ""
    voxels: dict[int, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, kind: str, message: str, severity: str = ERROR) -> None:
        """Note a finding."""
        self.findings.append(Finding(severity, kind, self.case, one_line(message)))


def inspect_case(rules: Rules, case: Case) -> Facts:
    """Read a case and check it; never raises for a bad file."""
    facts = Facts(case.name)
    images = [read_quietly(path, facts, channels=True) for path in case.images]
    for path, image in zip(case.images, images, strict=True):
        if image is not None:
            facts.images.append(describe_image(path, image, facts))
    first = images[0]
    for path, image in zip(case.images[1:], images[1:], strict=True):
        if first is not None and image is not None:
            _compare(facts, first, image, f"channel {path.name}", "the first channel", CHANNEL_REMEDY)
    if case.label is None:
        return facts
    label = read_quietly(case.label, facts, label=True)
    if label is not None:
        if first is not None:
            _compare(facts, first, label, f"label {case.label.name}", "the image", LABEL_REMEDY, rules.headers)
        _check_label(case.label, label, rules, facts)
    return facts


def read_quietly(path: Path, facts: Facts, *, channels: bool = False, label: bool = False) -> Volume | None:
    """A volume, or None and a finding; what its reader warns of becomes findings too."""
    with _collected_warnings() as warnings:
        try:
            pictured = label and is_picture(path)
            volume = read_label(path) if pictured else read_volume(path, channels=channels, nonfinite="keep")
        except Exception as error:  # noqa: BLE001 - whatever a reader says about a bad file is a finding
            facts.add("unreadable", named(path, error))
            return None
    for warning in warnings if path.suffix != ".npy" else ():
        facts.add("header", named(path, warning), WARNING)
    return volume


def named(path: Path, message: object) -> str:
    """A message on one line that has the file's name in it, not the whole path."""
    text = one_line(message).replace(str(path), path.name)
    return text if path.name in text else f"{path.name}: {text}"


def describe_image(path: Path, image: Volume, facts: Facts) -> dict[str, Any]:
    """Grid, hash and intensities of an image; notes what is wrong with them."""
    array = image.array
    description: dict[str, Any] = {
        "file": path.name,
        "shape": list(image.shape),
        "channels": image.channels,
        "dtype": str(array.dtype),
        "spacing": [round(value, 6) for value in image.spacing],
        "axcodes": image.axcodes,
        "hash": array_hash(array),
    }
    finite = np.isfinite(array)
    if not finite.all():
        facts.add("nan_inf", f"{path.name}: {array.size - int(np.count_nonzero(finite))} voxels are NaN or Inf")
        array = array[finite]
    if array.size == 0:
        return description
    low, high = float(array.min()), float(array.max())
    if low == high:
        facts.add("constant_image", f"{path.name}: every voxel is {low:g}")
    sample = array.ravel(order="K")[:: max(1, array.size // SAMPLES)].astype(np.float64)
    p1, median, p99 = np.percentile(sample, [1, 50, 99])
    numbers = {"min": low, "max": high, "mean": sample.mean(), "std": sample.std()}
    numbers |= {"p1": p1, "median": median, "p99": p99}
    return description | {name: float(value) for name, value in numbers.items()}


def array_hash(array: np.ndarray) -> str:
    """Hash of shape and values, whatever number type and memory order they are stored in."""
    digest = hashlib.sha256(str(array.shape).encode())
    digest.update(np.ascontiguousarray(array.T, dtype=np.float32).data)
    return digest.hexdigest()


def _compare(
    facts: Facts, image: Volume, other: Volume, what: str, reference: str, remedy: str, headers: bool = True
) -> None:
    """Note the first of: shape, axis order or flip, spacing, direction, origin."""
    difference = _difference(image, other, what, reference)
    if difference is None:
        return
    kind, message = difference
    if kind == "shape_mismatch":
        facts.add(kind, f"{message}; {SHAPE_REMEDY}")
    elif headers:
        facts.add(kind, f"{message}; {remedy}")
    else:
        facts.add(kind, f"{message}; check_geometry: False takes it as if it lay there", WARNING)


def _difference(image: Volume, other: Volume, what: str, reference: str) -> tuple[str, str] | None:
    """Kind and message of the first difference of a grid from that of the image."""
    if image.shape != other.shape:
        return "shape_mismatch", f"{what} has the shape {other.shape}, {reference} {image.shape}"
    if image.axcodes != other.axcodes:
        return "flip_mismatch", f"{what} is stored as {other.axcodes}, {reference} as {image.axcodes}"
    if not np.allclose(image.spacing, other.spacing, rtol=SPACING_TOLERANCE):
        return "spacing_mismatch", f"{what} has the spacing {_mm(other.spacing)}, {reference} {_mm(image.spacing)}"
    if not np.allclose(image.direction, other.direction, atol=DIRECTION_TOLERANCE):
        turn = float(np.abs(image.direction - other.direction).max())
        return "direction_mismatch", f"{what} has axes turned against {reference}'s: cosines differ by {turn:.3g}"
    distance = float(np.linalg.norm(np.subtract(image.origin, other.origin)))
    if distance > ORIGIN_TOLERANCE * min(image.spacing):
        places = f"its origin is {_mm(other.origin)}, {reference}'s {_mm(image.origin)}"
        return "origin_mismatch", f"{what} lies {distance:.3g} mm away from {reference}: {places}"
    return None


def _check_label(path: Path, label: Volume, rules: Rules, facts: Facts) -> None:
    values, counts = np.unique(label.array, return_counts=True)
    whole = np.rint(values)
    fractional = ~(np.abs(values - whole) <= LABEL_TOLERANCE)
    if fractional.any():
        facts.add(
            "label_fractional",
            f"{path.name}: values that are no ids: {few(f'{value:g}' for value in values[fractional])}",
        )
        return
    check_ids(path.name, whole.astype(np.int64), counts, rules, facts)
    if any(value not in (0, *rules.ignored) for value in facts.voxels):
        facts.label_hash = array_hash(label.array)
    else:
        facts.add("empty_label", f"{path.name}: background only", WARNING)


def check_ids(name: str, ids: np.ndarray, counts: np.ndarray, rules: Rules, facts: Facts) -> None:
    """Count the voxels of each id of a label and note ids that no class has."""
    for value, count in zip(ids, counts, strict=True):
        facts.voxels[int(value)] = facts.voxels.get(int(value), 0) + int(count)
    negative = [value for value in facts.voxels if value < 0 and value not in rules.ignored]
    if negative:
        facts.add("label_negative", f"{name}: negative ids: {few(negative)}")
    unknown = [value for value in facts.voxels if value >= 0 and rules.ids and value not in rules.ids]
    unknown = [value for value in unknown if value not in rules.ignored]
    if unknown:
        count = sum(facts.voxels[value] for value in unknown)
        facts.add("label_out_of_range", f"{name}: no class has the id {few(unknown)} ({count} voxels)")


@contextlib.contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Readers' log warnings as a list, kept off the terminal."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    handlers, propagate = logger.handlers[:], logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield lines
    finally:
        logger.handlers, logger.propagate = handlers, propagate


def _mm(values: Any) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ") mm"


def allowed_ids(labels: Mapping[int, str], num_classes: int | None) -> frozenset[int]:
    """Ids that are classes: 0 to `num_classes` - 1 if given, else the declared ones."""
    return frozenset(range(num_classes)) if num_classes else frozenset(labels)
