"""Measures of a case and their means."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medicalseg.core.counting import count_voxels, further_measures
from medicalseg.errors import DataError, UserError
from medicalseg.inference.task import TaskSpec
from medicalseg.metrics import (
    WANTED,
    Bootstrap,
    CaseResult,
    MeasureOptions,
    average_surface_distance,
    case_metrics,
    hausdorff_distance,
    normalized_surface_dice,
    summarize,
    surface_distances,
)
from medicalseg.reports import render_table
from medicalseg.reports.markdown import render_markdown

TASK = TaskSpec(num_classes=4, labels={1: "L5", 2: "L4", 3: "T9"}, class_groups={"both": [1, 2]})
SIDES = (1.0, 0.5, 3.0)


def volume(*boxes: tuple[int, int, int]) -> np.ndarray:
    """Class, start, end along the first axis."""
    labels = np.zeros((20, 6, 4), np.int32)
    for label, start, end in boxes:
        labels[start:end, 1:5, 1:3] = label
    return labels


def result(name: str, prediction: np.ndarray, reference: np.ndarray, options: MeasureOptions) -> CaseResult:
    more = further_measures(prediction, reference, SIDES, TASK, options, [[1, 2]])
    return CaseResult(name, count_voxels(prediction, reference, TASK), 1.5, **more)


def test_every_class_as_if_measured_alone():
    prediction, reference = volume((1, 2, 6), (2, 9, 13)), volume((1, 3, 6), (2, 8, 12))
    found = case_metrics(prediction, reference, SIDES, TASK)
    for index in (1, 2):
        alone = surface_distances(prediction == index, reference == index, SIDES)
        assert found["nsd"][index] == normalized_surface_dice(alone, 1.0)
        assert found["hd95"][index] == hausdorff_distance(alone, 95)
    np.testing.assert_allclose(found["volume_difference"], [np.nan, 8 * 1.5, 0, np.nan])
    np.testing.assert_allclose(found["volume_relative"], [np.nan, 100 / 3, 0, np.nan])
    np.testing.assert_allclose(found["detection_f1"], [np.nan, 1, 1, np.nan])


def test_structures_on_one_slice_of_a_volume_have_flat_sides():
    prediction, reference = np.zeros((20, 20, 5), np.uint8), np.zeros((20, 20, 5), np.uint8)
    reference[5:12, 5:12, 2] = 1
    prediction[6:15, 5:12, 2] = 1
    spacing = (1.0, 1.0, 4.0)
    found = case_metrics(prediction, reference, spacing, TaskSpec(2), ("nsd", "assd"))
    distances = surface_distances(prediction == 1, reference == 1, spacing)
    assert found["nsd"][1] == pytest.approx(normalized_surface_dice(distances, 1.0))
    assert found["assd"][1] == pytest.approx(average_surface_distance(distances))


def test_class_in_one_mask_only():
    found = case_metrics(volume((1, 2, 6), (3, 9, 12)), volume((2, 2, 6)), SIDES, TASK)
    np.testing.assert_allclose(found["nsd"], [np.nan, 0, 0, 0])
    assert np.isnan(found["hd95"]).all()
    assert np.isnan(found["assd"]).all()
    np.testing.assert_allclose(found["volume_difference"], [np.nan, 48, -48, 36])
    np.testing.assert_allclose(found["volume_relative"], [np.nan, np.nan, -100, np.nan])
    np.testing.assert_allclose(found["detection_f1"], [np.nan, 0, 0, 0])
    np.testing.assert_allclose(found["parts_invented"], [np.nan, 1, 0, 1])


def test_ignored_voxels_belong_to_no_class():
    prediction, reference = volume((1, 2, 8)), volume((1, 2, 6))
    reference[6:8] = 255
    found = case_metrics(prediction, reference, SIDES, TASK)
    assert found["nsd"][1] == found["detection_f1"][1] == 1
    assert found["volume_difference"][1] == 0


def test_structures_that_overlap():
    task = TaskSpec(num_classes=2, head="sigmoid")
    prediction, reference = volume((1, 2, 6), (3, 6, 9)), volume((1, 2, 7), (3, 7, 9))
    reference[15:] = -1
    found = case_metrics(prediction, reference, SIDES, task)
    alone = surface_distances(prediction >= 2, reference >= 2, SIDES)
    assert found["nsd"][2] == normalized_surface_dice(alone, 1.0)
    assert found["nsd"][1] == 1
    assert len(found["nsd"]) == 3


def test_only_what_is_wanted():
    labels = volume((1, 2, 6))
    assert set(case_metrics(labels, labels, SIDES, TASK, ["dice", "hd95"])) == {"hd95"}
    assert case_metrics(labels, labels, SIDES, TASK, ["dice"]) == {}


def test_wrong_input():
    labels = volume((1, 2, 6))
    with pytest.raises(UserError, match="hausdorf"):
        case_metrics(labels, labels, SIDES, TASK, ["hausdorf"])
    with pytest.raises(DataError, match="shape"):
        case_metrics(labels, labels[:5], SIDES, TASK)
    with pytest.raises(UserError, match="tolerance_mm"):
        MeasureOptions(tolerance_mm=-1)


@pytest.fixture
def summary():
    options = MeasureOptions(tuple(WANTED))
    cases = [
        result("a", volume((1, 2, 6), (2, 9, 13)), volume((1, 3, 6), (2, 8, 12)), options),
        result("b", volume((2, 2, 6)), volume((1, 2, 6)), options),
        result("c", volume((1, 2, 6), (3, 8, 9)), volume((1, 2, 6)), options),
    ]
    return summarize(cases, TASK, "original", rules=options.rules(), bootstrap=Bootstrap(3, 200))


def test_means_are_over_cases_then_classes(summary):
    nsd, hd95 = summary.measures["nsd"], summary.measures["hd95"]
    by_case = nsd.cases
    assert nsd.class_values[1] == pytest.approx((by_case[0, 1] + 0 + 1) / 3)
    assert nsd.class_values[2] == pytest.approx((by_case[0, 2] + 0) / 2)
    assert np.isnan(nsd.class_values[3])
    assert nsd.class_k.tolist() == [0, 3, 2, 0]
    assert hd95.class_k.tolist() == [0, 2, 1, 0]
    assert nsd.foreground.value == pytest.approx((nsd.class_values[1] + nsd.class_values[2]) / 2)
    assert nsd.means["both"].value == nsd.foreground.value
    assert (nsd.foreground.k, nsd.foreground.n, nsd.means["both"].n) == (2, 3, 2)


def test_intervals_hold_the_means_and_single_cases_have_none(summary):
    dice, hd95 = summary.dice_intervals, summary.measures["hd95"]
    low, high = dice.means[""].interval.to_list()
    assert low <= summary.foreground_mean <= high
    assert np.isnan(hd95.intervals[2].low)
    assert not np.isnan(hd95.intervals[1].low)


def test_parts_of_all_cases_together(summary):
    parts = summary.pooled_detection
    assert (parts.found, parts.missed, parts.invented) == (3, 1, 1)


def test_report_is_json_and_says_its_rules(summary):
    content = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert "neither mask" in content["rules"]["absent classes"]
    assert "200 draws, seed 0" in content["bootstrap"]
    assert content["measures"]["hd95"]["classes"][2] == {
        "id": 2, "value": pytest.approx(1.0), "k": 1, "interval": [None, None]
    }  # fmt: skip
    assert content["classes"][1]["dice_interval"][0] <= content["classes"][1]["dice"]
    assert content["cases"][1]["measures"]["nsd"] == [None, 0.0, 0.0, None]
    assert content["levels"][0]["shifts"] == {"+1": 1}
    assert content["cases"][1]["levels"][0]["neighbour_share"] == 1.0


def test_tables_say_k_intervals_and_rules(summary):
    table, page = render_table(summary), render_markdown(summary)
    for text in ("(k=2)", "95 % interval", "foreground mean NSD", "NSD (both)", "levels L5 … L4: 3 of 4", "n/a"):
        assert text in table
        assert text in page
    assert "absent classes: a class in neither mask" in table
    assert "**absent classes**" in page
    assert all(len(line) < 240 for line in table.splitlines())


def test_summary_without_further_measures_is_as_before():
    labels = volume((1, 2, 6))
    plain = summarize([CaseResult("a", count_voxels(labels, labels, TASK))], TASK, "original")
    assert not {"measures", "rules", "bootstrap", "levels", "calibration"} & set(plain.to_dict())
