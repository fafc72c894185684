"""PaddleSeg3D's inference helpers: what `export.inference_helper` names.

Prediction and deployment do by the task what a helper did: slices, resampling, the way back to the original grid. A
helper's name says which task it is for; its two methods give PaddleSeg3D's arrays to code that was written for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.tree import nearest
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.task import TaskSpec


class InferenceHelper:
    """Base of the helpers in `manager.INFERENCE_HELPERS`."""

    @classmethod
    def check_task(cls, task: TaskSpec) -> None:
        """Refuse a task that the helper is not for; the base takes every one.

        Raises:
            ConfigError: says why.
        """

    @classmethod
    def unmet(cls, task: TaskSpec) -> str:
        """What the helper does and the task does not, with what to write; empty if there is nothing."""
        return ""

    def preprocess(self, cfg: Any, imgs_path: Sequence[str | Path], batch_size: int, batch_id: int) -> np.ndarray:
        """The network's input for some files.

        Args:
            cfg: has `transforms`, which takes an array and gives it transformed with its label, here None.
            imgs_path: all files.
            batch_size: how many of them make a batch.
            batch_id: position of the first of them.
        """
        raise NotImplementedError

    def postprocess(self, results: np.ndarray) -> np.ndarray:
        """Labels of the network's logits."""
        raise NotImplementedError


@manager.INFERENCE_HELPERS.add_component
class InferenceHelper2D(InferenceHelper):
    """Volumes for networks for images: their slices are a batch.

    In our own predictions `slices` of the dataset does this (`SliceWise`).
    """

    @classmethod
    def check_task(cls, task: TaskSpec) -> None:
        """Refuse a task of volumes.

        Raises:
            ConfigError: there are no slices.
        """
        if task.slices is None:
            raise ConfigError(
                "export.inference_helper: InferenceHelper2D is for networks for images, but the datasets give volumes; "
                "take it out, or add slices: {axis: 2} to the datasets"
            )

    def preprocess(self, cfg: Any, imgs_path: Sequence[str | Path], batch_size: int, batch_id: int) -> np.ndarray:
        """Slices of one volume, transformed one by one.

        Args:
            cfg: has `transforms`, which gives a slice (1, H, W) with a channel, (1, 1, H', W').
            imgs_path: `.npy` files of volumes (slices, H, W).
            batch_size: 1, as a volume's slices are the batch.
            batch_id: which of the files.

        Returns:
            (slices, 1, H', W').

        Raises:
            DataError: a file is no such volume; names it.
            ConfigError: another batch size.
        """
        if batch_size != 1:
            raise ConfigError(
                f"InferenceHelper2D: the slices of a volume are the batch; batch_size is 1, not {batch_size}"
            )
        path = imgs_path[batch_id]
        try:
            volume = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read as an array: {error}") from error
        if volume.ndim != 3:
            raise DataError(f"{path}: expected a volume (slices, H, W), got an array of {volume.ndim} axes")
        return np.concatenate([cfg.transforms(plane[None])[0] for plane in volume])

    def postprocess(self, results: np.ndarray) -> np.ndarray:
        """Labels (1, slices, ...) of logits (slices, K, ...)."""
        return np.argmax(results, axis=1)[None]


def check_helper(block: Mapping[str, Any] | None, task: TaskSpec) -> None:
    """Refuse a helper that does not exist or is for other tasks.

    Args:
        block: `export.inference_helper` of a configuration; None asks nothing.
        task: of the network that is exported.

    Raises:
        ConfigError: says what to change.
    """
    if not block:
        return
    name = block.get("type")
    known = manager.INFERENCE_HELPERS
    if name not in known:
        raise ConfigError(
            f"export.inference_helper.type: {name!r} is not among {sorted(known)}{nearest(str(name), list(known))}"
        )
    check = getattr(known[str(name)], "check_task", None)
    if check is not None:
        check(task)


def helper_note(block: Mapping[str, Any] | None, task: TaskSpec) -> str:
    """What a helper would do and prediction does not, since it never calls one; empty if there is nothing.

    Args:
        block: `export.inference_helper` of a configuration, which `check_helper` has passed.
        task: of the network that is exported.
    """
    if not block:
        return ""
    helper = manager.INFERENCE_HELPERS[str(block["type"])]
    if helper.__module__.partition(".")[0] != "medicalseg":
        return (
            f"{block['type']} is kept in deploy.yaml, but never called: infer and predict do what the task says. What "
            "its preprocess does belongs into `preprocess` of the dataset, what its postprocess does into "
            "`postprocessing`"
        )
    unmet = getattr(helper, "unmet", None)
    return "" if unmet is None else str(unmet(task))
