"""What was measured on one case, and the mean over a group of classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from medicalseg.metrics.counts import Counts
from medicalseg.metrics.levels import LevelConfusion


@dataclass(frozen=True)
class CaseResult:
    """What was measured on one case.

    Attributes:
        case: name of the case.
        counts: voxels per class id; of structures that may overlap those of `structure_counts`.
        voxel_volume: mm³ of one voxel of the grid that was scored; NaN if it is not known.
        soft_dice: (K,) PaddleSeg3D's soft Dice of the network's channels, on its grid.
        loss: the config's first loss on the network's grid.
        seconds: time of prediction and of bringing it to the scored grid, without reading the image; of `evaluate`
            with scoring and reading the reference.
        slices: how many slices a network for images sees of it; None for a network for volumes.
        measures: further measures by name, see `case_metrics`; empty if none was asked for.
        levels: one for every order of levels that was asked for.
    """

    case: str
    counts: Counts
    voxel_volume: float = float("nan")
    soft_dice: np.ndarray | None = None
    loss: float | None = None
    seconds: float | None = None
    slices: int | None = None
    measures: Mapping[str, np.ndarray] = field(default_factory=dict)
    levels: tuple[LevelConfusion, ...] = ()


@dataclass(frozen=True)
class GroupMean:
    """Mean Dice of a group of classes: `value` over the `k` of its `n` classes that can be scored."""

    value: float
    k: int
    n: int
    class_ids: tuple[int, ...]
