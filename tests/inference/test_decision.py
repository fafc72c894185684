"""Labels from scores: classes and overlapping structures."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.errors import ConfigError, DataError, RunError
from medicalseg.inference import Decision
from medicalseg.inference.decision import MOST_STRUCTURES, codes_of_ids, pack, unpack


def scores(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((channels, 4, 5, 6)).astype(np.float32)


def test_softmax_takes_the_largest() -> None:
    np.testing.assert_array_equal(Decision().labels(scores()), scores().argmax(axis=0))


@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.9])
def test_sigmoid_sets_a_bit_for_every_structure(threshold: float) -> None:
    probabilities = 1 / (1 + np.exp(-scores().astype(np.float64)))
    expected = sum((probabilities[k] >= threshold) * 2**k for k in range(3))
    decision = Decision("sigmoid", threshold)
    np.testing.assert_array_equal(decision.labels(scores()), expected)
    np.testing.assert_array_equal(decision.labels(probabilities, probabilities=True), expected)
    batch = decision.labels(np.stack([scores(), scores()]), axis=1)
    np.testing.assert_array_equal(batch, [expected, expected])


def test_weights_of_a_sum_are_divided_out() -> None:
    weights = np.random.default_rng(2).uniform(0.1, 5, (4, 5, 6)).astype(np.float32)
    for decision in (Decision(), Decision("sigmoid", 0.7)):
        np.testing.assert_array_equal(
            decision.labels(scores() * weights, weights=weights), decision.labels(scores().astype(np.float64))
        )


def test_nan_is_an_error() -> None:
    for head in ("softmax", "sigmoid"):
        with pytest.raises(RunError, match="NaN"):
            Decision(head).labels(np.full((2, 3, 3), np.nan, np.float32))


def test_masks_and_codes_there_and_back() -> None:
    masks = np.random.default_rng(3).integers(0, 2, (5, 4, 3)).astype(np.uint8)
    np.testing.assert_array_equal(unpack(pack(masks), 5), masks)


def test_what_is_ignored_in_one_mask_is_ignored() -> None:
    masks = np.array([[1, 255, 0], [0, 1, 1]], np.uint8)
    codes = pack(masks, ignore_index=255)
    assert codes.tolist() == [1, -1, 2]
    assert unpack(codes, 2, 255).tolist() == [[1, 255, 0], [0, 255, 1]]


def test_ids_become_codes() -> None:
    ids = np.array([0, 1, 2, 3, 255])
    assert codes_of_ids(ids, 255).tolist() == [0, 1, 2, 4, -1]


def test_wrong_masks_and_arguments() -> None:
    with pytest.raises(DataError, match="structure 2"):
        pack(np.array([[0, 1], [2, 0]]))
    with pytest.raises(DataError, match="at most"):
        pack(np.zeros((MOST_STRUCTURES + 1, 2), np.uint8))
    with pytest.raises(ConfigError, match="head"):
        Decision("tanh")
    with pytest.raises(ConfigError, match="threshold"):
        Decision("sigmoid", 1.0)
