"""Spacing, patch and batch of one configuration, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medicalseg.errors import UserError
from medicalseg.planning.anatomy import AXIS_NAMES, Anatomy
from medicalseg.planning.budget import LEVELS_FACTOR, StepBudget, make_budget
from medicalseg.planning.fingerprint import Fingerprint
from medicalseg.planning.levels import CRANIOCAUDAL
from medicalseg.planning.memory import CpuBudget
from medicalseg.planning.patch import LEAST_BATCH, Fit, Shape, fit_patch, initial_patch
from medicalseg.planning.settings import Settings, size_text
from medicalseg.planning.spacing import (
    LOWRES_LEAST_FACTOR,
    LOWRES_SHARE,
    Target,
    coarser,
    resampled_shapes,
    rounded,
    target_spacing,
)
from medicalseg.planning.topology import Topology, topology

MOST_BATCH_CPU = {2: 16, 3: 2}
SMALL = {2: 64, 3: 16}
WHOLE_PERCENTILE = 95
ACROSS_SHARE = 0.5
COARSEST_FACTOR = 8.0
ABOUT = 1.5
WHOLE = "coarse, so that one patch shows the whole volume"


@dataclass(frozen=True)
class Stage:
    """Grid, patch and width of one network.

    Attributes:
        kind: 2d, 3d or 3d_lowres.
        spacing: mm per axis (3).
        spacing_reason: why.
        median: voxels of the median volume at that spacing (3).
        fit: patch, topology and batch; for 2d of the slice, (rows, columns).
        patch_reason: why that patch.
        batch_reason: why that batch.
        base: channels of the first stage.
        base_reason: why.
        budget: what limited it.
        slice_axis: of 2d, the axis that is cut.
        whole: axes that a patch has to show whole.
    """

    kind: str
    spacing: tuple[float, ...]
    spacing_reason: str
    median: tuple[int, ...]
    fit: Fit
    patch_reason: str
    batch_reason: str
    base: int
    base_reason: str
    budget: StepBudget
    slice_axis: int | None = None
    whole: tuple[int, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the median volume that a patch shows."""
        patch = self.fit.topology.patch
        return math.prod(patch) / math.prod(self.median) if len(patch) == 3 else 1.0

    @property
    def estimated_seconds(self) -> float | None:
        """Of a step on a CPU; None where the budget knows no time."""
        if not isinstance(self.budget, CpuBudget):
            return None
        return self.budget.shares(self.fit.topology, self.fit.batch)[1] * self.budget.seconds


