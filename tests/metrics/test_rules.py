"""The per-image rule and pooled voxels, against the formulas and scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medicalseg.inference.decision import pack
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.task import TaskSpec
from medicalseg.metrics import CaseResult, PerImage, Pooled, confusion_counts, structure_counts, summarize
from medicalseg.reports import render_table

BINARY = TaskSpec(num_classes=1, labels={1: "spine"}, head="sigmoid", slices=SliceSpec())


def images(seed: int, count: int, structures: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks (count, K, 6, 5, 1) predicted and true; image 0 is empty in both, image 1 in the reference only."""
    predicted, true = np.random.default_rng(seed).integers(0, 2, (2, count, structures, 6, 5, 1))
    predicted[0], true[:2] = 0, 0
    return predicted, true


def study(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(IoU, Dice, precision, recall) of one image and structure, as the study takes them."""
    tp = float((predicted & true).sum()) or 1e-6
    fp, fn = (predicted & ~true & 1).sum(), (true & ~predicted & 1).sum()
    return np.array([tp / (tp + fp + fn), 2 * tp / (2 * tp + fp + fn), tp / (tp + fp), tp / (tp + fn)])


@pytest.mark.parametrize("structures", [1, 3])
def test_per_image_rule(structures: int) -> None:
    predicted, true = images(0, 5, structures)
    counts = [structure_counts(pack(p), pack(t), structures) for p, t in zip(predicted, true, strict=True)]
    rule = PerImage.of(counts, range(1, structures + 1))
    expected = np.array(
        [np.mean([study(predicted[n, k], true[n, k]) for n in range(5)], axis=0) for k in range(structures)]
    )
    for column, name in enumerate(("iou", "dice", "precision", "recall")):
        np.testing.assert_allclose(getattr(rule, name)[1:], expected[:, column], rtol=1e-12)
        assert rule.mean(name) == pytest.approx(expected[:, column].mean(), rel=1e-12)


def test_an_empty_image_counts_one_or_nothing() -> None:
    empty, full = np.zeros((4, 4), np.int32), np.ones((4, 4), np.int32)
    for prediction, reference, value in ((empty, empty, 1), (full, empty, 0), (empty, full, 0), (full, full, 1)):
        rule = PerImage.of([structure_counts(prediction, reference, 1)], [1])
        assert rule.mean("dice") == pytest.approx(value, abs=1e-6)
        assert rule.mean("iou") == pytest.approx(value, abs=1e-6)


def test_pooled_against_scikit_learn() -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    prediction, reference = np.random.default_rng(1).integers(0, 4, (2, 3, 50))
    pooled = Pooled.of([confusion_counts(p, r, 4) for p, r in zip(prediction, reference, strict=True)])
    flat = reference.ravel(), prediction.ravel()
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(*flat)
    np.testing.assert_allclose(pooled.precision, precision)
    np.testing.assert_allclose(pooled.sensitivity, recall)
    np.testing.assert_allclose(pooled.f1, f1)
    others = [sklearn_metrics.recall_score(flat[0] != c, flat[1] != c) for c in range(4)]
    np.testing.assert_allclose(pooled.specificity, others)
    assert pooled.mean("specificity") == pytest.approx(np.mean(others))


def test_pooled_structures_and_nothing_to_divide() -> None:
    predicted, true = images(2, 3, 2)
    true[:, 1], predicted[:, 1] = 0, 0
    pooled = Pooled.of([structure_counts(pack(p), pack(t), 2) for p, t in zip(predicted, true, strict=True)])
    spared = 1 - predicted[:, 0][true[:, 0] == 0].mean()
    assert pooled.specificity[1] == pytest.approx(spared)
    assert pooled.specificity[2] == 1
    assert np.isnan([pooled.f1[2], pooled.sensitivity[2], pooled.precision[2]]).all()
    assert pooled.mean("f1") == pytest.approx(np.mean(pooled.f1[:2]))


def results(structures: int, slices: int | None = 1, seconds: float | None = 0.25) -> list[CaseResult]:
    predicted, true = images(3, 4, structures)
    return [
        CaseResult(
            f"image {n}",
            structure_counts(pack(predicted[n]), pack(true[n]), structures),
            soft_dice=np.full(structures, n / 4),
            loss=0.5,
            seconds=seconds,
            slices=slices,
        )
        for n in range(4)
    ]


def test_binary_task_has_one_foreground_class() -> None:
    summary = summarize(results(1), BINARY, "original")
    assert summary.class_names == ("background", "spine")
    assert summary.foreground.class_ids == (1,)
    assert np.isnan(summary.class_soft_dice[0])
    assert summary.class_soft_dice[1] == pytest.approx(0.375)
    assert summary.soft_mdice == pytest.approx(0.375)
    assert summary.seconds == 0.25
    content = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert content["per_image"]["dice"] == pytest.approx(summary.per_image.mean("dice"))
    assert "counts 1" in content["per_image"]["rule"]
    assert content["per_image"]["images"] == 4
    assert [entry["id"] for entry in content["pooled"]["classes"]] == [0, 1]
    assert content["seconds_per_case"] == 0.25


def test_groups_of_structures_reach_the_last_id() -> None:
    task = TaskSpec(num_classes=3, head="sigmoid", class_groups={"all": (1, 2, 3)})
    summary = summarize(results(3), task, "original")
    assert summary.group_means["all"].class_ids == (1, 2, 3)
    assert summary.foreground.class_ids == (1, 2, 3)


def test_reports_of_images_say_which_rule_a_figure_has() -> None:
    summary = summarize(results(1), BINARY, "original")
    text = render_table(summary)
    assert "per-image rule: TP = 0 counts as 1e-6, so an empty image with an empty prediction counts 1" in text
    assert f"Dice {summary.per_image.mean('dice'):.4f}" in text
    assert f"F1 {summary.pooled.mean('f1'):.4f}" in text
    assert "time per image: 0.2500 s" in text
    assert "mean of classes" not in text
    several = render_table(summarize(results(3), TaskSpec(num_classes=3, head="sigmoid"), "original"))
    assert "mean of classes" in several


@pytest.mark.parametrize("slices", [None, 7])
def test_reports_of_volumes_do_not_show_the_rule_of_images(slices: int | None) -> None:
    summary = summarize(results(1, slices, seconds=None), BINARY, "original")
    assert "per-image" not in render_table(summary)
    assert "per_image" not in summary.to_dict()
    assert "pooled" in summary.to_dict()
    assert summary.to_dict()["seconds_per_case"] is None
