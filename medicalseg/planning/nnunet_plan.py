"""A plan file with the keys of PaddleSeg3D's nnU-Net planner, made by the rules of `medicalseg plan`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medicalseg.errors import ConfigError
from medicalseg.models.presets import BASE_FEATURES
from medicalseg.planning.anatomy import read_anatomy
from medicalseg.planning.fingerprint import Fingerprint, take
from medicalseg.planning.normalisation import NONZERO_MASK_BELOW, is_ct
from medicalseg.planning.settings import MEMORY, Settings
from medicalseg.planning.source import open_dataset
from medicalseg.planning.stages import Planner, Stage

CONVOLUTIONS = 2
CROP = "nonzero"
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
    fingerprint = take(source, num_workers)
    settings = Settings(device="gpu", memory=MEMORY)
    planner = Planner(fingerprint, read_anatomy(fingerprint), settings, CROP, source.num_classes)
    stages, order = _stages(planner, flat)
    channels = range(fingerprint.channels)
    return {
        "base_num_features": BASE_FEATURES,
        "conv_per_stage": CONVOLUTIONS,
        "num_modalities": fingerprint.channels,
        "num_classes": source.num_classes - 1,
        "all_classes": [label for label in fingerprint.names if label != 0],
        "transpose_forward": [2 - axis for axis in order],
        "modalities": {str(k): name for k, name in enumerate(fingerprint.channel_names)},
        "normalization_schemes": {str(k): "CT" if is_ct(fingerprint, k)[0] else "nonCT" for k in channels},
        "use_mask_for_norm": {str(k): _masked(fingerprint, k) for k in channels},
        "dataset_properties": {"intensityproperties": intensity_properties(fingerprint)},
        "num_stages": len(stages),
        "plans_per_stage": {str(k): _content(stage, order) for k, stage in enumerate(stages)},
    }


def intensity_properties(fingerprint: Fingerprint) -> Tree:
    """Numbers of the foreground of all cases, per channel, under nnU-Net's names."""
    names = {"mean": "mean", "sd": "std", "percentile_00_5": "p0.5", "percentile_99_5": "p99.5"}
    return {
        str(channel): {ours: float(numbers[theirs]) for ours, theirs in names.items()}
        for channel, numbers in enumerate(fingerprint.intensities)
    }


def measured_intensities(root: Path) -> Tree:
    """`intensity_properties` of a folder's labelled cases, each measured once and kept in the cache.

    Raises:
        DataError: a case cannot be read, or none has a labelled voxel.
    """
    return intensity_properties(take(open_dataset(root)))


def _stages(planner: Planner, flat: bool) -> tuple[list[Stage], Sequence[int]]:
    """The networks, the coarser first, and the plan's axes as numbers of (x, y, z)."""
    if flat:
        stage = planner.slices()
        axis = 2 if stage.slice_axis is None else stage.slice_axis
        return [stage], [axis, *(other for other in (2, 1, 0) if other != axis)]
    full = planner.fine()
    coarse = planner.lowres(full)
    return [full] if coarse is None else [coarse, full], (2, 1, 0)


def _content(stage: Stage, order: Sequence[int]) -> Tree:
    shape = stage.fit.topology
    if len(shape.patch) == 3:
        turned = [[size[axis] for axis in order] for size in (shape.patch, *shape.strides, *shape.kernels)]
    else:
        turned = [list(size) for size in (shape.patch, *shape.strides, *shape.kernels)]
    patch, strides, kernels = turned[0], turned[1 : 1 + shape.stages], turned[1 + shape.stages :]
    return {
        "batch_size": stage.fit.batch,
        "patch_size": patch,
        "current_spacing": [float(stage.spacing[axis]) for axis in order],
        "pool_op_kernel_sizes": strides[1:],
        "conv_kernel_sizes": kernels,
    }


def _masked(fingerprint: Fingerprint, channel: int) -> bool:
    return not is_ct(fingerprint, channel)[0] and fingerprint.share(CROP) < NONZERO_MASK_BELOW
