"""The histogram's area under the ROC curve against scikit-learn's exact one."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.inference.decision import pack
from medicalseg.metrics import HistogramAuc


def data(num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    label = rng.integers(0, num_classes, (12, 11, 10))
    logits = rng.normal(size=(num_classes, *label.shape)) * 2 + (np.arange(num_classes)[:, None, None, None] == label)
    return logits.astype(np.float32), label


@pytest.mark.parametrize("num_classes", [2, 4])
def test_close_to_scikit_learn(num_classes: int) -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    logits, label = data(num_classes)
    auc = HistogramAuc(num_classes)
    auc.add(logits[:, :5], label[:5])
    auc.add(logits[:, 5:], label[5:])
    odds = np.exp(logits - logits.max(axis=0))
    probability = odds / odds.sum(axis=0)
    expected = [sklearn_metrics.roc_auc_score((label == c).ravel(), probability[c].ravel()) for c in range(num_classes)]
    np.testing.assert_allclose(auc.value(), expected, atol=2e-4)


def test_perfect_absent_and_ignored() -> None:
    label = np.array([0, 0, 1, 1, 255])
    logits = np.array([[30, 40, -30, -40, 9], [-30, -40, 30, 40, 0], [-99.0] * 5])
    auc = HistogramAuc(3)
    auc.add(logits, label)
    np.testing.assert_array_equal(auc.value(), [1, 1, np.nan])


def test_codes_of_overlapping_structures() -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(6)
    masks = rng.integers(0, 2, (3, 12, 11, 10))
    logits = rng.normal(size=masks.shape) * 2 + masks
    known = rng.random(masks.shape[1:]) > 0.1
    auc = HistogramAuc(3, codes=True)
    auc.add(logits, np.where(known, pack(masks), -1))
    expected = [sklearn_metrics.roc_auc_score(masks[k][known], logits[k][known]) for k in range(3)]
    np.testing.assert_allclose(auc.value(), expected, atol=2e-4)
