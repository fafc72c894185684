"""All measures beside Dice of one case: every class cut out with its bounding box, then measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import find_objects

from medicalseg.errors import DataError, UserError
from medicalseg.metrics.detection import DetectionRule, detect
from medicalseg.metrics.measures import DEFAULT, MORE_MEASURES, WANTED, check_wanted, measures_of
from medicalseg.metrics.surface import (
    average_surface_distance,
    hausdorff_distance,
    normalized_surface_dice,
    surface_distances,
)

if TYPE_CHECKING:
    from medicalseg.inference.task import TaskSpec

SURFACE = ("nsd", "hd", "hd95", "assd")
BACKGROUND = 0


@dataclass(frozen=True)
class MeasureOptions:
    """What is measured and how.

    Attributes:
        wanted: words of `WANTED`; Dice, IoU, precision and recall are always made.
        tolerance_mm: of the normalised surface Dice.
        detection: when a part counts as found.

    Raises:
        UserError: if a value is wrong.
    """

    wanted: tuple[str, ...] = DEFAULT
    tolerance_mm: float = 1.0
    detection: DetectionRule = field(default_factory=DetectionRule)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wanted", check_wanted(self.wanted))
        if not 0 <= self.tolerance_mm < float("inf"):
            raise UserError(f"tolerance_mm: expected a distance in mm from 0 on, got {self.tolerance_mm!r}")

    def rules(self) -> dict[str, str]:
        """What a reader must know of the measures, and of classes that are absent, by measure."""
        rules = {
            "absent classes": "a class in neither mask of a case is n/a there and left out of means; a class in only "
            "one of them has Dice, IoU, precision, recall, NSD and detection 0, and no surface distance (n/a): "
            "distances are means over the k cases that have both, so read them beside NSD and k; a class in no "
            "reference of the set is left out",
            "dice": "2 TP / (2 TP + FP + FN) of voxels",
        }
        surface = [word for word in SURFACE if word in self.wanted]
        if surface:
            rules["surface"] = (
                "elements between voxels, weighted by their marching-cubes area in mm² (voxel sides taken into "
                "account); the edge of the image counts as surface"
            )
        texts = {
            "nsd": f"normalised surface Dice: share of both surfaces within {self.tolerance_mm:g} mm of the other",
            "hd": "Hausdorff distance: largest surface distance",
            "hd95": "larger of both directions' distance within which 95 % of the surface lies",
            "assd": "mean surface distance over both surfaces together",
            "volume": "prediction minus reference, so above 0 is too much; |…| without its sign; in % of the reference",
            "detection": str(self.detection),
        }
        return rules | {word: text for word, text in texts.items() if word in self.wanted}


def case_metrics(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    task: TaskSpec,
    wanted: Sequence[str] = WANTED,
    *,
    options: MeasureOptions | None = None,
) -> dict[str, np.ndarray]:
    """Measure every foreground class of a case. Dice and its kin come from `count_voxels`.

    Args:
        prediction: (X, Y, Z) ids, or codes of sigmoids.
        reference: likewise, same shape; voxels with the task's `ignore_index` (of codes: -1) belong to no class on
            either side.
        spacing: mm, one per axis.
        task: tells ids from codes and their number.
        wanted: words of `WANTED`.
        options: everything else; its `wanted` is replaced.

    Returns:
        (num_ids,) float64 by name of the measure; NaN = not applicable, as for the background.

    Raises:
        DataError: if shapes differ.
        UserError: if a word is unknown.
    """
    chosen = check_wanted(wanted)
    options = options or MeasureOptions()
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    if prediction.shape != reference.shape:
        raise DataError(f"prediction has shape {prediction.shape}, reference {reference.shape}; they must be equal")
    values = {measure.name: np.full(task.num_ids, np.nan) for measure in measures_of(chosen)}
    if not values:
        return values
    for index, predicted, true in _masks(prediction, reference, task):
        for name, value in measure_masks(predicted, true, spacing, chosen, options).items():
            values[name][index] = value
    return values


def measure_masks(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    wanted: Sequence[str],
    options: MeasureOptions,
) -> dict[str, float]:
    """Measures of two masks by name; outside the arrays is background.

    Args:
        prediction: booleans (X, Y, Z).
        reference: booleans, same shape.
        spacing: mm, one per axis.
        wanted: words of `WANTED`.
        options: tolerance and rules.
    """
    values: dict[str, float] = {}
    if any(word in wanted for word in SURFACE):
        distances = surface_distances(prediction, reference, spacing)
        values["nsd"] = normalized_surface_dice(distances, options.tolerance_mm)
        values["hd"] = hausdorff_distance(distances)
        values["hd95"] = hausdorff_distance(distances, 95)
        values["assd"] = average_surface_distance(distances)
    if "volume" in wanted:
        values |= _volumes(prediction, reference, spacing)
    if "detection" in wanted:
        found = detect(prediction, reference, spacing, options.detection)
        values |= {
            "detection_precision": found.precision,
            "detection_recall": found.recall,
            "detection_f1": found.f1,
            "parts_found": found.found,
            "parts_right": found.right,
            "parts_missed": found.missed,
            "parts_invented": found.invented,
        }
    return {name: value for name, value in values.items() if MORE_MEASURES[name].group in wanted}


def _volumes(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> dict[str, float]:
    predicted, true = np.count_nonzero(prediction), np.count_nonzero(reference)
    difference = (predicted - true) * float(np.prod(spacing)) if predicted or true else float("nan")
    relative = 100.0 * (predicted - true) / true if true else float("nan")
    return {"volume_difference": difference, "volume_error": abs(difference), "volume_relative": relative}


def _masks(
    prediction: np.ndarray, reference: np.ndarray, task: TaskSpec
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Id and both masks, cut out, of every foreground class that one of them has."""
    if task.head == "sigmoid":
        unknown = reference < 0
        for index in range(task.num_classes):
            masks = [(array >> index & 1 == 1) & ~unknown for array in (prediction, reference)]
            box = find_objects((masks[0] | masks[1]).view(np.uint8), max_label=1)[0]
            if box is not None:
                box = _not_flat(box, reference.shape)
                yield index + 1, masks[0][box], masks[1][box]
        return
    if task.ignore_index is not None:
        unknown = reference == task.ignore_index
        if unknown.any():
            prediction, reference = (np.where(unknown, BACKGROUND, array) for array in (prediction, reference))
    boxes = [
        find_objects(array.astype(np.int32, copy=False), max_label=task.num_ids - 1)
        for array in (prediction, reference)
    ]
    for index in range(1, task.num_ids):
        if index != task.ignore_index and (box := _union(boxes[0][index - 1], boxes[1][index - 1])) is not None:
            box = _not_flat(box, reference.shape)
            yield index, prediction[box] == index, reference[box] == index


def _not_flat(box: tuple[slice, ...], shape: Sequence[int]) -> tuple[slice, ...]:
    """The box, wider where it is one voxel thick and the volume is not, since masks of one slice count as pictures."""
    return tuple(
        part if part.stop - part.start > 1 else slice(max(0, part.start - 1), min(size, part.stop + 1))
        for part, size in zip(box, shape, strict=True)
    )


def _union(first: tuple[slice, ...] | None, second: tuple[slice, ...] | None) -> tuple[slice, ...] | None:
    if first is None or second is None:
        return first or second
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
