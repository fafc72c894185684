"""Topology, patch and batch against plans of nnunetv2 2.8.1."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import pytest

from medicalseg.models.presets import PRESETS, stage_features
from medicalseg.planning.nnunet_budget import Budget
from medicalseg.planning.patch import fit_patch, initial_patch, shrink
from medicalseg.planning.topology import topology


class Published(NamedTuple):
    """A plan that nnunetv2 2.8.1 makes: of spacing, median shape and number of cases; digits are per axis."""

    spacing: tuple[float, ...]
    median: tuple[int, ...]
    cases: int
    patch: tuple[int, ...]
    batch: int
    strides: str
    kernels: str
    widest: int


PLANS = [
    Published((1.0, 1.0, 1.0), (35, 50, 36), 260, (40, 56, 40), 9, "111 222 222 222", "333 333 333 333", 256),
    Published(
        (1, 1, 1), (153, 163, 148), 484, (128, 128, 128), 2, "111 222 222 222 222 222", "333 333 333 333 333 333", 320
    ),
    Published(
        (0.79, 0.79, 0.8),
        (512, 512, 480),
        100,
        (128, 128, 128),
        2,
        "111 222 222 222 222 222",
        "333 333 333 333 333 333",
        320,
    ),
    Published(
        (5, 0.7, 0.7),
        (20, 320, 320),
        32,
        (20, 320, 256),
        2,
        "111 122 122 222 222 122 122",
        "133 133 333 333 333 333 333",
        320,
    ),
    Published(
        (10, 1.5, 1.5), (9, 237, 208), 100, (10, 256, 224), 4, "111 122 122 222 122 122", "133 133 333 333 333 333", 320
    ),
    Published(
        (3, 0.8, 0.8), (60, 400, 300), 40, (40, 256, 192), 2, "111 122 222 222 222 122", "133 333 333 333 333 333", 320
    ),
    Published(
        (0.9, 0.9375, 0.9375),
        (20, 191, 320),
        30,
        (20, 192, 256),
        2,
        "111 222 222 122 122 122",
        "333 333 333 333 333 333",
        320,
    ),
    Published(
        (2, 1, 1), (40, 186, 186), 10, (40, 192, 192), 2, "111 122 222 222 222 122", "133 333 333 333 333 333", 320
    ),
    Published(
        (1.5, 0.8, 0.7),
        (345, 97, 464),
        200,
        (160, 48, 256),
        2,
        "111 122 222 222 212 212 212",
        "133 333 333 333 333 333 333",
        320,
    ),
    Published(
        (1.25, 0.7, 0.5), (38, 89, 273), 10, (40, 96, 288), 2, "111 122 222 222 222 112", "133 333 333 333 333 333", 320
    ),
    Published((0.5, 0.5), (640, 512), 120, (640, 512), 6, "11 22 22 22 22 22 22 22", "33 33 33 33 33 33 33 33", 512),
    Published((1, 1), (35, 50), 260, (40, 56), 10, "11 22 22 22", "33 33 33 33", 256),
]
RESIDUAL = [
    ("ResEncM", (5, 0.7, 0.7), (20, 320, 320), 32, (20, 256, 256), 2),
    ("ResEncM", (1.5, 0.8, 0.7), (345, 97, 464), 200, (160, 48, 224), 2),
    ("ResEncM", (1, 1, 1), (35, 50, 36), 260, (40, 56, 40), 9),
    ("ResEncL", (1, 1, 1), (153, 163, 148), 484, (160, 192, 160), 3),
    ("ResEncL", (3, 0.8, 0.8), (60, 400, 300), 40, (56, 384, 256), 2),
]


def rows(text: str) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(digit) for digit in word) for word in text.split())


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: "x".join(map(str, plan.median)))
def test_plans_for_a_gpu_are_those_of_nnunet(plan: Published) -> None:
    budget = Budget(PRESETS["plain"], 8, 1, 3)
    voxels = math.prod(plan.median) * plan.cases
    fit = fit_patch(plan.spacing, plan.median, budget.cost, budget.limit(len(plan.spacing)), voxels=voxels)
    assert (fit.topology.patch, fit.batch) == (plan.patch, plan.batch)
    assert fit.topology.strides == rows(plan.strides)
    assert fit.topology.kernels == rows(plan.kernels)
    assert stage_features(fit.topology.stages, len(plan.spacing))[-1] == plan.widest


@pytest.mark.parametrize(("preset", "spacing", "median", "cases", "patch", "batch"), RESIDUAL)
def test_plans_of_the_residual_presets(
    preset: str,
    spacing: tuple[float, ...],
    median: tuple[int, ...],
    cases: int,
    patch: tuple[int, ...],
    batch: int,
) -> None:
    budget = Budget(PRESETS[preset], PRESETS[preset].memory_gb, 1, 3)
    fit = fit_patch(spacing, median, budget.cost, budget.limit(3), voxels=math.prod(median) * cases)
    assert (fit.topology.patch, fit.batch) == (patch, batch)


def test_topologies_of_random_patches_are_those_of_nnunet() -> None:
    module = pytest.importorskip("nnunetv2.experiment_planning.experiment_planners.network_topology")
    draw = random.Random(5)
    for _ in range(300):
        axes = draw.choice([2, 3])
        size = [draw.randint(2, 300) for _ in range(axes)]
        spacing = [draw.choice([0.33, 0.5, 0.7, 1, 1.2, 2, 3, 5]) for _ in range(axes)]
        pools, strides, kernels, patch, divisor = module.get_pool_and_conv_props(spacing, size, 4, 999999)
        found = topology(size, spacing)
        assert found.strides == tuple(map(tuple, strides))
        assert found.kernels == tuple(map(tuple, kernels))
        assert (found.patch, found.pools, found.divisor) == (tuple(patch), tuple(pools), tuple(divisor))


def test_an_axis_of_one_voxel_keeps_the_kernel_1() -> None:
    found = topology((64, 64, 1), (1, 1, 1))
    assert {row[2] for row in found.kernels} == {1}
    assert found.patch == (64, 64, 1)


def test_the_first_patch_is_cubic_in_mm_and_never_larger_than_the_volume() -> None:
    assert initial_patch((1, 1, 1), (512, 100, 512)) == (256, 100, 256)
    sides = [size * mm for size, mm in zip(initial_patch((1, 2, 4), (9999,) * 3), (1, 2, 4), strict=True)]
    assert max(sides) - min(sides) < 4


def test_shrinking_ends_and_leaves_whole_axes_alone() -> None:
    current = topology((64, 64, 64), (1, 1, 1))
    sizes = [math.prod(current.patch)]
    while (smaller := shrink(current, (1, 1, 1), (64, 64, 64), whole=(2,))) is not None:
        current = smaller
        sizes.append(math.prod(current.patch))
        assert current.patch[2] == 64
    assert sizes == sorted(sizes, reverse=True)
    assert current.patch[0] < 8


def test_a_batch_sees_at_most_a_twentieth_of_the_data_but_two_patches() -> None:
    fit = fit_patch((1, 1, 1), (40, 40, 40), lambda shape, batch: batch, 100, voxels=40**3 * 60)
    assert (fit.batch, fit.capped) == (3, True)
    fit = fit_patch((1, 1, 1), (40, 40, 40), lambda shape, batch: batch, 100, voxels=40**3 * 2)
    assert (fit.batch, fit.capped) == (2, True)
    fit = fit_patch((1, 1, 1), (40, 40, 40), lambda shape, batch: batch, 100, voxels=1e12, most_batch=4)
    assert (fit.batch, fit.capped) == (4, False)


def test_what_cannot_fit_is_said() -> None:
    fit = fit_patch((1, 1, 1), (40, 40, 40), lambda shape, batch: 2.0, 1.0)
    assert not fit.fits
