"""What PaddleSeg3D's nnU-Net planner decided: its pickle, or the same content as JSON, read without running it."""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.errors import CheckpointError, ConfigError
from medicalseg.utils import files
from medicalseg.utils.unpickle import RestrictedUnpickler

Size = tuple[int, ...]
TOOLKIT = Path(__file__).resolve().parents[2]
AXES = "xyz"


@dataclass(frozen=True)
class StagePlan:
    """One network of a plan; sizes have one number per axis, in the plan's order of axes.

    Attributes:
        patch_size: voxels, three or (2D) two.
        batch_size: patches in a step.
        pools: factor of each down-sampling, the finest first.
        kernels: convolution kernel of each resolution, one more than there are poolings.
        spacing: mm of the three axes; None if the plan does not tell.
        dummy_2d: augmentation within the slices alone.
    """

    patch_size: Size
    batch_size: int
    pools: tuple[Size, ...]
    kernels: tuple[Size, ...]
    spacing: tuple[float, float, float] | None = None
    dummy_2d: bool = False


@dataclass(frozen=True)
class NNUNetPlan:
    """A plan.

    Attributes:
        source: where it was read.
        stages: by number.
        base_num_features: channels of the first convolution.
        num_modalities: channels of the image.
        num_classes: classes, the background not counted.
        conv_per_stage: convolutions of each resolution.
        transpose_forward: the plan's axes as numbers of (z, y, x).
        modalities: names of the channels, such as "CT".
        schemes: normalisation of each channel, nnU-Net's names.
        intensities: of each channel that has them, mean, sd, percentile_00_5 and percentile_99_5 of the foreground.
        nonzero_only: of each channel, whether grey values are normalised inside the nonzero region alone.
    """

    source: str
    stages: Mapping[int, StagePlan]
    base_num_features: int
    num_modalities: int
    num_classes: int
    conv_per_stage: int = 2
    transpose_forward: tuple[int, int, int] = (0, 1, 2)
    modalities: Mapping[int, str] = field(default_factory=dict)
    schemes: Mapping[int, str] = field(default_factory=dict)
    intensities: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    nonzero_only: Mapping[int, bool] = field(default_factory=dict)

    @property
    def axes(self) -> str:
        """The plan's axes, "zyx" where nothing was transposed."""
        return "".join(AXES[2 - axis] for axis in self.transpose_forward)

    def stage_number(self, number: int | None) -> int:
        """The number itself, checked; that of the only stage for None.

        Raises:
            ConfigError: if there is no such stage, or None leaves a choice.
        """
        known = sorted(self.stages)
        if number is None and len(known) == 1:
            return known[0]
        if number is None:
            raise ConfigError(f"stage: {self.source} has stages {known}; name one (0 is the coarser of a cascade)")
        if isinstance(number, bool) or number not in self.stages:
            raise ConfigError(f"stage: {self.source} has no stage {number!r}, but {known}")
        return int(number)

    def stage(self, number: int | None) -> StagePlan:
        """The stage of a number, or the only one.

        Raises:
            ConfigError: see `stage_number`.
        """
        return self.stages[self.stage_number(number)]


def read_plan(path: str | os.PathLike[str]) -> NNUNetPlan:
    """Read a plan.

    A pickle may hold containers, strings, numbers and NumPy arrays, and nothing else.

    Args:
        path: PaddleSeg3D's `nnUNetPlansv2.1_plans_3D.pkl`, or `.json` with the same keys; a relative one is looked for
            in the working folder, then beside the toolkit. For a `.pkl` that is not there the `.json` of that name
            will do.

    Raises:
        ConfigError: it is not there, or no plan; names the key.
        CheckpointError: the pickle holds something else than data.
    """
    found = plan_file(path)
    content = files.read_json_object(found, ConfigError) if found.suffix == ".json" else _unpickled(found)
    return parse_plan(content, str(path))


def plan_file(path: str | os.PathLike[str]) -> Path:
    """Where a plan lies; see `read_plan`.

    Raises:
        ConfigError: nowhere.
    """
    given = Path(path).expanduser()
    roots = [Path()] if given.is_absolute() else [Path(), TOOLKIT]
    for candidate in (root / given for root in roots):
        for name in (candidate, candidate.with_suffix(".json")):
            if name.is_file():
                return name
    raise ConfigError(
        f"plan_path: {path} does not exist; give PaddleSeg3D's plan (nnUNetPlansv2.1_plans_3D.pkl) or a JSON file with "
        "its keys, such as configs/nnunet/msd_lung/plans_3D.json"
    )


