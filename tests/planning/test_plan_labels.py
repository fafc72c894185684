"""What names of labels say about directions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from medicalseg.planning.anatomy import read_anatomy
from medicalseg.planning.case_facts import CaseFacts
from medicalseg.planning.ends import named_ends, unnamed_ends
from medicalseg.planning.fingerprint import Fingerprint
from medicalseg.planning.levels import agrees_with_data, ordered_levels, start_lowest


def test_levels_are_ordered_from_below() -> None:
    names = {0: "background", 1: "L5", 2: "L4", 3: "T12", 4: "L4/L5", 5: "canal"}
    assert ordered_levels(names) == [1, 4, 2, 3]
    assert ordered_levels({1: "L1", 2: "Th13", 3: "D12", 4: "sacrum", 5: "L6", 6: "L6/S1"}) == [4, 6, 5, 1, 2, 3]


def test_two_levels_make_no_order() -> None:
    assert ordered_levels({0: "background", 1: "L5", 2: "L4", 3: "canal"}) == []


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


def two(first: tuple[float, float, float], second: tuple[float, float, float], volumes: tuple[int, int]) -> CaseFacts:
    return facts(centres={1: first, 2: second}, voxels={1: volumes[0], 2: volumes[1]})


ORDERED = [two((5, 9, 3 + k % 2), (5, 2, 4 - k % 2), (100, 150)) for k in range(10)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Anterior", "Posterior"),
        ("anterior hippocampus", "posterior hippocampus"),
        ("hippo_ant", "hippo_post"),
        ("HippoAnt", "HippoPost"),
        ("hippo_a", "hippo_p"),
        ("Ant", "Post"),
        ("hippocampe antérieur", "hippocampe postérieur"),
        ("ventral horn", "dorsal horn"),
        ("horn vent.", "horn dors."),
    ],
)
def test_ends_of_an_axis_however_they_are_spelt(first: str, second: str) -> None:
    names = {0: "background", 1: first, 2: second}
    assert read_anatomy(fingerprint(names, *ORDERED)).mirror_axes == (0, 2)
    assert "in one order in 10 cases" in read_anatomy(fingerprint(names, *ORDERED)).mirror_reason
    assert read_anatomy(fingerprint({0: "background", 1: second, 2: first}, *ORDERED)).mirror_axes == (0, 2)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("anterior", "tumour"),
        ("infarct", "support"),
        ("ventricle", "dorsum"),
        ("ant horn", "post wall"),
        ("a", "p"),
        ("frontal lobe", "back muscle"),
        ("superficial vein", "inferior vein"),
    ],
)
def test_words_that_are_no_ends(first: str, second: str) -> None:
    assert named_ends({0: "background", 1: first, 2: second}, ORDERED) == []


def test_ends_that_are_spelt_out_need_no_data_and_abbreviations_an_order_and_volumes_alike() -> None:
    mixed = [two((5, 9 if k % 2 else 1, 3), (5, 5, 3), (100, 150)) for k in range(10)]
    unlike = [two((5, 9, 3), (5, 2, 3), (100, 900)) for _ in range(10)]
    full, short = {1: "lobe upper", 2: "lobe lower"}, {1: "lobe ant", 2: "lobe post"}
    assert [found.axis for found in named_ends(full, mixed)] == [2]
    assert [found.axis for found in named_ends(short, ORDERED)] == [1]
    assert [found.axis for found in named_ends(short, [])] == [1]
    assert named_ends(short, mixed) == named_ends(short, unlike) == []


def test_the_data_say_which_axis_has_the_ends() -> None:
    across = [two((2, 5, 3), (8, 5, 3), (100, 150)) for _ in range(4)]
    assert [found.axis for found in named_ends({1: "bone prox", 2: "bone dist"}, across)] == [0]
    mostly = [*ORDERED[:9], two((5, 2, 3), (5, 9, 3), (100, 150))]
    assert named_ends({1: "h ant", 2: "h post"}, mostly)[0][2:] == (9, 10)


def test_labels_in_one_order_without_a_word_are_a_hint() -> None:
    names = {0: "background", 1: "part 1", 2: "part 2", 3: "tumour"}
    assert [found.axis for found in unnamed_ends(names, ORDERED)] == [1]
    assert read_anatomy(fingerprint(names, *ORDERED)).mirror_axes == (0, 1, 2)
    assert read_anatomy(fingerprint(names, *ORDERED)).hints[0].names == ("part 1", "part 2")
    assert unnamed_ends(names, ORDERED[:2]) == []
    assert unnamed_ends({1: "liver", 2: "part 2", 3: "tumour"}, ORDERED) == []
    assert read_anatomy(fingerprint({1: "part ant", 2: "part post"}, *ORDERED)).hints == ()


def test_where_every_case_starts_at_the_lowest_level() -> None:
    levels = ([1, 2, 3], [11, 12, 13])
    whole = [facts(centres=dict.fromkeys((1, 2, 11, 12), (0.0,) * 3)) for _ in range(10)]
    without = facts(centres={20: (0.0,) * 3})
    assert start_lowest(levels, [*whole, without])
    assert not start_lowest(levels, whole[:9])
    assert not start_lowest(levels, [*whole, facts(centres={2: (0.0,) * 3, 11: (0.0,) * 3})])
    assert not start_lowest(levels, [*whole, facts(centres={1: (0.0,) * 3, 12: (0.0,) * 3})])
    assert start_lowest(([1, 2, 3], []), whole)
    assert not start_lowest(levels, [without])
