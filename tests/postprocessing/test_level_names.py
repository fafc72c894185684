"""Levels in the names of labels."""

from __future__ import annotations

import pytest

from medicalseg.postprocessing.level_names import levels_of

LETTERS = "SLTC"


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("C1", "C1"),
        ("T1", "T1"),
        ("Th12", "T12"),
        ("D12", "T12"),
        ("T13", "T13"),
        ("vertebrae_T12", "T12"),
        ("vertebra L5", "L5"),
        ("Vertebra body: l5", "L5"),
        ("L4/L5", "L5 L4"),
        ("disc L5-S1", "S1 L5"),
        ("L5S1", "S1 L5"),
        ("IVD_T12_L1", "L1 T12"),
        ("L5/S", "S1 L5"),
        ("L6/sacrum", "S1 L6"),
        ("C7/T1", "T1 C7"),
        ("S", "S1"),
        ("S2", "S2"),
        ("sacrum", "S1"),
        ("Sacrum", "S1"),
    ],
)
def test_levels(name: str, levels: str) -> None:
    assert " ".join(f"{LETTERS[level.region]}{-level.height}" for level in levels_of(name)) == levels


@pytest.mark.parametrize(
    "name",
    [
        "liver",
        "T",
        "L",
        "D",
        "C9",
        "L0",
        "L45",
        "T2 lesion core",
        "nerve L5",
        "L1-L5",
        "L5/T1",
        "L2/L3/L4",
        "disc",
        "",
        "5",
    ],
)
def test_other_names(name: str) -> None:
    assert levels_of(name) == ()


def test_order() -> None:
    names = ["S1", "L6", "L5", "L1", "Th13", "T12", "D1", "C7", "C1"]
    assert sorted(names, key=levels_of) == names
