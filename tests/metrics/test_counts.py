"""Counts against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.errors import DataError
from medicalseg.inference.decision import codes_of_ids, pack
from medicalseg.metrics import confusion_counts, confusion_matrix, counts, structure_counts


def random_labels(seed: int, shape: tuple[int, ...] = (7, 9, 5), num_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, num_classes, shape), rng.integers(0, num_classes, shape)


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
@pytest.mark.parametrize("order", ["C", "F"])
def test_matrix_equals_scikit_learn(monkeypatch: pytest.MonkeyPatch, block: int, order: str) -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    monkeypatch.setattr(counts, "BLOCK_VOXELS", block)
    prediction, reference = random_labels(1)
    expected = sklearn_metrics.confusion_matrix(prediction.ravel(), reference.ravel(), labels=range(4))
    actual = confusion_matrix(np.asarray(prediction, order=order), np.asarray(reference, order=order), 4)
    np.testing.assert_array_equal(actual, expected)


def test_mixed_memory_orders_agree() -> None:
    prediction, reference = random_labels(2)
    expected = confusion_matrix(prediction, reference, 4)
    np.testing.assert_array_equal(confusion_matrix(np.asfortranarray(prediction), reference, 4), expected)
    np.testing.assert_array_equal(confusion_matrix(prediction[::-1], reference[::-1], 4), expected)


def test_counts_by_hand() -> None:
    result = confusion_counts(np.array([0, 1, 1, 2, 0]), np.array([0, 1, 2, 2, 1]), 4)
    assert result.tp.tolist() == [1, 1, 1, 0]
    assert result.fp.tolist() == [1, 1, 0, 0]
    assert result.fn.tolist() == [0, 1, 1, 0]
    assert result.reference.tolist() == [1, 2, 2, 0]
    assert result.prediction.tolist() == [2, 2, 1, 0]
    assert (result + result).tp.tolist() == [2, 2, 2, 0]


def test_ignored_voxels_are_left_out_whatever_was_predicted() -> None:
    result = confusion_counts(np.array([0, 1, 1]), np.array([0, 1, 255]), 2)
    assert (result.tp.tolist(), result.fp.tolist(), result.fn.tolist()) == ([1, 1], [0, 0], [0, 0])
    inside = confusion_counts(np.array([0, 1, 2, 2]), np.array([0, 1, 0, 2]), 3, ignore_index=0)
    assert (inside.tp.tolist(), inside.fp.tolist()) == ([0, 1, 1], [0, 0, 0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, np.int64])
def test_every_integer_kind(dtype: type) -> None:
    prediction, reference = random_labels(3)
    actual = confusion_matrix(prediction.astype(dtype), reference.astype(dtype), 4)
    np.testing.assert_array_equal(actual, confusion_matrix(prediction, reference, 4))


def test_empty_and_single_voxel() -> None:
    assert confusion_matrix(np.zeros((0, 2), int), np.zeros((0, 2), int), 2).sum() == 0
    assert confusion_matrix(np.array(1), np.array(0), 2).tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize(
    ("prediction", "reference", "message"),
    [
        ([0, 4], [0, 1], "prediction holds the class id 4"),
        ([0, 1], [0, 7], "reference holds the class id 7"),
        ([-1, 1], [0, 1], "class id -1"),
        ([0, 1, 1], [0, 1], "shape"),
        ([0.0, 1.0], [0, 1], "integers"),
    ],
)
def test_bad_labels_are_errors(prediction: list[float], reference: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        confusion_counts(np.array(prediction), np.array(reference), 4)


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
def test_structures_against_masks_one_by_one(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(counts, "BLOCK_VOXELS", block)
    rng = np.random.default_rng(4)
    predicted, true = rng.integers(0, 2, (2, 11, 6, 5, 3)).astype(bool)
    known = rng.random((6, 5, 3)) > 0.2
    reference = np.where(known, pack(true), -1)
    result = structure_counts(pack(predicted), reference, 11)
    predicted = np.concatenate([~predicted.any(axis=0, keepdims=True), predicted])[:, known]
    true = np.concatenate([~true.any(axis=0, keepdims=True), true])[:, known]
    assert result.tp.tolist() == (predicted & true).sum(axis=1).tolist()
    assert result.fp.tolist() == (predicted & ~true).sum(axis=1).tolist()
    assert result.fn.tolist() == (~predicted & true).sum(axis=1).tolist()
    assert result.voxels == known.sum()


def test_structures_that_do_not_overlap_count_as_classes() -> None:
    prediction, reference = random_labels(5)
    reference.flat[::7] = 255
    classes = confusion_counts(prediction, reference, 4)
    structures = structure_counts(codes_of_ids(prediction), codes_of_ids(reference, 255), 3)
    for name in ("tp", "fp", "fn", "voxels"):
        np.testing.assert_array_equal(getattr(structures, name), getattr(classes, name))
    assert (structures + structures).voxels == 2 * classes.voxels


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int32, np.int64])
def test_one_structure_in_every_integer_kind(dtype: type) -> None:
    result = structure_counts(np.array([0, 1, 1], dtype), np.array([0, 0, 1], dtype), 1)
    assert (result.tp.tolist(), result.fp.tolist(), result.fn.tolist()) == ([1, 1], [0, 1], [1, 0])


def test_codes_that_are_none() -> None:
    good = np.array([0, 1, 3])
    for bad in ([0, 1, 4], [0, 1, -1]):
        with pytest.raises(DataError, match="prediction holds the code"):
            structure_counts(np.array(bad), good, 2)
    with pytest.raises(DataError, match="reference holds the code 4, but codes of 2 structures are 0 to 3"):
        structure_counts(good, np.array([0, 1, 4]), 2)
    with pytest.raises(DataError, match="they must be equal"):
        structure_counts(good, good[:2], 2)
    with pytest.raises(DataError, match="must be integers"):
        structure_counts(good * 1.0, good, 2)
    assert structure_counts(np.array([5, 1]), np.array([-1, 1]), 2 + 1).tp.tolist() == [0, 1, 0, 0]