@dataclass(frozen=True)
class Planner:
    """Rules applied to one dataset.

    Attributes:
        fingerprint: of the dataset.
        anatomy: directions that labels know.
        settings: what the user asked for.
        crop: which part of an image is used.
        num_classes: channels of the output.
        shape: the topology of a patch, where the network is not a U-Net of ours.
    """

    fingerprint: Fingerprint
    anatomy: Anatomy
    settings: Settings
    crop: str
    num_classes: int
    shape: Shape = topology

    @property
    def target(self) -> Target:
        """nnU-Net's target spacing."""
        return target_spacing(self.fingerprint.spacings.tolist(), self._cropped)

    @property
    def _cropped(self) -> list[list[int]]:
        return self.fingerprint.cropped(self.crop).tolist()  # type: ignore[no-any-return]

    def shapes(self, spacing: Sequence[float]) -> np.ndarray:
        """Voxels per case and axis at a spacing."""
        return resampled_shapes(self._cropped, self.fingerprint.spacings.tolist(), spacing)

    def median(self, spacing: Sequence[float]) -> tuple[int, ...]:
        """Voxels of the median volume."""
        return tuple(max(1, int(size)) for size in np.median(self.shapes(spacing), axis=0))

    def full(self) -> Stage:
        """The network at full resolution; with ordered levels at one where their axis fits into a patch."""
        if self.anatomy.levels:
            return self._levels(self.target, _spacing_reason(self.target, self.fingerprint))
        return self.fine()

    def fine(self) -> Stage:
        """The network at full resolution, whatever a patch shows: a cascade's second stage."""
        return self._stage("3d", self.target.spacing, _spacing_reason(self.target, self.fingerprint))

    def lowres(self, full: Stage) -> Stage | None:
        """nnU-Net's low resolution: coarser until a patch shows a quarter of the median volume; None if not coarser."""
        spacing, stage = full.spacing, full
        while stage.coverage < LOWRES_SHARE and max(spacing) / max(full.spacing) < COARSEST_FACTOR**2:
            spacing = coarser(spacing)
            stage = self._stage("3d_lowres", rounded(spacing), self._coarse_reason(full))
        enough = math.prod(full.median) / math.prod(stage.median) >= LOWRES_LEAST_FACTOR
        return stage if enough and stage is not full else None

    def coarse(self, full: Stage) -> Stage:
        """The first stage of a cascade: coarser until a patch shows the whole median volume."""
        spacing = coarser(full.spacing, 1.5)
        while True:
            stage = self._stage("3d_lowres", rounded(spacing), WHOLE)
            whole = all(p >= m for p, m in zip(stage.fit.topology.patch, stage.median, strict=True))
            if whole or max(spacing) / max(full.spacing) > COARSEST_FACTOR:
                return stage
            spacing = coarser(spacing)

    def slices(self) -> Stage:
        """Slices across the thickest axis."""
        target = self.target
        median = self.median(target.spacing)
        axis = slice_axis(target.spacing, median)
        plane = [other for other in reversed(range(3)) if other != axis]
        spacing, sizes = [target.spacing[k] for k in plane], [median[k] for k in plane]
        channels = (self.fingerprint.channels, self.num_classes)
        budget, base, base_reason = make_budget(self.settings, spacing, sizes, channels)
        fit = self._fit(spacing, sizes, budget, ())
        why = self._patch_reason(fit, sizes, budget)
        reason = _spacing_reason(target, self.fingerprint)
        batch = self._batch_reason(fit, budget)
        return Stage("2d", target.spacing, reason, median, fit, why, batch, base, base_reason, budget, axis)

    def _levels(self, target: Target, reason: str) -> Stage:
        """The finest spacing at which a patch sees the head-foot axis whole and half of the others."""
        spacing: tuple[float, ...] = target.spacing
        while True:
            stage = self._stage("3d", rounded(spacing), reason, levels=True)
            patch = stage.fit.topology.patch
            across = [axis for axis in range(3) if axis != CRANIOCAUDAL]
            enough = all(patch[axis] >= ACROSS_SHARE * stage.median[axis] for axis in across)
            if (stage.fit.fits and enough) or max(spacing) / max(target.spacing) > COARSEST_FACTOR:
                return stage
            spacing = coarser(spacing)
            reason = (
                f"coarser than the median {_mm(target.spacing)}: labels are levels along head-foot, and a patch has to "
                "show that axis whole to tell them apart; the finest spacing at which it fits"
            )

    def _stage(self, kind: str, spacing: tuple[float, ...], reason: str, levels: bool = False) -> Stage:
        median = self.median(spacing)
        channels = (self.fingerprint.channels, self.num_classes)
        factor = LEVELS_FACTOR if levels else 1.0
        budget, base, base_reason = make_budget(self.settings, spacing, median, channels, factor)
        start = self._start(spacing, median) if levels else None
        whole = (CRANIOCAUDAL,) if levels else ()
        fit = self._fit(spacing, median, budget, whole, start)
        patch_reason = self._patch_reason(fit, median, budget)
        if levels:
            patch_reason = (
                f"head-foot whole (percentile {WHOLE_PERCENTILE} of the cases), since labels are levels along it; "
                f"across it what fits into {self._limit(budget)}"
            )
        batch_reason = self._batch_reason(fit, budget)
        return Stage(
            kind, spacing, reason, median, fit, patch_reason, batch_reason, base, base_reason, budget, whole=whole
        )

    def _start(self, spacing: tuple[float, ...], median: tuple[int, ...]) -> list[int]:
        start = list(initial_patch(spacing, median))
        tall = np.percentile(self.shapes(spacing)[:, CRANIOCAUDAL], WHOLE_PERCENTILE)
        start[CRANIOCAUDAL] = math.ceil(tall)
        return start

    def _fit(
        self,
        spacing: Sequence[float],
        median: Sequence[int],
        budget: StepBudget,
        whole: tuple[int, ...],
        start: Sequence[int] | None = None,
    ) -> Fit:
        dimensions = len(spacing)
        voxels = math.prod(self.median(self.target.spacing)) * len(self.fingerprint.cases)
        if dimensions == 3:
            voxels = math.prod(median) * len(self.fingerprint.cases)
        fit = fit_patch(
            spacing,
            median,
            budget.cost,
            budget.limit(dimensions),
            voxels=voxels,
            most_batch=MOST_BATCH_CPU[dimensions] if self.settings.device == "cpu" else None,
            whole=whole,
            start=start,
            shape=self.shape,
        )
        if _memory_share(budget, fit.topology, fit.batch) > 1:
            small = [min(SMALL[dimensions], int(size)) for size in median]
            for axis in whole:
                small[axis] = int((start or median)[axis])
            self._refuse(self.shape(small, spacing), budget)
        return fit

    def _refuse(self, small: Topology, budget: StepBudget) -> None:
        """Raise UserError with the memory that a small patch takes."""
        least = self.settings.memory * _memory_share(budget, small, LEAST_BATCH)
        raise UserError(
            f"--memory {size_text(self.settings.memory)}: too little; a step of {LEAST_BATCH} patches of "
            f"{' x '.join(map(str, small.patch))} alone takes more: give {math.ceil(1024 * least)}M or more"
        )

    def _patch_reason(self, fit: Fit, median: Sequence[int], budget: StepBudget) -> str:
        size = " x ".join(str(value) for value in median)
        if not fit.shrunk:
            return f"the median ({size}), rounded up to what the strides divide"
        limit = self._limit(budget)
        return f"the median is {size}; cut where it is largest in proportion, until {LEAST_BATCH} fit into {limit}"

    def _limit(self, budget: StepBudget) -> str:
        """What a step may take, as it was planned for."""
        memory = f"{self.settings.memory:g} GB"
        if not isinstance(budget, CpuBudget):
            return memory
        twice = " (twice --step_seconds, for levels that a patch shows whole)"
        longer = twice if budget.seconds > self.settings.step_seconds else ""
        return f"{memory} and {budget.seconds:g} s per step{longer}"

    def _batch_reason(self, fit: Fit, budget: StepBudget) -> str:
        if not fit.fits:
            return "at least two; a step may take longer than asked for, the patch cannot become smaller"
        if fit.capped:
            return "a step sees at most 5 % of all voxels, so that it does not fit a few cases"
        if self.settings.device == "gpu":
            return f"as many as fit into {self.settings.memory:g} GB by nnU-Net's estimate"
        if fit.batch == MOST_BATCH_CPU[len(fit.topology.patch)]:
            return "on a CPU more steps teach more than larger batches"
        return f"as many as fit into {self._limit(budget)}"

    def _coarse_reason(self, full: Stage) -> str:
        share = f"{100 * full.coverage:.0f} %"
        return (
            f"coarser than {_mm(full.spacing)}, where a patch shows {share}, until one shows 25 % of the median volume"
        )


