"""What an nnU-Net plan means for a dataset of patches: grid, grey values, patches, windows."""

from __future__ import annotations

from typing import Any

from medicalseg.utils.nnunet_plan import NNUNetPlan, StagePlan

TOWARDS = {"x": "R", "y": "A", "z": "S"}
ANISOTROPIC = 3.0
LOW, HIGH = "percentile_00_5", "percentile_99_5"
CT, UNTOUCHED = ("CT", "CT2"), ("noNorm", "noNormalization")
Settings = dict[str, Any]


def dataset_settings(plan: NNUNetPlan, stage: StagePlan, training: bool) -> Settings:
    """Arguments of `PatchDataset`.

    The network's grid has the plan's axes: (z, y, x) of a volume, unless the plan transposed them. Slices are cut
    across the plan's first axis; the second gives the rows of their picture.

    Args:
        plan: the plan.
        stage: one of its networks.
        training: whether patches are drawn, and augmented.
    """
    flat = len(stage.patch_size) == 2
    order = slice(None, None, -1 if flat else 1)
    settings: Settings = {
        "patch_size": list(stage.patch_size[order]),
        "preprocess": {
            "orientation": "".join(TOWARDS[axis] for axis in plan.axes[order]),
            "crop": "nonzero",
            "intensity": intensity_steps(plan),
        },
        "normalize": "none",
        "restoring": "scores",
    }
    if stage.spacing is not None:
        spacing = list(stage.spacing)[order]
        settings["preprocess"] |= {"spacing": spacing, "image_order": _orders(spacing)}
    if flat:
        settings["slices"] = {"axis": 2}
    else:
        settings["sliding"] = {"window": list(stage.patch_size), "overlap": 0.5, "mirror_axes": [0, 1, 2]}
    if training:
        axes = [0, 1] if flat else [0, 1, 2]
        settings["transforms"] = [{"type": "NnUNetAugmentation", "mirror_axes": axes}]
    return settings


def intensity_steps(plan: NNUNetPlan) -> list[Settings]:
    """Normalisation of each channel; channels that get the same share their steps."""
    steps = [_intensity(plan, channel) for channel in range(plan.num_modalities)]
    if all(step == steps[0] for step in steps):
        return steps[0]
    return [{**step, "channels": [channel]} for channel, each in enumerate(steps) for step in each]


def lacks_intensities(plan: NNUNetPlan) -> bool:
    """Whether a channel is CT, and the plan does not say of which numbers."""
    return any(
        _scheme(plan, channel) in CT and channel not in plan.intensities for channel in range(plan.num_modalities)
    )


def _scheme(plan: NNUNetPlan, channel: int) -> str:
    return plan.schemes.get(channel, plan.modalities.get(channel, ""))


def _intensity(plan: NNUNetPlan, channel: int) -> list[Settings]:
    scheme = _scheme(plan, channel)
    own = {"type": "zscore", "mask": "nonzero" if plan.nonzero_only.get(channel) else "all"}
    if scheme in UNTOUCHED:
        return []
    if scheme not in CT:
        return [own]
    numbers = {name: float(value) for name, value in plan.intensities[channel].items()}
    low, high = numbers[LOW], numbers[HIGH]
    if scheme == CT[0]:
        deviation = max(numbers["sd"], 1e-3)
        return [{"type": "standardize", "low": low, "high": high, "mean": numbers["mean"], "std": deviation}]
    return [{"type": "window", "low": low, "high": high, "out_low": low, "out_high": high}, own]


def _orders(spacing: list[float]) -> int | list[int]:
    """Cubic splines; nearest across a thick axis."""
    thick = spacing.index(max(spacing))
    if max(spacing) <= ANISOTROPIC * min(spacing):
        return 3
    return [0 if axis == thick else 3 for axis in range(3)]
