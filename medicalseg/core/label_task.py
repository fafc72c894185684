"""What the values in label maps of anybody's mean: from a description, a configuration, or the values found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.labels import region_arguments
from medicalseg.errors import CheckpointError, ConfigError, DataError, MedicalSegError, RunError, UserError
from medicalseg.inference.backends import ModelFiles
from medicalseg.inference.label_map import LabelMap
from medicalseg.inference.task import TaskSpec
from medicalseg.io import read_label
from medicalseg.utils.checkpoint import META_FILE, read_meta
from medicalseg.utils.files import read_json_object
from medicalseg.utils.logger import logger
from medicalseg.utils.pool import run_all
from medicalseg.utils.words import counted, few

DESCRIPTION = "dataset.json"
IGNORE = "ignore"
UNKNOWN_ID = 255


def described_task(path: str | os.PathLike[str]) -> TaskSpec:
    """The classes of a `dataset.json` of MSD or nnU-Net: labels, regions, an ignored label.

    Args:
        path: the file, or a folder that holds a `dataset.json`.

    Raises:
        DataError: if it cannot be read or its labels are wrong.
    """
    file = Path(path)
    file = file / DESCRIPTION if file.is_dir() else file
    content = read_json_object(file, DataError)
    labels = content.get("labels")
    if not isinstance(labels, Mapping) or not labels:
        raise DataError(f"{file}: 'labels' must map ids to names or names to ids, got {labels!r}")
    arguments = region_arguments(labels, content.get("regions_class_order"), str(file)) or _single_values(labels)
    try:
        return task_of_map(LabelMap.from_config(**arguments))
    except ConfigError as error:
        raise DataError(f"{file}: {error}") from error


def configured_task(path: str | os.PathLike[str], opts: Sequence[str] | None = None) -> TaskSpec:
    """The task of a configuration's dataset, of an export's deploy.yaml, or of a folder with weights.

    Raises:
        UserError: if none of them tells a task, or the dataset is not there.
        CheckpointError: if a deploy.yaml or a meta.json has none.
    """
    file = Path(path)
    if file.is_dir() and (file / META_FILE).is_file():
        content = read_meta(file) or {}
        if "task" not in content:
            raise CheckpointError(f"{file / META_FILE}: has no task; give the classes with --labels")
        return TaskSpec.from_dict(content["task"])
    if file.is_dir() or file.name == "deploy.yaml":
        return TaskSpec.from_dict(ModelFiles.read(file).description["task"])
    from medicalseg.cvlibs import Config

    config = Config(file, opts=opts, log_notes=False)
    key = next((key for key in ("val_dataset", "test_dataset", "train_dataset") if config.dic.get(key)), None)
    try:
        task = None if key is None else getattr(getattr(config, key), "task", None)
    except DataError as error:
        raise DataError(
            f"--config {path}: its {key} tells the classes, and {error}; correct that with --opts {key}.KEY=VALUE, or "
            "give the classes with --labels"
        ) from error
    if not isinstance(task, TaskSpec):
        raise UserError(f"--config {path}: names no dataset that tells its classes; give --labels instead")
    return task


def discovered_task(cases: Sequence[Sequence[Path]], num_workers: int = 0) -> TaskSpec:
    """A class for every value but 0 that the files hold.

    Args:
        cases: the files of each; a case of which one cannot be read has no say.
        num_workers: processes; 0 or 1 works in this one.

    Raises:
        DataError: if no case can be read, or there is nothing but 0.
    """
    values: set[int] = set()
    failed: list[MedicalSegError] = []
    for _, found in run_all(stored_values, cases, num_workers, "reading labels"):
        if isinstance(found, RunError):
            raise found
        if isinstance(found, MedicalSegError):
            failed.append(found)
        else:
            values |= found
    if failed and len(failed) == len(cases):
        raise DataError(f"none of {counted(len(cases), 'case')} can be read; the first: {failed[0]}")
    values -= {0}
    if not values:
        raise DataError("the label maps hold nothing but 0")
    logger.info("No --labels and no dataset.json: the classes are the values found, %s.", few(sorted(values), 12))
    if UNKNOWN_ID in values and len(values) > 1:
        logger.warning("%d counts as a class; a dataset.json that calls it 'ignore' leaves it out.", UNKNOWN_ID)
    return task_of_map(LabelMap.from_config({"background": 0, **{f"label {v}": v for v in sorted(values)}}))


def stored_values(files: Sequence[Path]) -> set[int]:
    """The values in label maps."""
    return {int(value) for file in files for value in np.unique(read_label(file).array)}


def task_near(*folders: str | os.PathLike[str]) -> TaskSpec | None:
    """The classes of a `dataset.json` in one of the folders or beside it; None if there is none."""
    for folder in folders:
        for place in (Path(folder), Path(folder).resolve().parent):
            if (place / DESCRIPTION).is_file():
                logger.info("Classes: %s (--labels to take others).", place / DESCRIPTION)
                return described_task(place)
    return None


def task_of_map(label_map: LabelMap | None) -> TaskSpec:
    """The task that has these classes."""
    if label_map is None:
        raise ConfigError("labels: none are given")
    return TaskSpec(
        num_classes=label_map.num_classes,
        head="sigmoid" if label_map.regions else "softmax",
        ignore_index=max(UNKNOWN_ID, label_map.num_classes) if label_map.ignore else None,
        label_map=label_map,
    )


def _single_values(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a label map whose names have one value each, or whose values have a name each."""
    ignored = [value for name, value in labels.items() if str(name).lower() == IGNORE]
    ignored += [key for key, name in labels.items() if str(name).lower() == IGNORE]
    kept = {key: value for key, value in labels.items() if IGNORE not in (str(key).lower(), str(value).lower())}
    return {"labels": kept, "ignore": int(ignored[0]) if ignored else None}
