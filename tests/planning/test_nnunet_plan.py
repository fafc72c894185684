"""Plan files with the keys of PaddleSeg3D's planner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medicalseg.errors import ConfigError
from medicalseg.planning.case_facts import CaseFacts
from medicalseg.planning.fingerprint import Fingerprint
from medicalseg.planning.nnunet_plan import nnunet_plan, plan_of
from medicalseg.utils.nnunet_plan import parse_plan
from tests.planning.conftest import Make

SHIPPED = Path(__file__).resolve().parents[2] / "configs/nnunet/msd_lung"
NUMBERS = {"mean": -100.0, "std": 250.0, "median": -80.0, "p0.5": -900.0, "p99.5": 250.0}


def lung(shape: tuple[int, int, int], spacing: tuple[float, float, float], cases: int = 63) -> Fingerprint:
    """Like cases of CT, as the shipped plans were made of."""
    channel: dict[str, Any] = {"least": -1024.0, "low": -1000.0, "high": 1500.0, "whole": True, **NUMBERS}
    facts = CaseFacts(
        **{"case": "lung", "axcodes": "RAS", "shape": shape, "spacing": spacing, "channels": (channel,)},
        boxes=dict.fromkeys(("nonzero", "body"), shape),
        labels_inside=dict.fromkeys(("nonzero", "body"), True),
        voxels={1: 1000},
        components={1: 1},
        centres={1: (0.0, 0.0, 0.0)},
    )
    return Fingerprint({0: "background", 1: "cancer"}, ("CT",), (facts,) * cases, (NUMBERS,), {})


def test_the_plan_of_paddleseg3d_for_lungs() -> None:
    """The same patches, poolings and kernels, from the dataset's medians, at full resolution and of slices."""
    fingerprint = lung((512, 512, 252), (0.7851560115814209, 0.7851560115814209, 1.244979977607727))
    for name, flat, stage in (("plans_3D.json", False, 1), ("plans_2D.json", True, 0)):
        ours = plan_of(fingerprint, 2, flat)
        shipped = json.loads((SHIPPED / name).read_text())
        found, expected = ours["plans_per_stage"][str(stage)], shipped["plans_per_stage"][str(stage)]
        for key in ("patch_size", "batch_size", "pool_op_kernel_sizes", "conv_kernel_sizes"):
            assert found[key] == expected[key], (name, key)
        assert found["current_spacing"] == pytest.approx(expected["current_spacing"], abs=1e-4)
        for key in ("base_num_features", "num_modalities", "num_classes", "transpose_forward", "normalization_schemes"):
            assert ours[key] == shipped[key], (name, key)
    assert len(plan_of(fingerprint, 2, False)["plans_per_stage"]) == 2


@pytest.mark.parametrize(("thick", "transposed"), [(0, [2, 0, 1]), (1, [1, 0, 2]), (2, [0, 1, 2])])
def test_the_thick_axis_comes_first(thick: int, transposed: list[int]) -> None:
    """nnU-Net's transposition: the axis with the largest spacing first, of SimpleITK's (z, y, x)."""
    shape, spacing = [128, 192, 256], [1.0, 1.25, 1.5]
    shape[thick], spacing[thick] = 20, 6.0
    fingerprint = lung((shape[0], shape[1], shape[2]), (spacing[0], spacing[1], spacing[2]), 20)
    plan = parse_plan(plan_of(fingerprint, 2, True), "test")
    assert list(plan.transpose_forward) == transposed
    order = ["xyz".index(axis) for axis in plan.axes]
    assert plan.stages[0].spacing == tuple(spacing[axis] for axis in order)
    assert plan.stages[0].patch_size == tuple(shape[axis] for axis in order[1:])
    volumes = parse_plan(plan_of(fingerprint, 2, False), "test")
    fine = volumes.stages[max(volumes.stages)]
    assert list(volumes.transpose_forward) == transposed
    assert fine.spacing == plan.stages[0].spacing
    assert (fine.patch_size[0], fine.kernels[0], fine.pools[0]) == (20, (1, 3, 3), (1, 2, 2))


def test_measured_of_a_folder(make_dataset: Make, cache: Path) -> None:
    plan = parse_plan(nnunet_plan(make_dataset(channels={"0": "T1", "1": "T2"}), False), "test")
    assert (plan.num_modalities, plan.num_classes, plan.axes) == (2, 2, "zyx")
    assert plan.schemes == {0: "nonCT", 1: "nonCT"}
    assert plan.intensities[1]["mean"] > plan.intensities[0]["mean"] > 140


def test_regions_are_refused(make_dataset: Make, cache: Path) -> None:
    root = make_dataset(labels={"background": 0, "whole": [1, 2], "core": 2}, regions_class_order=[1, 2])
    with pytest.raises(ConfigError, match="its regions overlap"):
        nnunet_plan(root, False)
