"""Probabilities on the original grid: checked against SciPy, and alike however the volume is cut into parts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import expit, softmax

from medicalseg.errors import DataError, RunError
from medicalseg.inference import Decision, Preprocessing
from medicalseg.inference.probabilities import background, to_logits, to_probabilities
from medicalseg.inference.scores import ScoresToOriginal, scores_to_original
from medicalseg.io import Volume

AFFINE = np.array([[0, 0, -3.0, 5], [-1.0, 0, 0, 7], [0, -1.5, 0, -9], [0, 0, 0, 1]])
SHAPE = (9, 12, 7)


def record_of(shape=SHAPE, affine=AFFINE, **arguments):
    return Preprocessing(**arguments).grid(Volume(np.zeros(shape, np.uint8), affine))


def random_probabilities(shape, classes=4, head="softmax", seed=0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(classes, *shape)).astype(np.float32) * 4
    return (softmax(logits, axis=0) if head == "softmax" else expit(logits)).astype(np.float32)


def by_scipy(probabilities, record) -> np.ndarray:
    """(K, ...) on the oriented original grid."""
    lines = [
        np.clip(np.arange(n) * scale + offset, start, stop - 1)
        for n, scale, offset, start, stop in zip(
            record.oriented_shape, record.scale, record.offset, record.start, record.stop, strict=True
        )
    ]
    grid = np.stack(np.meshgrid(*lines, indexing="ij"))
    return np.stack([ndimage.map_coordinates(plane.astype(float), grid, order=1) for plane in probabilities])


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"orientation": "RAS", "spacing": (1.3, 1.1, 2.2)},
        {"spacing": (0.4, 3.0, 1.0)},
        {"orientation": "LPS", "size": (8, 10, 6)},
        {"orientation": "SRA", "size": (20, 20, 20), "fit": "pad"},
        {},
    ],
)
def test_equal_to_scipy(arguments: dict, head: str) -> None:
    record = record_of(**arguments)
    probabilities = random_probabilities(record.network_shape, head=head)
    result = scores_to_original(probabilities.copy(), record, Decision(head))
    expected = by_scipy(probabilities, record)
    if head == "softmax":
        labels = expected.argmax(axis=0)
        sure = np.diff(np.sort(expected, axis=0)[-2:], axis=0)[0] > 1e-4
    else:
        labels = sum((expected[channel] >= 0.5).astype(int) << channel for channel in range(4))
        sure = (np.abs(expected - 0.5) > 1e-4).all(axis=0)
    from medicalseg.inference.grid import orient, orientation_change

    found = orient(result.labels, orientation_change(record.affine, record.orientation))
    np.testing.assert_array_equal(found[sure], labels[sure])
    assert sure.mean() > 0.99
    assert result.labels.dtype == np.uint8
    assert result.labels.flags.f_contiguous


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
@pytest.mark.parametrize("spacing", [(1.3, 0.7, 2.2), (0.4, 3.0, 1.0), None])
def test_identical_however_it_is_cut(axes: tuple[int, int, int], head: str, spacing) -> None:
    record = record_of(orientation="RAS", spacing=spacing)
    probabilities = random_probabilities(record.network_shape, head=head)
    whole = scores_to_original(probabilities.copy(), record, Decision(head), uncertainty=True)
    parts = ScoresToOriginal(record, Decision(head), 4, axes, uncertainty=True)
    rng = np.random.default_rng(1)
    sizes = [record.network_shape[axis] for axis in axes]
    cuts = [sorted({0, n, *rng.integers(1, n, 3).tolist()}) for n in sizes[:2]]
    for rows, columns in itertools.product(itertools.pairwise(cuts[0]), itertools.pairwise(cuts[1])):
        region = [slice(0, n) for n in record.network_shape]
        region[axes[0]], region[axes[1]] = slice(*rows), slice(*columns)
        parts.add(region, probabilities[(slice(None), *region)].copy())
    np.testing.assert_array_equal(parts.labels, whole.labels)
    np.testing.assert_array_equal(parts.uncertainty, whole.uncertainty)


def test_outside_the_crop_is_background() -> None:
    image = np.zeros((20, 22, 18), np.float32)
    image[4:15, 6:17, 5:12] = 1
    preprocessing = Preprocessing(orientation="RAS", spacing=(1.4, 1.2, 1.0), crop="nonzero")
    _, record = preprocessing.apply(Volume(image, np.diag([-1.0, 1, 1.3, 1])))
    ones = np.zeros((2, *record.network_shape), np.float32)
    ones[1] = 1
    result = scores_to_original(ones, record, Decision(), uncertainty=True)
    np.testing.assert_array_equal(result.labels, image > 0)
    assert result.uncertainty.max() < 1e-6


def test_uncertainty_is_the_entropy() -> None:
    record = record_of()
    probabilities = random_probabilities(record.network_shape, classes=3)
    found = scores_to_original(probabilities, record, Decision(), uncertainty=True).uncertainty
    np.testing.assert_allclose(found, -(probabilities * np.log(probabilities)).sum(axis=0) / np.log(3), atol=1e-5)
    even = np.full((3, *SHAPE), 0.5, np.float32)
    np.testing.assert_allclose(scores_to_original(even, record, Decision("sigmoid"), True).uncertainty, 1, atol=1e-6)


def test_wrong_shapes_are_refused() -> None:
    record = record_of()
    with pytest.raises(DataError, match="shape"):
        scores_to_original(np.zeros((2, 3, 3, 3), np.float32), record, Decision())
    with pytest.raises(DataError, match="does not fit"):
        ScoresToOriginal(record, Decision(), 3).add([slice(0, n) for n in SHAPE], np.zeros((2, *SHAPE), np.float32))


@pytest.mark.parametrize("weighted", [False, True])
def test_probabilities_equal_scipy(weighted: bool) -> None:
    logits = np.random.default_rng(0).normal(size=(5, 4, 3, 2)).astype(np.float32) * 30
    weights = np.random.default_rng(1).random((4, 3, 2)).astype(np.float32) + 0.5 if weighted else None
    sums = logits if weights is None else logits * weights
    for head, function in (("softmax", lambda x: softmax(x, axis=0)), ("sigmoid", expit)):
        found = to_probabilities(sums.copy(), head, weights)
        np.testing.assert_allclose(found, function(logits.astype(float)), atol=1e-5)
        again = to_probabilities(to_logits(found, head), head)
        np.testing.assert_allclose(again, found, atol=1e-6)
        sure = to_probabilities(background(5, head).reshape(5, 1, 1, 1), head).ravel()
        np.testing.assert_allclose(sure, background(5, head, probabilities=True), atol=1e-6)


def test_nan_is_an_error() -> None:
    with pytest.raises(RunError, match="NaN"):
        to_probabilities(np.full((2, 3, 3, 3), np.nan, np.float32), "softmax")
