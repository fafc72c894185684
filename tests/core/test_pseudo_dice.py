"""Pseudo-Dice of patches against scikit-learn's F1 of all voxels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from sklearn.metrics import f1_score

from medicalseg.core.pseudo_dice import patch_counts, pseudo_dice
from medicalseg.core.validation import Validation
from medicalseg.errors import RunError
from medicalseg.inference import TaskSpec
from medicalseg.inference.slices import SliceSpec
from medicalseg.metrics.overlap import dice


def test_classes_against_scikit_learn():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 6, 7, 8))
    label = rng.integers(0, 4, (6, 7, 8))
    label[0] = 255
    known = label != 255
    wanted = f1_score(label[known], logits.argmax(0)[known], average=None, labels=range(4))
    np.testing.assert_allclose(dice(patch_counts(logits, label, TaskSpec(4))), wanted)


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_masks_against_scikit_learn(threshold):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3, 6, 7, 8))
    masks = rng.integers(0, 2, (3, 6, 7, 8)).astype(np.uint8)
    masks[:, :2] = 255
    task = TaskSpec(3, head="sigmoid", threshold=threshold)
    chosen = 1 / (1 + np.exp(-logits)) > threshold
    wanted = [f1_score(m[m != 255], c[m != 255]) for m, c in zip(masks, chosen, strict=True)]
    np.testing.assert_allclose(dice(patch_counts(logits, masks, task))[1:], wanted)


class Network(paddle.nn.Layer):
    """Says class 1 where the image is above 0.5."""

    def forward(self, x):
        return [paddle.concat([0.5 - x, x - 0.5], axis=1)]


def test_patches_are_counted_together():
    """A class that no patch has, and the network does not see, has no Dice; the others are those of all voxels."""
    images = np.zeros((2, 1, 2, 2, 2), np.float32)
    labels = np.zeros((2, 2, 2, 2), np.int64)
    images[0, 0, 0], labels[0, 0] = 1, 1
    labels[1, 1, 0, 0] = 1
    dataset = SimpleNamespace(
        task=TaskSpec(2),
        validation_patches=lambda count, seed: iter(list(zip(images, labels, strict=True))[:count]),
    )
    result = pseudo_dice(Network(), dataset, 2)
    assert result.patches == 2
    assert result.mean == pytest.approx(2 * 4 / (4 + 5))
    labels[:], images[:] = 0, 0
    assert np.isnan(pseudo_dice(Network(), dataset, 2).mean)


def test_of_slices_too():
    images, labels = np.zeros((2, 1, 5, 4), np.float32), np.zeros((2, 5, 4), np.int64)
    images[0, 0, :2], labels[0, :3] = 1, 1
    slices = SliceSpec(axis=2)
    pairs = list(zip(images, labels, strict=True))
    dataset = SimpleNamespace(task=TaskSpec(2, slices=slices), validation_patches=lambda count, seed: iter(pairs))
    assert Validation.has_patches(dataset)
    assert pseudo_dice(Network(), dataset, 2).mean == pytest.approx(2 * 8 / (8 + 12))


def test_a_network_gone_wrong_is_not_a_figure():
    with pytest.raises(RunError):
        patch_counts(np.full((2, 2, 2, 2), np.nan, np.float32), np.zeros((2, 2, 2), np.int64), TaskSpec(2))
