"""Target spacing and what follows from it."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.planning.spacing import coarser, is_anisotropic, resampled_shapes, rounded, target_spacing


def test_the_median_of_the_cases() -> None:
    target = target_spacing([(1, 1, 1), (1.2, 1, 3), (0.8, 1, 2)], [(100, 100, 100)] * 3)
    assert target.spacing == (1.0, 1.0, 2.0)
    assert target.thick_axis is None


def test_of_a_thick_axis_with_few_voxels_the_percentile_10() -> None:
    spacings = [(1.5, 1.5, thick) for thick in (5, 6, 8, 10, 10, 10, 10, 10, 10, 10)]
    target = target_spacing(spacings, [(200, 200, 10)] * 10)
    assert target.thick_axis == 2
    assert target.spacing[2] == pytest.approx(np.percentile([row[2] for row in spacings], 10))


def test_a_thick_axis_with_many_voxels_keeps_the_median() -> None:
    assert target_spacing([(1, 1, 5)] * 3, [(200, 200, 100)] * 3).thick_axis is None


def test_the_thick_axis_never_becomes_finer_than_the_others() -> None:
    spacings = [(1, 1, 0.5), (1, 1, 0.5)] + [(1, 1, 5)] * 8
    target = target_spacing(spacings, [(200, 200, 10)] * 10)
    assert target.spacing == (1.0, 1.0, 1.0)


def test_float32_spacings_are_rounded() -> None:
    assert rounded(np.float32([0.9, 0.9375, 1.1])) == (0.9, 0.9375, 1.1)


def test_shapes_keep_the_field_of_view_and_at_least_one_voxel() -> None:
    shapes = resampled_shapes([(100, 50, 1)], [(1, 2, 4)], (2, 2, 9))
    assert shapes.tolist() == [[50, 50, 1]]


def test_low_resolution_coarsens_the_fine_axes_first() -> None:
    assert coarser((1, 1, 5), 2) == (2.0, 2.0, 5)
    assert coarser((2, 3, 4), 2) == (4.0, 6.0, 8.0)


def test_anisotropy_is_a_factor_above_3() -> None:
    assert not is_anisotropic((1, 1, 3))
    assert is_anisotropic((1, 1, 3.1))
