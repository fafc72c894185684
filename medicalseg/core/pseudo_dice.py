"""Pseudo-Dice: hard Dice over patches of validation cases, cheap enough to look at often.

The voxels of all patches are counted together, so a structure weighs by its size and the patches are not whole cases:
a figure to follow a training by, not to compare networks by. nnU-Net's log has the same under this name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from medicalseg.core.counting import count_voxels
from medicalseg.inference.decision import codes_of_ids, pack
from medicalseg.inference.network import EagerNetwork
from medicalseg.inference.task import TaskSpec
from medicalseg.metrics.counts import Counts
from medicalseg.metrics.overlap import dice
from medicalseg.utils import distributed

TITLE = "pseudo-Dice (patches)"
PATCHES = 16


@dataclass(frozen=True)
class PseudoDice:
    """What the patches gave.

    Attributes:
        classes: Dice of every foreground class (softmax: ids from 1; sigmoids: all structures); NaN where neither the
            labels nor the network have it.
        patches: how many there were.
    """

    classes: tuple[float, ...]
    patches: int

    @property
    def mean(self) -> float:
        """Mean of the classes that are there; NaN without any."""
        known = [value for value in self.classes if np.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")


def pseudo_dice(model: Any, dataset: Any, count: int, seed: int = 0) -> PseudoDice:
    """Dice of a network on patches of validation cases; ranks share them.

    Args:
        model: the network.
        dataset: has `validation_patches` (images (C, ...), labels (...) or masks (K, ...)) and `task`.
        count: patches; the same ones for the same seed.
        seed: which patches.
    """
    task = dataset.task
    network = EagerNetwork(model, task.decision)
    mine = [
        patch_counts(network.logits(image[None])[0], label, task)
        for image, label in _mine(dataset.validation_patches(count, seed))
    ]
    found = [counts for part in distributed.gather_objects(mine) for counts in part]
    values = dice(sum(found[1:], found[0])) if found else np.empty(0)
    return PseudoDice(tuple(float(value) for value in values[1:]), len(found))


def _mine(patches: Iterator[Any]) -> Iterator[Any]:
    for position, patch in enumerate(patches):
        if position % distributed.world_size() == distributed.rank() or not distributed.is_active():
            yield patch


def patch_counts(logits: np.ndarray, label: np.ndarray, task: TaskSpec) -> Counts:
    """Voxels of a patch.

    Args:
        logits: (K, ...).
        label: (...) ids, or (K, ...) masks of sigmoids, with the task's `ignore_index`.
        task: of the network.

    Raises:
        RunError: if logits are NaN.
    """
    if task.head == "sigmoid":
        masks = label.ndim == logits.ndim
        label = pack(label, task.ignore_index) if masks else codes_of_ids(label, task.ignore_index)
    return count_voxels(task.decision.labels(logits), label, task)
