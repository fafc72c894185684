"""What published weights do: the task that PaddleSeg3D's preparation of their data makes, so that no data is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from medicalseg.datasets.class_tables import (
    ABDOMEN,
    ACDC,
    LUNG_CORONAVIRUS,
    MRI_SPINE_SEG,
    MRI_SPINE_SEG_GROUPS,
    MSD_BRAIN,
)
from medicalseg.datasets.prepare import abdomen, acdc, lung_coronavirus, mri_spine_seg, msd_brain_seg
from medicalseg.inference.nnformer_helper import heart_preprocessing, slices_first
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.task import TaskSpec
from medicalseg.utils import files
from medicalseg.utils.checkpoint import META_FILE
from medicalseg.utils.weights_table import PublishedWeights


def task_of(entry: PublishedWeights) -> TaskSpec | None:
    """Classes and preprocessing of published weights; None of encoders and where the data would have to tell."""
    make = _TASKS.get(Path(entry.config).parent.name) if entry.dice else None
    return None if make is None else replace(make(), notes=(f"published weights {entry.name}",))


def describe(entry: PublishedWeights, weights: Path) -> Path | None:
    """Write the task beside the weights, as a training does, so that they predict and export without a dataset.

    Args:
        entry: which.
        weights: their `.pdparams` file.

    Returns:
        The `meta.json`; None where the task is not known.
    """
    task = task_of(entry)
    if task is None:
        return None
    path = weights.with_name(META_FILE)
    files.write_json(path, {"task": task.to_dict(), "published": entry.name})
    return path


def _spine() -> TaskSpec:
    steps = replace(mri_spine_seg.preprocessing((512, 512, 12)), normalize="max")
    groups = {name: tuple(ids) for name, ids in MRI_SPINE_SEG_GROUPS.items()}
    return TaskSpec(len(MRI_SPINE_SEG), dict(MRI_SPINE_SEG), groups, steps)


def _lung() -> TaskSpec:
    steps = replace(lung_coronavirus.preprocessing((128, 128, 128)), normalize="max")
    return TaskSpec(len(LUNG_CORONAVIRUS), dict(LUNG_CORONAVIRUS), preprocessing=steps)


def _abdomen() -> TaskSpec:
    steps = replace(abdomen.preprocessing(), size=(None, 224, 224))
    return TaskSpec(len(ABDOMEN), dict(ABDOMEN), preprocessing=steps, slices=SliceSpec(axis=0))


def _brain() -> TaskSpec:
    steps = replace(msd_brain_seg.preprocessing(), normalize="max")
    return TaskSpec(len(MSD_BRAIN), dict(MSD_BRAIN), preprocessing=steps, in_channels=4)


def _heart() -> TaskSpec:
    steps = heart_preprocessing(slices_first(acdc.USUAL_AXES))
    return TaskSpec(len(ACDC), dict(ACDC), preprocessing=steps)


_TASKS = {
    "mri_spine_seg": _spine,
    "lung_coronavirus": _lung,
    "msd_brain_seg": _brain,
    "synapse": _abdomen,
    "acdc": _heart,
}
