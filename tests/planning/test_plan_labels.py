"""What names of labels say about directions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from medicalseg.planning.anatomy import read_anatomy
from medicalseg.planning.case_facts import CaseFacts
from medicalseg.planning.fingerprint import Fingerprint
from medicalseg.planning.levels import agrees_with_data, level_of, named_ends, ordered_levels


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("C1", 1),
        ("C7", 7),
        ("T1", 8),
        ("Th12", 19),
        ("vertebrae_T12", 19),
        ("L5", 24),
        ("vertebra L5", 24),
        ("L4/L5", 23.5),
        ("T12/L1", 19.5),
        ("L5/S", 24.5),
        ("S", 25),
        ("S1", 25),
        ("sacrum", 25),
        ("liver", None),
        ("T", None),
        ("tumour", None),
        ("C9", None),
        ("T2 lesion core", 9),
        ("L", None),
    ],
)
def test_places_along_the_spine(name: str, place: float | None) -> None:
    assert level_of(name) == place


def test_levels_are_ordered_from_below() -> None:
    names = {0: "background", 1: "L5", 2: "L4", 3: "T12", 4: "L4/L5", 5: "canal"}
    assert ordered_levels(names) == [1, 4, 2, 3]


def test_two_levels_make_no_order() -> None:
    assert ordered_levels({0: "background", 1: "L5", 2: "L4", 3: "canal"}) == []


def test_ends_of_an_axis_need_both_words() -> None:
    assert named_ends({0: "background", 1: "Anterior", 2: "Posterior"}) == {1: ["Anterior", "Posterior"]}
    assert named_ends({1: "upper lobe left", 2: "lower lobe left"}) == {2: ["lower lobe left", "upper lobe left"]}
    assert named_ends({1: "anterior", 2: "tumour"}) == {}


def facts(**changes: Any) -> CaseFacts:
    channel = {"least": 0.0, "low": 0.0, "high": 100.0, "whole": True}
    box = {"nonzero": (10, 10, 10), "body": (10, 10, 10)}
    case = CaseFacts("a", "RAS", (10,) * 3, (1.0,) * 3, box, dict.fromkeys(box, True), (channel,), {}, {}, {})
    return replace(case, **changes)


def fingerprint(names: dict[int, str], *cases: CaseFacts) -> Fingerprint:
    numbers = {"mean": 0.0, "std": 1.0, "median": 0.0, "p0.5": -1.0, "p99.5": 1.0}
    return Fingerprint(names, (), cases or (facts(),), (numbers,), {})


def test_sides_ends_and_levels_switch_mirroring_off() -> None:
    assert read_anatomy(fingerprint({0: "background", 1: "liver"})).mirror_axes == (0, 1, 2)
    assert read_anatomy(fingerprint({0: "background", 1: "kidney left", 2: "kidney right"})).mirror_axes == (1, 2)
    assert read_anatomy(fingerprint({0: "background", 1: "Anterior", 2: "Posterior"})).mirror_axes == (0, 2)
    anatomy = read_anatomy(fingerprint({0: "background", 1: "L5", 2: "L4", 3: "L3", 4: "L4/L5"}))
    assert anatomy.mirror_axes == (0, 1)
    assert anatomy.levels == (1, 4, 2, 3)
    assert anatomy.vertebrae == (1, 2, 3)
    assert "head-foot" in anatomy.mirror_reason


def test_levels_that_do_not_lie_in_order_are_no_levels() -> None:
    names = {0: "background", 1: "L5", 2: "L4", 3: "L3"}
    upwards = facts(centres={1: (0, 0, 1), 2: (0, 0, 2), 3: (0, 0, 3)})
    downwards = facts(centres={1: (0, 0, 3), 2: (0, 0, 2), 3: (0, 0, 1)})
    assert agrees_with_data([1, 2, 3], [upwards]) == 1
    assert agrees_with_data([1, 2, 3], [upwards, downwards]) == 0.5
    assert agrees_with_data([1, 2, 3], [facts(centres={1: (0, 0, 3)})]) is None
    assert read_anatomy(fingerprint(names, upwards)).levels == (1, 2, 3)
    assert read_anatomy(fingerprint(names, downwards)).levels == ()
