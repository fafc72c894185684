"""Resampling, against SimpleITK and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from medicalseg.errors import VolumeError
from medicalseg.io import Volume, read_volume, reorient, resample, resample_grid, resample_to

from .conftest import make_volume, rotation


def to_itk(volume):
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.transpose(2, 1, 0)))
    lps = np.diag([-1, -1, 1, 1]) @ volume.affine
    image.SetSpacing(volume.spacing)
    image.SetOrigin(lps[:3, 3])
    image.SetDirection((lps[:3, :3] / volume.spacing).ravel())
    return image


def with_itk(volume, reference, interpolator, fill):
    grid = to_itk(Volume(np.zeros(reference.shape, np.uint8), reference.affine))
    result = sitk.Resample(to_itk(volume), grid, sitk.Transform(), interpolator, float(fill), sitk.sitkFloat32)
    return sitk.GetArrayFromImage(result).transpose(2, 1, 0)


def smooth(shape=(24, 20, 16), dtype=np.float32):
    volume = make_volume(shape, np.float32, spacing=(1.0, 1.2, 2.0))
    return volume.with_array(ndimage.gaussian_filter(volume.array, 1.5).astype(dtype))


@pytest.mark.parametrize("spacing", [(1.7, 0.8, 1.0), (2.5, 2.5, 2.5), (1.0, 1.2, 0.7)])
def test_linear_agrees_with_simpleitk(spacing):
    volume = smooth()
    result = resample(volume, spacing=spacing)
    expected = with_itk(volume, result, sitk.sitkLinear, volume.array.min())
    np.testing.assert_allclose(result.spacing, spacing)
    np.testing.assert_allclose(result.array, expected, atol=2e-3)
    assert result.array.dtype == np.float32


def test_linear_on_a_rotated_grid_agrees_with_simpleitk():
    volume = smooth()
    affine = np.array(volume.affine)
    affine[:3, :3] = rotation(40, -20) * [0.9, 1.4, 1.6]
    affine[:3, 3] += [2, -3, 1]
    result = resample_grid(volume, affine, (22, 19, 17), fill=-7)
    expected = with_itk(volume, result, sitk.sitkLinear, -7)
    assert (expected == -7).any()
    assert (np.abs(result.array - expected) > 2e-3).mean() < 1e-3


def test_nearest_agrees_with_simpleitk():
    volume = make_volume((24, 20, 16), np.int16)
    affine = np.array(volume.affine)
    affine[:3, :3] *= [1.37, 0.83, 0.9]
    affine[:3, 3] += [0.013, -0.017, 0.011]  # off the ties, which either side may win
    result = resample_grid(volume, affine, (17, 23, 17), order=0)
    np.testing.assert_array_equal(result.array, with_itk(volume, result, sitk.sitkNearestNeighbor, 0))
    assert result.array.dtype == np.int16


def test_cubic_agrees_with_simpleitk_inside():
    volume = smooth((40, 36, 30))
    result = resample(volume, spacing=(0.8, 1.0, 1.5), order=3)
    expected = with_itk(volume, result, sitk.sitkBSpline, 0)
    inner = (slice(14, -14),) * 3
    np.testing.assert_allclose(result.array[inner], expected[inner], atol=2e-2)


def test_linear_keeps_a_ramp_in_world_coordinates():
    volume = smooth()
    index = np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), -1)
    world = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    result = resample(volume.with_array(world[..., 2].astype(np.float32)), spacing=(0.9, 0.9, 0.9))
    index = np.stack(np.meshgrid(*map(np.arange, result.shape), indexing="ij"), -1)
    expected = (index @ result.affine[:3, :3].T + result.affine[:3, 3])[..., 2]
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(result.array[inner], expected[inner], atol=1e-3)


def test_shape_keeps_the_field_of_view():
    volume = smooth()
    result = resample(volume, shape=(12, 10, 8))
    assert result.shape == (12, 10, 8)
    np.testing.assert_allclose(np.multiply(result.shape, result.spacing), np.multiply(volume.shape, volume.spacing))
    corner = volume.affine @ [-0.5, -0.5, -0.5, 1]
    np.testing.assert_allclose(result.affine @ [-0.5, -0.5, -0.5, 1], corner, atol=1e-9)


def test_the_same_grid_is_exact():
    volume = make_volume(dtype=np.int16)
    np.testing.assert_array_equal(resample(volume, spacing=volume.spacing).array, volume.array)
    np.testing.assert_array_equal(resample(volume, shape=volume.shape, order=3).array, volume.array)
    for codes in ("LPS", "SAR", "PIL"):
        moved = reorient(volume, codes)
        again = resample_to(moved, volume, order=3)
        np.testing.assert_array_equal(again.array, volume.array)
        assert again.same_grid(volume, 1e-9)


def test_reference_in_another_orientation():
    volume = smooth()
    target = resample(volume, spacing=(1.5, 1.5, 1.5))
    there = resample_to(volume, reorient(target, "SPL"))
    np.testing.assert_allclose(reorient(there, "RAS").array, target.array, atol=1e-3)


def test_labels_by_nearest_neighbour_invent_no_class():
    volume = make_volume((20, 18, 14), np.int32)
    label = volume.with_array(np.where(volume.array > 150, 7, np.where(volume.array > 100, 200, 0)), labels=True)
    result = resample(label, spacing=(0.6, 0.7, 0.9))
    assert set(np.unique(result.array)) <= {0, 7, 200}
    assert result.array.dtype == label.array.dtype
    assert result.is_label


def test_one_hot_linear_is_the_argmax_of_linear_indicators():
    generator = np.random.default_rng(1)
    field = ndimage.gaussian_filter(generator.normal(size=(20, 18, 14)), 2)
    label = Volume(np.digitize(field, [-0.03, 0.03]).astype(np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))
    result = resample(label, spacing=(0.7, 0.7, 0.7), order=1, labels=True)
    shares = [resample(label.with_array((label.array == k).astype(np.float32)), spacing=(0.7,) * 3) for k in range(3)]
    stacked = np.stack([share.array for share in shares])
    clear = np.diff(np.sort(stacked, axis=0), axis=0)[-1] > 1e-4
    np.testing.assert_array_equal(result.array[clear], stacked.argmax(0)[clear])
    back = resample_to(result, label, order=1)
    assert (back.array == label.array).mean() > 0.97


def test_one_hot_linear_does_not_depend_on_the_ids():
    label = make_volume((12, 10, 8), np.int32)
    label = label.with_array(label.array // 50, labels=True)
    ids = np.array([-3, 2, 70_000, 1_000_000])
    plain = resample(label, spacing=(0.7, 0.9, 1.3), order=1)
    other = resample(label.with_array(ids[label.array]), spacing=(0.7, 0.9, 1.3), order=1)
    np.testing.assert_array_equal(ids[plain.array], other.array)


def test_outside_is_background_for_labels():
    label = Volume(np.ones((4, 4, 4), np.uint8), np.eye(4), meta={"labels": True})
    for order in (0, 1):
        result = resample_grid(label, np.eye(4), (8, 4, 4), order=order)
        assert result.array[:4].min() == 1
        assert result.array[4:].max() == 0


def test_outside_is_the_minimum_for_images():
    image = Volume(np.arange(-1000, -936, dtype=np.int16).reshape(4, 4, 4), np.eye(4))
    assert (resample_grid(image, np.eye(4), (8, 4, 4)).array[4:] == -1000).all()


def test_channels_are_resampled_one_by_one():
    volume = make_volume(channels=2, dtype=np.float32)
    result = resample(volume, spacing=(1, 1, 1))
    for channel in range(2):
        single = resample(Volume(volume.array[channel], volume.affine), spacing=(1, 1, 1), order=1)
        inner = result.array[channel][1:-1, 1:-1, 1:-1]
        np.testing.assert_allclose(inner, single.array[1:-1, 1:-1, 1:-1], atol=1e-4)


def test_antialiasing_removes_what_the_coarse_grid_cannot_hold():
    stripes = np.zeros((64, 8, 8), np.float32)
    stripes[::2] = 1
    volume = Volume(stripes, np.eye(4))
    soft = resample(volume, spacing=(4, 1, 1), antialias=True).array
    assert soft[2:-2] == pytest.approx(0.5, abs=0.01)
    fine = resample(volume, spacing=(0.5, 1, 1), antialias=True).array
    np.testing.assert_allclose(fine, resample(volume, spacing=(0.5, 1, 1)).array)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"spacing": (1, 1, 1), "shape": (2, 2, 2)},
        {"spacing": (1, 1)},
        {"spacing": (0, 1, 1)},
        {"spacing": (1, np.nan, 1)},
        {"spacing": (1e-6, 1e-6, 1e-6)},
        {"shape": (2.5, 2, 2)},
        {"spacing": (1, 1, 1), "order": 2},
        {"spacing": (1, 1, 1), "order": 3, "labels": True},
    ],
)
def test_wrong_arguments(arguments, volume):
    with pytest.raises(VolumeError):
        resample(volume, **arguments)


def test_fractional_labels_are_refused():
    with pytest.raises(VolumeError, match="whole numbers"):
        resample(make_volume(dtype=np.float32), spacing=(1, 1, 1), labels=True)


def test_real_label_there_and_back(shared_data):
    path = shared_data / "torture/valid/oblique_17deg_label.nii.gz"
    label = read_volume(path).with_array(read_volume(path).array, labels=True)
    back = resample_to(resample(label, spacing=(0.7, 0.7, 0.7)), label)
    assert (back.array == label.array).mean() > 0.999
