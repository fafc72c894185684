"""Pseudo-Dice: hard Dice over patches of validation cases, cheap enough to look at often.

The voxels of all patches are counted together, so a structure weighs by its size and the patches are not whole cases:
a figure to follow a training by, not to compare networks by. nnU-Net's log has the same under this name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from medicalseg.inference.network import EagerNetwork
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
        dataset: has `validation_patches` (images (C, ...), labels (...) or masks (K, ...)), `task`, `ignore_index`.
        count: patches; the same ones for the same seed.
        seed: which patches.
    """
    network = EagerNetwork(model, dataset.task.decision)
    sums, number = np.zeros((2, dataset.task.num_classes)), 0
    for image, label in _mine(dataset.validation_patches(count, seed)):
        logits = network.logits(image[None])[0]
        sums += overlaps(logits, label, dataset.task.head, dataset.task.threshold, dataset.ignore_index)
        number += 1
    parts = distributed.gather_objects((sums, number))
    both, total = np.sum([part for part, _ in parts], axis=0), sum(part for _, part in parts)
    with np.errstate(invalid="ignore"):
        dice = 2 * both[0] / both[1]
    return PseudoDice(tuple(float(value) for value in dice[int(dataset.task.head == "softmax") :]), total)


def _mine(patches: Iterator[Any]) -> Iterator[Any]:
    for position, patch in enumerate(patches):
        if position % distributed.world_size() == distributed.rank() or not distributed.is_active():
            yield patch


def overlaps(
    logits: np.ndarray, label: np.ndarray, head: str, threshold: float = 0.5, ignore_index: int | None = 255
) -> np.ndarray:
    """Per class, voxels of both, and of prediction plus label.

    Args:
        logits: (K, ...).
        label: (...) ids, or (K, ...) masks of sigmoids.
        head: "softmax" or "sigmoid".
        threshold: of sigmoids.
        ignore_index: voxels that do not count.

    Returns:
        (2, K).
    """
    classes = len(logits)
    if head == "sigmoid":
        masks = label if label.ndim == logits.ndim else np.stack([label == k + 1 for k in range(classes)])
        known = masks != ignore_index if label.ndim == logits.ndim else (label != ignore_index)[None]
        predicted = (logits > np.log(threshold / (1 - threshold))) & known
        true = (masks == 1) & known
        axes = tuple(range(1, logits.ndim))
        return np.stack([(predicted & true).sum(axes), predicted.sum(axes) + true.sum(axes)]).astype(float)
    known = label != ignore_index
    predicted, true = logits.argmax(0)[known], label[known].astype(np.int64)
    both = np.bincount(true[predicted == true], minlength=classes)
    given = np.bincount(predicted, minlength=classes) + np.bincount(true, minlength=classes)
    return np.stack([both, given]).astype(float)
