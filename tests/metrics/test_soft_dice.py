"""PaddleSeg3D's golden soft Dice values."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.errors import DataError
from medicalseg.inference.decision import pack
from medicalseg.metrics import SoftDiceSums, soft_dice


@pytest.fixture
def golden() -> tuple[np.ndarray, np.ndarray]:
    logits = np.sin(0.37 * np.arange(2 * 4 * 3 * 4 * 5)).astype(np.float32).reshape(2, 4, 3, 4, 5)
    label = (np.arange(2 * 3 * 4 * 5) % 3).reshape(2, 3, 4, 5)
    return np.moveaxis(logits, 1, 0), label


def test_golden_sigmoid(golden: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_allclose(soft_dice(*golden), [0.5512771, 0.5412830, 0.5424442, 0.0], atol=1e-6)


def test_golden_softmax(golden: tuple[np.ndarray, np.ndarray]) -> None:
    expected = [0.4181394, 0.3816378, 0.4040691, 0.0]
    np.testing.assert_allclose(soft_dice(*golden, sigmoid=False), expected, atol=1e-6)


@pytest.mark.parametrize(("scale", "expected"), [(1, 0.8708), (5, 0.9999), (20, 1.0)])
def test_grows_with_confidence(scale: float, expected: float) -> None:
    label = np.arange(999).reshape(9, 111) % 3
    logits = np.where(np.arange(4)[:, None, None] == label, scale, -scale).astype(np.float32)
    value = soft_dice(logits, label)
    np.testing.assert_allclose(value[:3], expected, atol=6e-5)
    assert value[3] == pytest.approx(0, abs=1e-9)


def test_pieces_equal_the_whole(golden: tuple[np.ndarray, np.ndarray]) -> None:
    logits, label = golden
    sums = SoftDiceSums(4)
    sums.add(logits[:, :1], label[:1])
    sums.add(logits[:, 1:], label[1:])
    np.testing.assert_allclose(sums.value(), soft_dice(logits, label))


@pytest.mark.parametrize("sigmoid", [True, False])
def test_ignored_voxels_change_nothing(golden: tuple[np.ndarray, np.ndarray], sigmoid: bool) -> None:
    logits, label = golden
    longer = np.concatenate([logits, 9 * logits], axis=1)
    marked = np.concatenate([label, np.full_like(label, 255)])
    np.testing.assert_allclose(soft_dice(longer, marked, sigmoid), soft_dice(logits, label, sigmoid))


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="do not fit"):
        soft_dice(np.zeros((2, 3, 3)), np.zeros((3, 4), int))


def test_codes_of_overlapping_structures() -> None:
    rng = np.random.default_rng(6)
    masks, known = rng.integers(0, 2, (3, 8, 7)), rng.random((8, 7)) > 0.2
    logits = rng.normal(size=masks.shape)
    sums = SoftDiceSums(3, codes=True)
    sums.add(logits, np.where(known, pack(masks), -1))
    p, t = 1 / (1 + np.exp(-logits[:, known])), masks[:, known]
    np.testing.assert_allclose(sums.value(), 2 * (p * t).sum(1) / ((p**2).sum(1) + t.sum(1)), rtol=1e-12)
    single = SoftDiceSums(1, codes=True)
    single.add(logits[:1], masks[0])
    ids = SoftDiceSums(2)
    ids.add(logits[:2], 1 - masks[0])
    assert single.value()[0] == pytest.approx(ids.value()[0])
