"""PaddleSeg3D's inference helper for nnFormer on ACDC: heart MR at one voxel size, slices first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.inference.inference_helper import InferenceHelper
from medicalseg.inference.preprocess import GridRecord, Preprocessing
from medicalseg.inference.task import TaskSpec
from medicalseg.io import read_volume

SPACING = (6.35, 1.52, 1.52)
"""Voxel size in mm across the slices and in them, in the order of the network's axes."""

CUBIC = 3


def slices_first(axcodes: Sequence[str]) -> str:
    """Orientation of a volume (X, Y, Z) as stored when it is turned to (Z, X, Y).

    Example:
        >>> slices_first("LPS")
        'SLP'
    """
    return f"{axcodes[2]}{axcodes[0]}{axcodes[1]}"


def heart_preprocessing(orientation: str, normalize: str = "zscore") -> Preprocessing:
    """What nnFormer sees of a short-axis volume: slices first, `SPACING`, cubic splines, z-scores.

    Args:
        orientation: axis codes, slices first.
        normalize: last step; of arrays that a dataset stores and normalises later "none".
    """
    z_scores = ({"type": "zscore"},)
    return Preprocessing(
        orientation=orientation, intensity=z_scores, spacing=SPACING, image_order=CUBIC, normalize=normalize
    )


@manager.INFERENCE_HELPERS.add_component
class NNFormerInferenceHelper(InferenceHelper):
    """One volume at a time at ACDC's voxel size, and labels back on its own grid.

    In our own predictions the task's preprocessing and its sliding window do this.
    """

    def __init__(self) -> None:
        self._prepared: tuple[Preprocessing, GridRecord] | None = None

    @classmethod
    def check_task(cls, task: TaskSpec) -> None:
        """Refuse a task of slices.

        Raises:
            ConfigError: says what to change.
        """
        if task.slices is not None:
            raise ConfigError(
                "export.inference_helper: NNFormerInferenceHelper is for networks for volumes, but the datasets give "
                "slices; take it out, or name InferenceHelper2D"
            )

    @classmethod
    def unmet(cls, task: TaskSpec) -> str:
        """See `InferenceHelper`: other data than ACDC do not get its voxel size."""
        spacing = task.preprocessing.spacing
        if spacing is not None and np.allclose(sorted(spacing), sorted(SPACING)):
            return ""
        return (
            f"NNFormerInferenceHelper brings volumes to {list(SPACING)} mm, but the spacing of the task is "
            f"{'as stored' if spacing is None else list(spacing)}, which is what infer and predict do; take it out, or "
            "train with that spacing in `preprocess` of the dataset"
        )

    def preprocess(self, cfg: Any, imgs_path: Sequence[str | Path], batch_size: int, batch_id: int) -> np.ndarray:
        """The network's input for one volume.

        Args:
            cfg: not used.
            imgs_path: volumes (X, Y, Z) in any format, their slices along the last axis.
            batch_size: 1, as volumes differ in size.
            batch_id: which of the files.

        Returns:
            float32 (1, 1, slices, X', Y').

        Raises:
            ConfigError: another batch size.
            VolumeError: the file cannot be read.
        """
        if batch_size != 1:
            raise ConfigError(f"NNFormerInferenceHelper: volumes differ in size, so batch_size is 1, not {batch_size}")
        volume = read_volume(imgs_path[batch_id])
        steps = heart_preprocessing(slices_first(volume.axcodes))
        image, record = steps.apply(volume)
        self._prepared = steps, record
        return image[None]

    def postprocess(self, results: np.ndarray) -> np.ndarray:
        """Labels (1, X, Y, Z), on the grid of the volume that `preprocess` was given last.

        Args:
            results: logits (1, K, slices, X', Y').

        Raises:
            ConfigError: there was no such volume.
        """
        if self._prepared is None:
            raise ConfigError(
                "NNFormerInferenceHelper.postprocess: call preprocess first; labels go back to its volume"
            )
        steps, record = self._prepared
        return np.asarray(steps.restore(np.argmax(results[0], axis=0), record).array)[None]
