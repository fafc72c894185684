"""Connected components against SimpleITK; exchange of label ids."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from medicalseg.errors import DataError
from medicalseg.transforms import BinaryMaskToConnectComponent, LabelRemap, TopkLargestConnectComponent


def itk_components(mask, minimum):
    components = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)))
    return sitk.GetArrayFromImage(sitk.RelabelComponent(components, minimumObjectSize=minimum))


def boxes():
    mask = np.zeros((20, 20, 10), np.int32)
    mask[0:2, 0:2, 0:2] = 1
    mask[5:9, 5:9, 2:6] = 1
    mask[12:19, 12:19, 1:9] = 1
    mask[9, 9, 6] = 1
    return mask


@pytest.mark.parametrize("minimum", [0, 2, 10, 1000])
def test_components_equal_simpleitk(minimum):
    mask = boxes()
    numbered, label = BinaryMaskToConnectComponent(minimum)(mask, mask.astype(np.uint8))
    np.testing.assert_array_equal(numbered, itk_components(mask, minimum))
    np.testing.assert_array_equal(label, numbered)
    assert numbered.dtype == np.int32
    assert label.dtype == np.uint8


def test_components_of_noise_have_simpleitks_volumes():
    mask = (np.random.default_rng(0).random((20, 20, 20)) > 0.8).astype(np.uint8)
    ours = BinaryMaskToConnectComponent()(mask)[0]
    theirs = itk_components(mask, 0)
    np.testing.assert_array_equal(np.bincount(ours.ravel()), np.bincount(theirs.ravel()))
    assert ours.dtype == np.int32


@pytest.mark.parametrize("k", [1, 2, 9])
def test_largest(k):
    mask = boxes()
    kept, label = TopkLargestConnectComponent(k)(255 * mask, mask)
    expected = itk_components(mask, 0)
    np.testing.assert_array_equal(kept, np.where(expected > k, 0, expected))
    assert label is mask


def test_empty_mask():
    assert not TopkLargestConnectComponent()(np.zeros((3, 3, 3), bool))[0].any()


def test_more_than_two_values():
    mask = boxes()
    mask[0, 0, 0] = 7
    with pytest.raises(DataError, match="1, 7"):
        BinaryMaskToConnectComponent()(mask)


@pytest.mark.parametrize("top", [5, 100_000])
def test_remap_is_applied_once(top):
    label = np.array([0, 1, 2, 3, top], np.int32).reshape(5, 1, 1)
    new = LabelRemap({1: 2, 2: 3, 3: 1})(np.zeros(label.shape), label)[1]
    assert new.ravel().tolist() == [0, 2, 3, 1, top]
    assert new.dtype == np.int32
    new = LabelRemap({1: 2, 2: 1}, default=0)(np.zeros(label.shape), label)[1]
    assert new.ravel().tolist() == [0, 2, 1, 0, 0]


def test_remap_widens_the_type_if_it_must():
    label = np.array([0, 1, -1], np.int8).reshape(3, 1, 1)
    new = LabelRemap({1: 300, -1: 255})(np.zeros(label.shape), label)[1]
    assert new.ravel().tolist() == [0, 300, 255]
    assert new.dtype == np.int32


def test_remap_of_nothing():
    image = np.zeros((2, 2, 2))
    label = np.arange(8).reshape(2, 2, 2)
    np.testing.assert_array_equal(LabelRemap({})(image, label)[1], label)
    assert LabelRemap({1: 2})(image)[1] is None
