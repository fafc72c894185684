"""Order along the spine on expert labels of real patients, whole and corrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medicalseg.io import Volume, read_label
from medicalseg.postprocessing import OrderAlongSpine
from tests.postprocessing.spine_phantom import DISCS, VERTEBRAE, half_as_neighbour, mean_dice, shifted, speckled


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> list[Volume]:
    files = sorted((shared_data / "spine" / "spider_t2space" / "labelsTr_levels").glob("*.nii.gz"))
    return [read_label(file) for file in files[::5]]


def ordered(labels: np.ndarray, case: Volume, **arguments: float) -> np.ndarray:
    return OrderAlongSpine(VERTEBRAE, DISCS, **arguments)(labels, case.spacing, case.axcodes)


def test_right_maps_stay(cases: list[Volume]) -> None:
    for case in cases:
        assert (ordered(case.array, case) != case.array).sum() <= 200


CORRUPTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "upper stretch one level up": lambda labels: shifted(labels, 5),
    "upper stretch one level down": lambda labels: shifted(labels, 5, -1),
    "half of L3 and of L2/L3 swapped": lambda labels: half_as_neighbour(half_as_neighbour(labels, 4, 5), 14, 13),
    "L3 called L4": lambda labels: np.where(labels == 4, 3, labels),
    "speckle": lambda labels: speckled(labels, 0.2),
    "disc lost, shift above": lambda labels: np.where(labels == 14, 0, shifted(labels, 5)),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupted_maps_recover(name: str, cases: list[Volume]) -> None:
    before, after = [], []
    for case in cases:
        wrong = CORRUPTIONS[name](case.array)
        target = np.where(wrong == 0, 0, case.array)
        before.append(mean_dice(wrong, target))
        after.append(mean_dice(ordered(wrong, case), target))
    assert np.mean(before) < 0.95
    assert np.min(after) > 0.99


def test_a_map_that_is_wrong_almost_everywhere_recovers_from_its_lowest_level(cases: list[Volume]) -> None:
    for case in cases[:3]:
        assert mean_dice(ordered(shifted(case.array, 1), case, anchor=100.0), case.array) > 0.99
