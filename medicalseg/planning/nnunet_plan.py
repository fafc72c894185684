"""A plan file with the keys of PaddleSeg3D's nnU-Net planner, made by the rules of `medicalseg plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medicalseg.errors import ConfigError
from medicalseg.models.presets import BASE_FEATURES
from medicalseg.planning.anatomy import read_anatomy
from medicalseg.planning.fingerprint import Fingerprint, take
from medicalseg.planning.normalisation import NONZERO_MASK_BELOW, is_ct
from medicalseg.planning.settings import MEMORY, Settings
from medicalseg.planning.source import PlanSource, open_dataset
from medicalseg.planning.stages import Planner, Stage

CONVOLUTIONS = 2
CROP = "nonzero"
MANY_CASES = 16
Tree = dict[str, Any]


def nnunet_plan(root: Path, flat: bool, num_workers: int = 0) -> Tree:
    """What `medicalseg.utils.nnunet_plan.read_plan` reads, for a dataset's labelled cases and 8 GB of a GPU.

    Patches and strides follow nnU-Net v2, so they may differ from those of PaddleSeg3D's planner, which follows v1.

    Args:
        root: an MSD or nnU-Net folder.
        flat: for a network of slices.
        num_workers: processes that read cases.

    Raises:
        DataError: a case cannot be read, or there is nothing to learn.
        ConfigError: classes overlap.
    """
    source = open_dataset(root)
    if source.regions:
        raise ConfigError(
            f"{root}: its regions overlap, which nnU-Net's first plans do not know; use `medicalseg plan`"
        )
    return plan_of(_measured(source, num_workers), source.num_classes, flat)


def plan_of(fingerprint: Fingerprint, num_classes: int, flat: bool) -> Tree:
    """See `nnunet_plan`.

    Args:
        fingerprint: of the labelled cases.
        num_classes: classes, background included.
        flat: for a network of slices.
    """
    settings = Settings(device="gpu", memory=MEMORY)
    planner = Planner(fingerprint, read_anatomy(fingerprint), settings, CROP, num_classes)
    contents, order = _slices(planner) if flat else _volumes(planner)
    channels = range(fingerprint.channels)
    return {
        "base_num_features": BASE_FEATURES,
        "conv_per_stage": CONVOLUTIONS,
        "num_modalities": fingerprint.channels,
        "num_classes": num_classes - 1,
        "all_classes": [label for label in fingerprint.names if label != 0],
        "transpose_forward": [2 - axis for axis in order],
        "modalities": {str(k): name for k, name in enumerate(fingerprint.channel_names)},
        "normalization_schemes": {str(k): "CT" if is_ct(fingerprint, k)[0] else "nonCT" for k in channels},
        "use_mask_for_norm": {str(k): _masked(fingerprint, k) for k in channels},
        "dataset_properties": {"intensityproperties": intensity_properties(fingerprint)},
        "num_stages": len(contents),
        "plans_per_stage": {str(k): content for k, content in enumerate(contents)},
    }


def intensity_properties(fingerprint: Fingerprint) -> Tree:
    """Numbers of the foreground of all cases, per channel, under nnU-Net's names."""
    names = {"mean": "mean", "sd": "std", "percentile_00_5": "p0.5", "percentile_99_5": "p99.5"}
    return {
        str(channel): {ours: float(numbers[theirs]) for ours, theirs in names.items()}
        for channel, numbers in enumerate(fingerprint.intensities)
    }


def measured_intensities(root: Path, num_workers: int = 0) -> Tree:
    """`intensity_properties` of a folder's labelled cases, each measured once and kept in the cache.

    Args:
        root: an MSD or nnU-Net folder.
        num_workers: processes that read cases.

    Raises:
        DataError: a case cannot be read, or none has a labelled voxel.
    """
    return intensity_properties(_measured(open_dataset(root), num_workers))


def _measured(source: PlanSource, num_workers: int) -> Fingerprint:
    """In this process where starting others would take longer."""
    return take(source, num_workers if len(source.measured) >= MANY_CASES else 0)


def _slices(planner: Planner) -> tuple[list[Tree], Sequence[int]]:
    """The network, and the plan's axes as numbers of (x, y, z): the one that is cut first."""
    stage = planner.slices()
    axis = 2 if stage.slice_axis is None else stage.slice_axis
    order = [axis, *(other for other in (2, 1, 0) if other != axis)]
    return [_content(stage, [stage.spacing[k] for k in order])], order


def _volumes(planner: Planner) -> tuple[list[Tree], Sequence[int]]:
    """The networks, the coarser first, and the plan's axes: the one with the largest spacing first, then z, y, x.

    The rules run on the axes in this order, since of equal axes the first one is cut.
    """
    spacing = planner.target.spacing
    axis = max((2, 1, 0), key=lambda k: spacing[k])
    order = [axis, *(other for other in (2, 1, 0) if other != axis)]
    planner = replace(planner, fingerprint=_turned(planner.fingerprint, order))
    full = planner.fine()
    coarse = planner.lowres(full)
    return [_content(stage, stage.spacing) for stage in (coarse, full) if stage is not None], order


def _turned(fingerprint: Fingerprint, order: Sequence[int]) -> Fingerprint:
    """The cases with their axes in another order."""

    def turn(sizes: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(sizes[axis] for axis in order)

    cases = tuple(
        replace(
            case,
            shape=turn(case.shape),
            spacing=turn(case.spacing),
            boxes={crop: turn(box) for crop, box in case.boxes.items()},
        )
        for case in fingerprint.cases
    )
    return replace(fingerprint, cases=cases)


def _content(stage: Stage, spacing: Sequence[float]) -> Tree:
    shape = stage.fit.topology
    return {
        "batch_size": stage.fit.batch,
        "patch_size": list(shape.patch),
        "current_spacing": [float(value) for value in spacing],
        "pool_op_kernel_sizes": [list(stride) for stride in shape.strides[1:]],
        "conv_kernel_sizes": [list(kernel) for kernel in shape.kernels],
    }


def _masked(fingerprint: Fingerprint, channel: int) -> bool:
    return not is_ct(fingerprint, channel)[0] and fingerprint.share(CROP) < NONZERO_MASK_BELOW
