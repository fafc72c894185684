"""Means over cases, then classes: worked by hand."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from medicalseg.errors import DataError
from medicalseg.metrics import CaseResult, Counts, summarize

TASK = SimpleNamespace(
    num_ids=4,
    names=["background", "sacrum", "L5", "T9"],
    class_groups={"4 classes": (0, 1, 2, 3), "3 classes*": (0, 1, 2)},
    ignore_index=255,
    notes=("leaking split",),
)


def case(name: str, tp: list[int], fp: list[int], fn: list[int], **more: object) -> CaseResult:
    return CaseResult(name, Counts(np.array(tp), np.array(fp), np.array(fn)), **more)  # type: ignore[arg-type]


@pytest.fixture
def results() -> list[CaseResult]:
    return [
        case("a", [90, 8, 0, 0], [0, 2, 0, 5], [7, 2, 0, 0], voxel_volume=2.0, soft_dice=np.array([0.9, 0.7, 0, 0])),
        case(
            "b", [80, 0, 5, 0], [20, 0, 0, 0], [0, 10, 0, 0], voxel_volume=3.0, soft_dice=np.array([0.7, 0.1, 0.4, 0])
        ),
    ]


def test_means_are_over_cases_then_classes(results: list[CaseResult]) -> None:
    summary = summarize(results, TASK, "original")
    background = (180 / 187 + 160 / 180) / 2
    np.testing.assert_allclose(summary.class_dice, [background, (0.8 + 0) / 2, 1.0, np.nan])
    assert summary.class_k.tolist() == [2, 2, 1, 0]
    assert summary.class_references.tolist() == [2, 2, 1, 0]
    assert summary.foreground_mean == pytest.approx((0.4 + 1.0) / 2)
    assert (summary.foreground.k, summary.foreground.n) == (2, 3)
    assert summary.groups["4 classes"] == pytest.approx((background + 1.4) / 3)
    assert (summary.group_means["4 classes"].k, summary.group_means["4 classes"].n) == (3, 4)
    assert summary.groups["3 classes*"] == summary.groups["4 classes"]


def test_class_in_no_reference_shows_its_false_positive_volume(results: list[CaseResult]) -> None:
    summary = summarize(results, TASK, "original")
    np.testing.assert_allclose(summary.false_positive_volume, [60, 4, 0, 10])
    assert np.isnan(summary.class_iou[3])
    assert np.isnan(summary.class_recall[3])


def test_class_only_predicted_in_one_case_counts_as_zero_there(results: list[CaseResult]) -> None:
    with_t9 = case("c", [1, 0, 0, 4], [0, 0, 0, 0], [0, 0, 0, 0])
    summary = summarize([*results, with_t9], TASK, "original")
    assert summary.class_dice[3] == pytest.approx((0 + 1) / 2)
    assert summary.class_k[3] == 2


def test_a_loss_that_some_cases_lack_is_no_mean() -> None:
    with_loss, without = (case(name, [1] * 4, [0] * 4, [0] * 4, loss=loss) for name, loss in (("a", 0.5), ("b", None)))
    assert summarize([with_loss, without], TASK, "network").loss is None


def test_soft_dice_and_loss(results: list[CaseResult]) -> None:
    summary = summarize(results, TASK, "original")
    assert summary.soft_mdice == pytest.approx((0.4 + 0.3) / 2)
    assert summary.loss is None
    assert summarize([case("a", [1] * 4, [0] * 4, [0] * 4, loss=0.5)], TASK, "network").loss == 0.5


def test_case_scores_leave_out_classes_of_no_reference(results: list[CaseResult]) -> None:
    np.testing.assert_allclose(summarize(results, TASK, "original").case_scores(), [0.8, 0.5])


def test_ignored_class_is_not_foreground(results: list[CaseResult]) -> None:
    task = SimpleNamespace(**{**vars(TASK), "ignore_index": 2})
    assert summarize(results, task, "original").foreground.class_ids == (1, 3)


def test_notes_and_json(results: list[CaseResult]) -> None:
    summary = summarize(results, TASK, "original", notes=["on the network grid", "leaking split"])
    assert summary.notes == ("leaking split", "on the network grid")
    content = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert content["classes"][3]["dice"] is None
    assert content["classes"][3]["false_positive_mm3"] == 10
    assert content["foreground_mean"] == {"dice": pytest.approx(0.7), "k": 2, "n": 3, "class_ids": [1, 2, 3]}
    assert content["cases"][1]["dice"] == pytest.approx([160 / 180, 0, 1, None])


def test_bad_input(results: list[CaseResult]) -> None:
    with pytest.raises(DataError, match="no case"):
        summarize([], TASK, "original")
    task = SimpleNamespace(**{**vars(TASK), "class_groups": {"odd": (0, 9)}})
    with pytest.raises(DataError, match="group 'odd' names class 9"):
        summarize(results, task, "original")


def test_empty_masks_everywhere() -> None:
    summary = summarize([case("a", [10, 0, 0, 0], [0] * 4, [0] * 4)], TASK, "original")
    assert np.isnan(summary.foreground_mean)
    assert summary.foreground.k == 0