def parse_plan(content: Mapping[str, Any], source: str) -> NNUNetPlan:
    """A plan from what its file holds.

    Args:
        content: `plans_per_stage` by number, `base_num_features`, `num_modalities`, `num_classes` and, if they are
            there, `conv_per_stage`, `transpose_forward`, `modalities`, `normalization_schemes`, `use_mask_for_norm` and
            `dataset_properties.intensityproperties`.
        source: the file, for messages.

    Raises:
        ConfigError: a key is missing or wrong; names it.
    """
    stages = _mapping(content, "plans_per_stage", source)
    if not stages:
        raise ConfigError(f"{source}: plans_per_stage is empty")
    properties = content.get("dataset_properties") or {}
    return NNUNetPlan(
        source=source,
        stages={number: _stage(stage, f"{source}: stage {number}") for number, stage in _numbered(stages, source)},
        base_num_features=_count(content, "base_num_features", source),
        num_modalities=_count(content, "num_modalities", source),
        num_classes=_count(content, "num_classes", source),
        conv_per_stage=_count({"conv_per_stage": 2, **content}, "conv_per_stage", source, low=2),
        transpose_forward=_order(content.get("transpose_forward"), source),
        modalities=dict(_numbered(content.get("modalities") or {}, source)),
        schemes=dict(_numbered(content.get("normalization_schemes") or {}, source)),
        intensities=dict(_numbered(properties.get("intensityproperties") or {}, source)),
        nonzero_only=dict(_numbered(content.get("use_mask_for_norm") or {}, source)),
    )


def _stage(content: Any, where: str) -> StagePlan:
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: expected a mapping, got {content!r}")
    patch = _size(content.get("patch_size"), None, f"{where}: patch_size")
    axes = len(patch)
    if axes not in (2, 3):
        raise ConfigError(f"{where}: patch_size {list(patch)} has {axes} axes; a plan has 2 or 3")
    pools = _sizes(content.get("pool_op_kernel_sizes"), axes, f"{where}: pool_op_kernel_sizes")
    if pools is None:
        pools = _pools(_size(content.get("num_pool_per_axis"), axes, f"{where}: num_pool_per_axis"))
    kernels = _sizes(content.get("conv_kernel_sizes"), axes, f"{where}: conv_kernel_sizes")
    if kernels is None:
        kernels = ((3,) * axes,) * (len(pools) + 1)
    if not pools or len(kernels) != len(pools) + 1:
        raise ConfigError(
            f"{where}: {len(pools)} pool_op_kernel_sizes need one more conv_kernel_sizes, not {len(kernels)}"
        )
    if any(k % 2 == 0 for kernel in kernels for k in kernel):
        raise ConfigError(f"{where}: conv_kernel_sizes has an even number: {[list(kernel) for kernel in kernels]}")
    batch = _count({"batch_size": 2, **content}, "batch_size", where)
    spacing = _spacing(content.get("current_spacing"), f"{where}: current_spacing")
    return StagePlan(patch, batch, pools, kernels, spacing, bool(content.get("do_dummy_2D_data_aug", False)))


def _pools(times: Sequence[int]) -> tuple[Size, ...]:
    """Halvings of plans that name only how often each axis is halved: an axis with fewer begins later."""
    most = max(times)
    return tuple(tuple(2 if most - count <= level else 1 for count in times) for level in range(most))


def _unpickled(path: Path) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as handle:
            content = RestrictedUnpickler(handle, str(path)).load()
    except CheckpointError:
        raise
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path}: cannot be read as a plan: {type(error).__name__}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: holds a {type(content).__name__}, not a plan")
    return content


def _mapping(content: Mapping[str, Any], key: str, source: str) -> Mapping[Any, Any]:
    value = content.get(key)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: is no plan, since it has no '{key}'")
    return value


def _numbered(values: Any, source: str) -> list[tuple[int, Any]]:
    """Items with their keys as numbers: JSON has strings."""
    try:
        return [(int(key), value) for key, value in values.items()]
    except (AttributeError, TypeError, ValueError):
        raise ConfigError(f"{source}: expected entries by number (0, 1, ...), got {values!r}") from None


def _count(content: Mapping[str, Any], key: str, source: str, low: int = 1) -> int:
    value = content.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ConfigError(f"{source}: {key} must be an integer of at least {low}, got {value!r}")
    return int(value)


def _size(value: Any, axes: int | None, where: str) -> Size:
    items = np.asarray(value if value is not None else []).tolist()
    whole = isinstance(items, list) and all(isinstance(item, (int, float)) and item == int(item) >= 0 for item in items)
    if not whole or not items or (axes is not None and len(items) != axes):
        raise ConfigError(f"{where}: expected {axes or '2 or 3'} whole numbers, got {value!r}")
    return tuple(int(item) for item in items)


def _sizes(value: Any, axes: int, where: str) -> tuple[Size, ...] | None:
    if value is None:
        return None
    sizes = tuple(_size(item, axes, where) for item in value)
    if any(min(size) < 1 for size in sizes):
        raise ConfigError(f"{where}: must be positive, got {value!r}")
    return sizes


def _order(value: Any, source: str) -> tuple[int, int, int]:
    order = (0, 1, 2) if value is None else _size(value, 3, f"{source}: transpose_forward")
    if sorted(order) != [0, 1, 2]:
        raise ConfigError(f"{source}: transpose_forward must hold 0, 1 and 2, got {value!r}")
    return order[0], order[1], order[2]


def _spacing(value: Any, where: str) -> tuple[float, float, float] | None:
    if value is None:
        return None
    items = np.asarray(value, dtype=np.float64).tolist()
    if len(items) != 3 or not all(math.isfinite(item) and item > 0 for item in items):
        raise ConfigError(f"{where}: expected three positive numbers (mm), got {value!r}")
    return items[0], items[1], items[2]
