"""Mirror images and boxes."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from medicalseg.transforms import (
    MirrorTransform,
    RandomCrop4D,
    RandomFlip3D,
    RandomFlip4D,
    RandomPaddingCrop,
    RandomResizedCrop3D,
)
from medicalseg.transforms.crop import crop
from medicalseg.utils.seeding import sample_seed


def sample(shape=(12, 10, 6)):
    label = np.arange(1, np.prod(shape) + 1).reshape(shape)
    return label.astype(np.float32), label


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flip(axis):
    image, label = sample()
    new_image, new_label = RandomFlip3D(1.0, axis)(image, label)
    np.testing.assert_array_equal(new_image, np.flip(image, axis))
    np.testing.assert_array_equal(new_label, np.flip(label, axis))
    new_image, new_label = RandomFlip4D(1.0, [axis + 1])(image[None], label)
    np.testing.assert_array_equal(new_image[0], new_label)
    np.testing.assert_array_equal(new_label, np.flip(label, axis))


def test_flip_frequencies():
    image, _ = sample()
    flips = {axis: np.flip(image, axis) for axis in range(3)}
    counts = dict.fromkeys([0, 1, 2, None], 0)
    for index in range(300):
        with sample_seed(index):
            result = RandomFlip3D(0.5)(image)[0]
        counts[next((axis for axis in flips if np.array_equal(result, flips[axis])), None)] += 1
    assert 110 < counts[None] < 190
    assert all(25 < counts[axis] < 80 for axis in range(3))


def test_mirror_reaches_all_eight_and_keeps_channels():
    image, label = sample()
    stack = np.stack([image, -image])
    seen = set()
    for index in range(60):
        with sample_seed(index):
            new_image, new_label = MirrorTransform()(stack, label)
        np.testing.assert_array_equal(new_image[0], new_label)
        np.testing.assert_array_equal(new_image[1], -new_label)
        seen.add(int(new_label[0, 0, 0]))
    assert len(seen) == 8
    assert MirrorTransform(p_per_sample=0)(image, label)[1] is label


def test_crop_pads_where_the_box_is_outside():
    image, label = sample((4, 4, 4))
    cut, cut_label = crop(image[None], label, [-1, 2, 0], [3, 4, 4], image_padding=-7, label_padding=300)
    assert cut.shape == (1, 3, 4, 4)
    assert (cut[0, 0] == -7).all()
    assert (cut_label[:, 2:] == 300).all()
    np.testing.assert_array_equal(cut_label[1:, :2], label[:2, 2:])


def test_padding_crop_uses_its_values():
    image, label = sample()
    new_image, new_label = RandomPaddingCrop([16, 10, 4], im_padding_value=-1000, label_padding_value=255)(image, label)
    assert new_image.shape == new_label.shape == (16, 10, 4)
    assert (new_image[12:] == -1000).all()
    assert (new_label[12:] == 255).all()
    np.testing.assert_array_equal(new_image[:12], new_label[:12])


def test_padding_value_that_the_type_cannot_hold():
    image, _ = sample()
    label = np.ones(image.shape, np.int8)
    new_label = RandomPaddingCrop(14, label_padding_value=255)(image, label)[1]
    assert set(np.unique(new_label)) == {1, 255}


def test_padding_crop_reaches_every_place():
    image, _ = sample((6, 1, 1))
    firsts = set()
    for index in range(60):
        with sample_seed(index):
            firsts.add(float(RandomPaddingCrop([3, 1, 1])(image)[0][0, 0, 0]))
    assert firsts == {1, 2, 3, 4}


def test_crop_4d_takes_three_sizes_and_meets_the_mask():
    image, _ = sample((30, 20, 10))
    label = np.zeros(image.shape, np.uint8)
    label[27, 18, 1] = 4
    for index in range(10):
        with sample_seed(index):
            new_image, new_label = RandomCrop4D([5, 6, 4], nonzero_mask=True)(image[None], label)
        assert new_image.shape == (1, 5, 6, 4)
        assert new_label.any()


def test_crop_4d_of_the_whole_image_is_identity():
    image, label = sample((8, 8, 8))
    new_image, new_label = RandomCrop4D(8)(image[None], label)
    np.testing.assert_array_equal(new_image[0], image)
    np.testing.assert_array_equal(new_label, label)


def test_crop_4d_names_arguments_without_effect(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("medicalseg"), "propagate", True)
    RandomCrop4D(8, scale=[0.8, 1.2])
    assert not caplog.records
    RandomCrop4D(8, pre_crop=True)
    assert "no effect" in caplog.text


@pytest.mark.parametrize("scale", [0.25, 1.0, 1.5, 3.0])
def test_resized_crop_has_the_wanted_volume(scale):
    transform = RandomResizedCrop3D(8, scale=[scale, scale])
    shape = (200, 150, 100)
    for index in range(20):
        with sample_seed(index):
            sides = transform._box(shape)
        assert np.prod(sides) / np.prod(shape) == pytest.approx(scale, rel=0.03)
        factors = np.array(sides) / shape
        assert factors.max() / factors.min() <= (16 / 9) * 1.05


def test_resized_crop_of_everything_is_resize():
    image, label = sample()
    new_image, new_label = RandomResizedCrop3D([12, 10, 6], scale=[1, 1], ratio=[1, 1])(image, label)
    np.testing.assert_array_equal(new_image, image)
    np.testing.assert_array_equal(new_label, label)


def test_pre_crop_stays_within_the_mask():
    image, _ = sample((40, 40, 40))
    label = np.zeros(image.shape, np.uint8)
    label[10:20, 5:15, 22:30] = 1
    transform = RandomResizedCrop3D(6, scale=[1, 1], ratio=[1, 1], pre_crop=True, nonzero_mask=True)
    for index in range(5):
        with sample_seed(index):
            assert transform(image, label)[1].all()


def test_pre_crop_with_an_empty_label():
    image, label = sample()
    transform = RandomResizedCrop3D(4, pre_crop=True, nonzero_mask=True)
    assert transform(image, np.zeros_like(label))[0].shape == (4, 4, 4)
    assert transform(image)[0].shape == (4, 4, 4)
