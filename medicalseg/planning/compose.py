"""A stage as a configuration: every value with its reason."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medicalseg.cvlibs.overrides import DATA_ROOT_VARIABLE
from medicalseg.planning import training_rules as rules
from medicalseg.planning.anatomy import AXIS_NAMES, Anatomy
from medicalseg.planning.case_facts import ORIENTATION
from medicalseg.planning.fingerprint import Fingerprint
from medicalseg.planning.levels import start_lowest
from medicalseg.planning.network_block import network_block
from medicalseg.planning.normalisation import intensity
from medicalseg.planning.reasoned import MERGE, Alias, Because
from medicalseg.planning.settings import Settings
from medicalseg.planning.source import PlanSource
from medicalseg.planning.spacing import is_anisotropic
from medicalseg.planning.stages import Stage
from medicalseg.postprocessing.levels import SETTLES, spine_levels

FOREGROUND = 0.33
LEVEL_DEGREES = 15
VAL_INTERVAL = "10%"
Tree = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """What all configurations of a dataset share.

    Attributes:
        source: the folder.
        fingerprint: its fingerprint.
        anatomy: directions of the labels.
        crop: which part of an image is used.
        settings: what the user asked for.
    """

    source: PlanSource
    fingerprint: Fingerprint
    anatomy: Anatomy
    crop: Because
    settings: Settings

    @property
    def has_splits(self) -> bool:
        """Whether the dataset brings its folds."""
        return (self.source.root / "splits_final.json").is_file()

    @property
    def previous_classes(self) -> int:
        """Channels that the labels of an earlier stage add."""
        return self.source.num_classes - int(not self.source.regions)


def compose(subject: Subject, stage: Stage, seconds: float | None = None, previous: str | None = None) -> Tree:
    """The configuration of a stage.

    Args:
        subject: the dataset.
        stage: its grid, patch and width.
        seconds: of a step, measured or estimated; None if not known.
        previous: of a cascade's second stage, the folder of the first stage's crossval.
    """
    settings = subject.settings
    iters, why = rules.length(settings, seconds)
    model, heads = network_block(subject, stage, previous is not None)
    tree: Tree = {
        "data_root": Because(
            _roots(subject.source.root)[0], f"the environment variable {DATA_ROOT_VARIABLE} replaces it"
        ),
        "batch_size": Because(stage.fit.batch, stage.batch_reason),
        "iters": Because(iters, why),
    }
    if settings.time_budget:
        tree["max_time"] = Because(settings.time_budget, "the schedule follows the clock, whatever a step takes")
    tree["precision"] = Because(*rules.precision(settings))
    tree["val_interval"] = Because(VAL_INTERVAL, "whole validation cases ten times in a run; in between pseudo-Dice")
    tree["train_dataset"] = Because(_dataset(subject, stage, previous), anchor="data")
    tree["val_dataset"] = Because(
        {MERGE: Alias("data"), "mode": "val", "transforms": []}, "cases of this fold, without augmentation"
    )
    tree["model"] = model
    tree["loss"] = rules.loss(subject.source.regions, heads)
    tree["optimizer"] = rules.optimizer(settings)
    tree["lr_scheduler"] = rules.schedule(settings, iters)
    if settings.device == "cpu":
        tree["ema"] = Because({"decay": 0.99}, "the mean of about the last 100 steps' weights is what is kept")
    if subject.anatomy.vertebrae:
        order = list(subject.anatomy.vertebrae)
        tree["test_config"] = {"level_order": Because(order, "vertebrae from below: reports say how many are one off")}
    tree["postprocessing"] = _postprocessing(subject)
    return tree


def _roots(root: Path) -> tuple[str, str]:
    """`data_root` and the dataset seen from it: below the environment's, where that is set, or else its own folder."""
    folder = os.environ.get(DATA_ROOT_VARIABLE)
    if not folder:
        return str(root.parent), root.name
    inside = root.resolve()
    if inside.is_relative_to(Path(folder).resolve()):
        inside = inside.relative_to(Path(folder).resolve())
    return folder, str(inside)


def _postprocessing(subject: Subject) -> Because:
    fingerprint = subject.fingerprint
    present = {label for label in fingerprint.foreground if fingerprint.cases_with(label)}
    levels = spine_levels(fingerprint.names, present) if subject.anatomy.levels else None
    if levels is None:
        return Because([], "medicalseg crossval chooses it, only where it helps")
    step: Tree = {"type": "OrderAlongSpine", "vertebrae": levels[0], "discs": levels[1]}
    if subject.source.fold is not None and start_lowest(levels, fingerprint.cases):
        step["anchor"] = Because(
            SETTLES, f"the lowest level is {fingerprint.names[levels[0][0]]} in every training case of this fold"
        )
    return Because([step], "levels have one order; medicalseg crossval chooses further steps, only where they help")


