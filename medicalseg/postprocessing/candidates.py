"""Steps of postprocessing that are worth trying for a task, derived from its classes and its references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from medicalseg.inference.decision import unpack
from medicalseg.inference.task import TaskSpec
from medicalseg.postprocessing.base import masks_within
from medicalseg.postprocessing.levels import SETTLES, spine_levels

Step = dict[str, Any]
Stage = list[list[Step]]
ANCHORS = (0.0, 3.0, SETTLES)
CORNERS = ndimage.generate_binary_structure(3, 3)
PART_QUANTILES = (0.01, 0.05, 0.25)
CLASS_SHARES = (0.05, 0.2)


@dataclass(frozen=True)
class PartVolumes:
    """Volumes in mm³ of the connected parts of every class of one reference.

    Attributes:
        by_id: volumes by id, of the classes that occur.
        voxel: mm³ of a voxel.
    """

    by_id: Mapping[int, np.ndarray]
    voxel: float


def part_volumes(labels: np.ndarray, spacing: Sequence[float], task: TaskSpec) -> PartVolumes:
    """Volumes of the parts of a reference.

    Args:
        labels: (X, Y, Z) ids or codes.
        spacing: mm.
        task: tells which of them they are.
    """
    voxel = float(np.prod(spacing))
    ids = [label for label in range(1, task.num_ids) if label != task.ignore_index]
    found = {}
    for label in ids:
        mask = unpack(labels, task.num_classes)[label - 1] if task.overlapping else np.asarray(labels == label)
        for _, inside in masks_within(mask.astype(np.uint8), [1], together=False):
            parts, _ = ndimage.label(inside, CORNERS)
            found[label] = np.bincount(parts.ravel())[1:] * voxel
    return PartVolumes(found, voxel)


def candidate_stages(volumes: Sequence[PartVolumes], task: TaskSpec) -> list[Stage]:
    """What to try, in order.

    A stage holds choices that do not touch each other's classes, and each choice alternatives of which at most one is
    taken.

    Args:
        volumes: of all references.
        task: names of the classes; its own `postprocessing` is not looked at.
    """
    present = sorted({label for item in volumes for label in item.by_id})
    stages: list[Stage] = []
    levels = None if task.overlapping else spine_levels(task.labels, present)
    if levels is not None:
        order = {"type": "OrderAlongSpine", "vertebrae": levels[0], "discs": levels[1]}
        stages.append([[{**order, "anchor": anchor} for anchor in ANCHORS]])
    if len(present) > 1:
        stages.append([[{"type": "KeepLargestComponent", "per_class": False}]])
    stages.append([[{"type": "KeepLargestComponent", "classes": [label]}] for label in present])
    stages.append([_small_parts(label, volumes) for label in present])
    stages.append([[{"type": "FillHoles"}]])
    return [stage for stage in stages if any(stage)]


def _small_parts(label: int, volumes: Sequence[PartVolumes]) -> list[Step]:
    having = [item for item in volumes if label in item.by_id]
    parts = np.concatenate([item.by_id[label] for item in having])
    whole = float(np.median([item.by_id[label].sum() for item in having]))
    smallest = max(item.voxel for item in having)
    tried = [*np.quantile(parts, PART_QUANTILES), *(share * whole for share in CLASS_SHARES)]
    rounded = sorted({float(f"{volume:.2g}") for volume in tried if volume > smallest})
    return [{"type": "RemoveSmallComponents", "min_volume_mm3": volume, "classes": [label]} for volume in rounded]
