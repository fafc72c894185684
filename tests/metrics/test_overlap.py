"""Dice, IoU, precision and recall against scikit-learn, and the rules for absent classes."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.cvlibs import manager
from medicalseg.metrics import Counts, confusion_counts, dice, iou, precision, recall


def test_equal_to_scikit_learn() -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    prediction, reference = rng.integers(0, 5, (8, 9, 4)), rng.integers(0, 5, (8, 9, 4))
    counts = confusion_counts(prediction, reference, 5)
    arguments = {"y_true": reference.ravel(), "y_pred": prediction.ravel(), "average": None}
    np.testing.assert_allclose(dice(counts), sklearn_metrics.f1_score(**arguments))
    np.testing.assert_allclose(iou(counts), sklearn_metrics.jaccard_score(**arguments))
    np.testing.assert_allclose(precision(counts), sklearn_metrics.precision_score(**arguments))
    np.testing.assert_allclose(recall(counts), sklearn_metrics.recall_score(**arguments))


@pytest.mark.parametrize("measure", [dice, iou, precision, recall])
def test_absent_from_both_is_nan_and_from_one_is_zero(measure) -> None:  # type: ignore[no-untyped-def]
    values = measure(Counts(tp=np.array([0, 0, 0, 3]), fp=np.array([0, 2, 0, 0]), fn=np.array([0, 0, 5, 0])))
    np.testing.assert_array_equal(values, [np.nan, 0, 0, 1])


def test_by_hand() -> None:
    counts = Counts(tp=np.array([6]), fp=np.array([2]), fn=np.array([4]))
    assert dice(counts)[0] == pytest.approx(12 / 18)
    assert iou(counts)[0] == pytest.approx(6 / 12)
    assert precision(counts)[0] == pytest.approx(6 / 8)
    assert recall(counts)[0] == pytest.approx(6 / 10)


def test_registered() -> None:
    assert manager.METRICS["dice"] is dice
