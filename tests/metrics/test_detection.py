"""Detection of parts: worked by hand, counts against SimpleITK's components."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import gaussian_filter

from medicalseg.errors import UserError
from medicalseg.metrics import DetectionRule, detect

SIDES = (1.0, 1.0)


def line(text: str) -> np.ndarray:
    return np.array([[letter == "x" for letter in text]])


def test_pairs_by_iou():
    found = detect(line("xx.xxxx.......x"), line("xx.xx....xxx..."), SIDES)
    assert (found.found, found.missed, found.right, found.invented) == (2, 1, 2, 1)
    assert found.precision == found.recall == found.f1 == pytest.approx(2 / 3)


def test_one_predicted_part_over_two_finds_one_of_them_by_iou_and_both_by_overlap():
    prediction, reference = line("xxxxxxx"), line("xxx.xxx")
    assert detect(prediction, reference, SIDES).found == 1
    found = detect(prediction, reference, SIDES, DetectionRule("overlap", 0.5))
    assert (found.found, found.missed, found.right, found.invented) == (2, 0, 1, 0)


def test_as_many_pairs_as_possible_not_the_best_first():
    prediction, reference = line("xxxxxxxx..x"), line(".xxxxxxxxxx")
    assert detect(prediction, reference, SIDES, DetectionRule(threshold=0.05)).found == 1
    prediction, reference = line("xxxxxx.xx"), line("xx.xxxxxx")
    assert detect(prediction, reference, SIDES, DetectionRule(threshold=0.1)).found == 2


def test_threshold_counts_itself():
    prediction, reference = line("xxxx...."), line("..xxxxxx")
    assert detect(prediction, reference, SIDES, DetectionRule(threshold=0.25)).found == 1
    assert detect(prediction, reference, SIDES, DetectionRule(threshold=0.26)).found == 0


def test_absent_on_one_side_or_both():
    some, none = line("x.x"), line("...")
    missed, invented, nothing = (detect(*pair, SIDES) for pair in ((none, some), (some, none), (none, none)))
    assert (missed.precision, missed.recall, missed.f1, missed.missed) == (0, 0, 0, 2)
    assert (invented.precision, invented.recall, invented.f1, invented.invented) == (0, 0, 0, 2)
    assert np.isnan([nothing.precision, nothing.recall, nothing.f1]).all()


def test_small_parts_are_left_out_on_both_sides():
    rule = DetectionRule(min_volume_mm3=3.0)
    found = detect(line("xx.xxxx..x"), line("xx.xxxx..."), (0.5, 2.0), rule)
    assert (found.found, found.missed, found.invented) == (1, 0, 0)


@pytest.mark.parametrize(("connectivity", "parts"), [(1, 3), (2, 2), (3, 1)])
def test_connectivity(connectivity, parts):
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 0] = mask[2, 2, 1] = True
    found = detect(mask, mask, (1, 1, 1), DetectionRule(connectivity=connectivity))
    assert found.found == parts


@pytest.mark.parametrize("full", [False, True])
def test_number_of_parts_is_simpleitks(full):
    mask = gaussian_filter(np.random.default_rng(0).normal(size=(30, 30, 30)), 1) > 0.4
    image = SimpleITK.ConnectedComponent(SimpleITK.GetImageFromArray(mask.astype(np.uint8)), full)
    count = len(np.unique(SimpleITK.GetArrayFromImage(image))) - 1
    found = detect(mask, mask, (1, 1, 1), DetectionRule(connectivity=3 if full else 1))
    assert found.found == count > 5


def test_sums_over_cases():
    total = detect(line("x.x"), line("x.."), SIDES) + detect(line("..x"), line("x.x"), SIDES)
    assert (total.found, total.missed, total.right, total.invented) == (2, 1, 2, 1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"matching": "touch"}, "matching"),
        ({"threshold": 0}, "threshold"),
        ({"connectivity": 26}, "connectivity"),
        ({"min_volume_mm3": -1}, "min_volume_mm3"),
    ],
)
def test_wrong_rules_are_named(arguments, named):
    with pytest.raises(UserError, match=named):
        DetectionRule(**arguments)


def test_the_rule_says_itself():
    assert "IoU of at least 0.1" in str(DetectionRule())
    assert "faces" in str(DetectionRule("overlap", 0.5, 1))


@pytest.mark.parametrize("rule", [DetectionRule(), DetectionRule("overlap", 0.5)])
def test_very_many_parts_need_no_table_of_all_pairs(rule):
    prediction = np.zeros((64, 64, 64), bool)
    prediction[::2, ::2, ::2] = True
    reference = prediction.copy()
    reference[0, 0, 0] = False
    found = detect(prediction, reference, (1, 1, 1), rule)
    assert (found.found, found.missed, found.right, found.invented) == (32**3 - 1, 0, 32**3 - 1, 1)