def _dataset(subject: Subject, stage: Stage, previous: str | None) -> Tree:
    source, flat = subject.source, stage.slice_axis is not None
    block: Tree = {
        "type": Because("PatchDataset", "cases are kept in compressed blocks; a patch reads only what it shows"),
        "dataset_root": Because(_roots(source.root)[1], "the folder that was planned for"),
        **{key: Because(value, f"given as --{key}") for key, value in source.folder_arguments.items()},
        "mode": Because("train", "cases of the other folds"),
        **rules.folds(source.groups, subject.has_splits, source.fold or 0),
        **_labels(subject),
        "preprocess": _preprocess(subject, stage),
        "normalize": Because("none", "done above, on the whole volume"),
    }
    if flat:
        block["slices"] = Because(
            {"axis": stage.slice_axis, "num_slices": 1},
            f"across {AXIS_NAMES[stage.slice_axis or 0]}, of the thick axes the one with the fewest voxels",
        )
    block["patch_size"] = Because(_patch(stage), stage.patch_reason)
    block["foreground"] = Because(FOREGROUND, "nnU-Net's share of patches centred on a voxel of a class")
    block["class_sampling"] = rules.class_sampling(subject.fingerprint)
    if previous is not None:
        block["previous"] = Because(previous, "save_dir of the first stage's crossval: out-of-fold label maps")
        block["previous_classes"] = Because(subject.previous_classes, "one channel per foreground class of it")
    block["sliding"] = _sliding(subject, stage)
    block["restoring"] = Because(
        "scores", "probabilities are brought to the original grid, then decided: smoother borders"
    )
    block["transforms"] = Because([_augmentation(subject, stage)], "training only")
    return block


def _labels(subject: Subject) -> Tree:
    arguments = dict(subject.source.label_arguments)
    for key in ("labels", "regions"):
        if key in arguments:
            why = "stored values per class, in the order of the classes" if key == "labels" else "regions overlap"
            arguments[key] = Because(arguments[key], why)
    for key, why in (("region_order", "values painted into one label map, in this order"), ("ignore", "never counted")):
        if key in arguments:
            arguments[key] = Because(arguments[key], why)
    return arguments


def _preprocess(subject: Subject, stage: Stage) -> Tree:
    spacing = list(stage.spacing)
    order: Any = 3
    why = "cubic splines"
    if is_anisotropic(spacing):
        thick = spacing.index(max(spacing))
        order = [0 if axis == thick else 3 for axis in range(3)]
        why = f"cubic splines; nearest across the thick axis ({AXIS_NAMES[thick]}), where neighbours differ too much"
    return {
        "orientation": Because(ORIENTATION, "one orientation for all, so that axes have a meaning"),
        "crop": subject.crop,
        "intensity": intensity(subject.fingerprint),
        "spacing": Because(spacing, stage.spacing_reason),
        "image_order": Because(order, why),
    }


def _patch(stage: Stage) -> list[int]:
    """Sides in the order of the axes; the plan of slices has (rows, columns)."""
    sides = list(stage.fit.topology.patch)
    return sides if stage.slice_axis is None else sides[::-1]


def _axes(stage: Stage) -> list[int]:
    """The volume's axes that a patch has."""
    return [axis for axis in range(3) if axis != stage.slice_axis]


def _mirror_axes(subject: Subject, stage: Stage) -> list[int]:
    """Of the patch."""
    return [number for number, axis in enumerate(_axes(stage)) if axis in subject.anatomy.mirror_axes]


def _sliding(subject: Subject, stage: Stage) -> Because:
    mirror = {"mirror_axes": _mirror_axes(subject, stage)}
    copies = "mirrored copies averaged where mirroring is allowed"
    shown = zip(_patch(stage), _axes(stage), strict=True)
    if stage.slice_axis is not None and all(side >= stage.median[axis] for side, axis in shown):
        return Because(mirror, f"slices go through the network whole; {copies}")
    value = {"window": _patch(stage), "overlap": 0.5, **mirror}
    return Because(value, f"windows as in training, half overlapping; {copies}")


def _augmentation(subject: Subject, stage: Stage) -> Tree:
    block: Tree = {"type": Because("NnUNetAugmentation", "nnU-Net's recipe")}
    anatomy = subject.anatomy
    of = "" if stage.slice_axis is None else "of the slice; "
    block["mirror_axes"] = Because(_mirror_axes(subject, stage) or None, of + anatomy.mirror_reason)
    if anatomy.levels:
        block["degrees"] = Because(LEVEL_DEGREES, "levels are told apart by what lies above and below: no upside down")
    elif len(anatomy.mirror_axes) < 3 and _turns_far(stage):
        block["degrees"] = Because(30, "labels know directions: no half turns within the slices")
    return block


def _turns_far(stage: Stage) -> bool:
    """Whether nnU-Net would turn this patch by any angle within its slices."""
    patch = stage.fit.topology.patch
    return stage.slice_axis is not None or min(patch) * 3 < max(patch)
