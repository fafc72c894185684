"""Calibration error: against scikit-learn's curve, and of networks that are right about their doubts."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.errors import DataError
from medicalseg.metrics import Calibration


def softmax(logits: np.ndarray) -> np.ndarray:
    values = np.exp(logits - logits.max(axis=0))
    return values / values.sum(axis=0)


def sample(classes: int = 4, count: int = 60000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are drawn from their softmax: a calibrated network."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(classes, count))
    logits[0] += 2
    label = (softmax(logits).cumsum(axis=0) < random.random(count)).sum(axis=0)
    return logits, np.minimum(label, classes - 1)


def test_a_calibrated_network_has_no_error_and_a_sharpened_one_has():
    logits, label = sample()
    right, sure = Calibration(4), Calibration(4)
    right.add(logits, label)
    sure.add(3 * logits, label)
    found, sharp = right.value(), sure.value()
    assert max(found.top.error, found.foreground.error, found.class_error) < 0.01
    assert min(sharp.top.error, sharp.foreground.error, sharp.class_error) > 0.03


def test_errors_by_formula_and_curve_by_scikit_learn():
    calibration_curve = pytest.importorskip("sklearn.calibration").calibration_curve
    logits, label = sample(3, 5000)
    own = Calibration(3, bins=10)
    own.add(logits.astype(np.float32).reshape(3, 50, 100), label.reshape(50, 100))
    probabilities = softmax(logits)
    for index, curve in enumerate(own.value().classes):
        right, mean = calibration_curve(label == index, probabilities[index], n_bins=10)
        shown = curve.count > 0
        np.testing.assert_allclose(curve.accuracy[shown], right, atol=1e-6)
        np.testing.assert_allclose(curve.mean_confidence[shown], mean, atol=1e-6)
    top, decided = probabilities.max(axis=0), probabilities.argmax(axis=0)
    bins = np.minimum((top * 10).astype(int), 9)
    expected = sum(
        abs((decided == label)[bins == b].mean() - top[bins == b].mean()) * (bins == b).mean() for b in set(bins)
    )
    assert own.value().top.error == pytest.approx(expected, abs=1e-6)


def test_pieces_and_ranks_add_up_to_the_whole():
    logits, label = sample(3, 2000)
    whole, first, second = Calibration(3), Calibration(3), Calibration(3)
    whole.add(logits, label)
    first.add(logits[:, :700], label[:700])
    second.add(logits[:, 700:], label[700:])
    first.merge([first.state, second.state])
    np.testing.assert_allclose(first.state, whole.state)


def test_probabilities_and_ignored_voxels():
    logits, label = sample(3, 500)
    label[:200] = 255
    left, right = Calibration(3), Calibration(3)
    left.add(logits, label)
    right.add(softmax(logits)[:, 200:], label[200:], probabilities=True)
    np.testing.assert_allclose(left.state, right.state)
    assert left.value().top.count.sum() == 300


def test_structures_that_overlap():
    random = np.random.default_rng(1)
    logits = 2 * random.normal(size=(2, 40000))
    present = random.random((2, 40000)) < 1 / (1 + np.exp(-logits))
    codes = present[0] + 2 * present[1]
    codes[:5] = -1
    found = Calibration(2, codes=True)
    found.add(logits, codes)
    assert found.value().top.count.sum() == 2 * 39995
    assert found.value().class_error < 0.015
    assert found.value().foreground.error < 0.015


def test_memory_is_the_bins_and_values_are_json():
    calibration = Calibration(2, bins=7)
    assert calibration.state.shape == (4, 3, 7)
    assert np.isnan(calibration.value().top.error)
    assert set(calibration.value().to_dict()) >= {"rule", "top_label_error", "foreground_error", "class_wise_error"}


def test_probability_one_is_in_the_last_bin():
    calibration = Calibration(2)
    calibration.add(np.array([[0.0], [1.0]]), np.array([1]), probabilities=True)
    assert calibration.value().top.count[-1] == 1


def test_shapes_that_do_not_fit():
    with pytest.raises(DataError, match="do not fit"):
        Calibration(3).add(np.zeros((2, 4)), np.zeros(4, int))
