"""Cutout: what is covered, with what, and what becomes of the label."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.transforms import Compose, RandomCutout
from medicalseg.utils.seeding import sample_seed

SHAPE = (40, 30, 1)


def sample(channels=2):
    generator = np.random.default_rng(0)
    image = generator.uniform(1, 2, (channels, *SHAPE)).astype(np.float32)
    return image, generator.integers(1, 4, SHAPE).astype(np.uint8)


def covered(transform, seed=0):
    image, label = sample()
    with sample_seed(seed):
        new, new_label = transform(image, label)
    return new != image, new_label, label


def test_one_box_of_the_given_part_of_the_axes():
    transform = RandomCutout([0.2, 0.4], prob=1)
    for seed in range(30):
        changed, new_label, label = covered(transform, seed)
        np.testing.assert_array_equal(changed[0], changed[1])
        rows, columns = np.nonzero(changed[0, ..., 0])
        assert changed[0].sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert np.ptp(rows) + 1 <= 0.4 * 40
        assert np.ptp(columns) + 1 <= 0.4 * 30
        np.testing.assert_array_equal(new_label, label)


def test_side_is_exact_where_the_border_does_not_clip():
    sides = set()
    for seed in range(30):
        rows, columns = np.nonzero(covered(RandomCutout(0.3, prob=1), seed)[0][0, ..., 0])
        sides.add((int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1))
    assert max(sides) == (12, 9)
    assert len(sides) > 1


def test_every_voxel_can_be_a_centre():
    seen = np.zeros(SHAPE, bool)
    for seed in range(400):
        seen |= covered(RandomCutout(0.2, prob=1), seed)[0][0]
    assert seen.mean() > 0.99


def test_fill_is_a_value_or_the_mean_of_the_channel():
    image, _ = sample()
    image[1] += 10
    with sample_seed(3):
        zero = RandomCutout(0.5, prob=1)(image)[0]
    with sample_seed(3):
        mean = RandomCutout(0.5, fill="mean", prob=1)(image)[0]
    with sample_seed(3):
        seven = RandomCutout(0.5, fill=7, prob=1)(image)[0]
    box = zero[0] == 0
    assert box.any()
    assert not zero[:, box].any()
    assert (seven[:, box] == 7).all()
    for channel in range(2):
        np.testing.assert_allclose(mean[channel][box], image[channel].mean(), rtol=1e-6)
    np.testing.assert_array_equal(mean[:, ~box], image[:, ~box])


@pytest.mark.parametrize(("rule", "value"), [("background", 0), (255, 255), (300, 300), (-1, -1)])
def test_label_of_the_boxes(rule, value):
    changed, new_label, label = covered(RandomCutout(0.4, [2, 3], label=rule, prob=1))
    assert (new_label[changed[0]] == value).all()
    np.testing.assert_array_equal(new_label[~changed[0]], label[~changed[0]])
    assert new_label.dtype.kind in "ui"


def test_number_of_boxes_and_probability():
    several, one = (
        sum(covered(RandomCutout(0.1, holes, prob=1), seed)[0].sum() for seed in range(20)) for holes in (8, 1)
    )
    assert 5 < several / one < 8
    drawn = [covered(RandomCutout(0.5, prob=0.3), seed)[0].any() for seed in range(1000)]
    assert np.mean(drawn) == pytest.approx(0.3, abs=0.05)


def test_box_in_a_volume():
    image = np.ones((20, 20, 20), np.float32)
    for seed in range(20):
        with sample_seed(seed):
            hidden = np.argwhere(RandomCutout(0.5, isotropic=False, prob=1)(image)[0] == 0)
        assert len(hidden) == np.prod(np.ptp(hidden, axis=0) + 1)
        assert len(hidden) <= 10**3


def test_in_a_chain_the_input_stays():
    image, label = sample()
    before = image.copy(), label.copy()
    with sample_seed(1):
        new, new_label = Compose([RandomCutout(0.5, label=255, prob=1)], normalize="none")(image, label)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])
    assert (new_label == 255).any()
    assert (new[0][new_label == 255] == 0).all()
