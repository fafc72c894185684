"""Level numbers: worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.errors import DataError, UserError
from medicalseg.metrics import LevelSummary, neighbour_confusion

ORDER = [2, 5, 3, 9]


def test_shares_of_neighbours():
    reference = np.array([2, 2, 5, 5, 3, 3, 9, 9, 0, 7])
    predicted = np.array([2, 5, 2, 3, 3, 2, 0, 7, 9, 2])
    found = neighbour_confusion(predicted, reference, ORDER)
    assert found.voxels == 8
    assert found.neighbour_share == pytest.approx(3 / 8)
    assert found.farther_share == pytest.approx(1 / 8)
    np.testing.assert_array_equal(found.matrix.sum(axis=0), [2, 2, 2, 2])
    np.testing.assert_array_equal(found.matrix[-1], [0, 0, 0, 2])


def test_majority_of_a_structure_ignores_what_is_no_level():
    reference = np.repeat([2, 5, 3, 9], 10)
    predicted = np.repeat([2, 3, 0, 0], 10)
    predicted[30:32] = 9
    assert neighbour_confusion(predicted, reference, ORDER).shifts() == [0, 1, None, 0]


def test_all_levels_shifted_by_one():
    reference = np.repeat(ORDER[:3], 5)
    found = neighbour_confusion(np.repeat(ORDER[1:], 5), reference, ORDER)
    assert found.neighbour_share == 1
    assert found.shifts() == [1, 1, 1]


def test_summary_is_over_cases():
    reference = np.repeat(ORDER[:2], 10)
    good = neighbour_confusion(reference, reference, ORDER)
    half = reference.copy()
    half[:10] = 5
    half[10:] = 0
    bad = neighbour_confusion(half, reference, ORDER)
    none = neighbour_confusion(reference * 0, reference * 0, ORDER)
    names = [f"n{index}" for index in range(10)]
    summary = LevelSummary.of([good, bad, none], names)
    assert summary.neighbour_share == pytest.approx(0.25)
    assert (summary.structures, summary.right, summary.missed, summary.shifts) == (4, 2, 1, {1: 1})
    assert summary.accuracy == 0.5
    assert summary.names == ("n2", "n5", "n3", "n9")
    assert summary.to_dict()["shifts"] == {"+1": 1}


def test_without_any_level_nothing_is_applicable():
    found = neighbour_confusion(np.zeros(3, int), np.zeros(3, int), ORDER)
    assert np.isnan(found.neighbour_share)
    assert found.shifts() == []


def test_wrong_input():
    with pytest.raises(UserError, match="each once"):
        neighbour_confusion(np.zeros(3, int), np.zeros(3, int), [2, 2])
    with pytest.raises(DataError, match="shape"):
        neighbour_confusion(np.zeros(3, int), np.zeros(4, int), ORDER)
