"""What a step may cost on the device that will train, and which network width is planned for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from medicalseg.models.presets import BASE_FEATURES, MOST_FEATURES, PRESETS
from medicalseg.planning.memory import CpuBudget
from medicalseg.planning.nnunet_budget import Budget
from medicalseg.planning.patch import initial_patch
from medicalseg.planning.settings import Settings
from medicalseg.planning.topology import Topology, topology
from medicalseg.planning.unet_cost import PLAIN, RESIDUAL

CPU_WIDTHS = (32, 24, 16)
WIDE_SHARE = 0.5
LEVELS_FACTOR = 2.0


class StepBudget(Protocol):
    """Cost of a topology and a batch, and what it may be."""

    def cost(self, shape: Topology, batch: int) -> float:
        """In whatever unit `limit` has."""

    def limit(self, dimensions: int) -> float:
        """What `cost` may be."""


def make_budget(
    settings: Settings, spacing: Sequence[float], median: Sequence[int], channels: tuple[int, int], factor: float = 1.0
) -> tuple[StepBudget, int, str]:
    """The budget, the width of the first stage, and why that width.

    Args:
        settings: device, memory, network.
        spacing: mm per axis.
        median: voxels of the median volume.
        channels: of the input and of the output.
        factor: of the time that a step may take on a CPU.
    """
    if settings.device == "gpu":
        preset = settings.planned or PRESETS["plain"]
        return Budget(preset, settings.memory, *channels), BASE_FEATURES, "nnU-Net's width"
    dimensions = len(spacing)
    whole = topology(initial_patch(spacing, median), spacing)
    kind = settings.network_type if settings.network_type in (PLAIN, RESIDUAL) else PLAIN
    for base in CPU_WIDTHS:
        budget = CpuBudget(
            kind,
            base,
            min(MOST_FEATURES[dimensions], MOST_FEATURES[dimensions] * base // BASE_FEATURES),
            settings.memory,
            settings.step_seconds * factor,
            settings.cores,
            settings.precision,
            *channels,
            speed=settings.speed,
        )
        if budget.cost(whole, 2) <= WIDE_SHARE:
            return budget, base, f"a CPU still steps fast with a width of {base} (nnU-Net: {BASE_FEATURES})"
    return (
        budget,
        base,
        f"a CPU learns more in the same time from more, cheaper steps (nnU-Net's width: {BASE_FEATURES})",
    )