def _memory_share(budget: StepBudget, shape: Topology, batch: int) -> float:
    """Share of the memory that a step takes; above 1 it does not fit."""
    if isinstance(budget, CpuBudget):
        return budget.shares(shape, batch)[0]
    return budget.cost(shape, batch) / budget.limit(len(shape.patch))


def slice_axis(spacing: Sequence[float], median: Sequence[int]) -> int:
    """Of the axes about as thick as the thickest that with the fewest voxels; of equal ones the last."""
    thick = [axis for axis in range(3) if spacing[axis] * ABOUT >= max(spacing)]
    return min(thick, key=lambda axis: (median[axis], -axis))


def is_flat(fingerprint: Fingerprint) -> bool:
    """Whether most volumes have a single slice."""
    return bool(np.median(fingerprint.shapes.min(axis=1)) == 1)


def _spacing_reason(target: Target, fingerprint: Fingerprint) -> str:
    if target.thick_axis is not None:
        return (
            f"median of the cases; of the thick axis ({AXIS_NAMES[target.thick_axis]}) percentile 10, by nnU-Net's rule"
        )
    spacings = fingerprint.spacings
    if np.allclose(spacings.min(axis=0), spacings.max(axis=0), rtol=1e-3):
        return "all cases have it, nothing is resampled"
    return "median of the cases"


def _mm(spacing: Sequence[float]) -> str:
    return " x ".join(f"{value:g}" for value in spacing) + " mm"
