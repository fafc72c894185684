"""Axis codes and reorientation, against nibabel; grids compared."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest

from medicalseg.errors import VolumeError
from medicalseg.io import Volume, reorient

from .conftest import make_volume, rotation

CODES = [
    "".join(letters)
    for order in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*order)
]  # fmt: skip


@pytest.mark.parametrize("codes", CODES)
def test_reorientation_agrees_with_nibabel_and_comes_back(codes, volume):
    moved = reorient(volume, codes)
    image = nib.Nifti1Image(volume.array, volume.affine)
    transform = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
    theirs = image.as_reoriented(transform)
    np.testing.assert_array_equal(moved.array, np.asanyarray(theirs.dataobj))
    np.testing.assert_allclose(moved.affine, theirs.affine, atol=1e-10)
    assert moved.axcodes == codes == "".join(nib.aff2axcodes(theirs.affine))
    back = reorient(moved, volume.axcodes)
    np.testing.assert_array_equal(back.array, volume.array)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-10)


def test_channels_stay_in_front():
    volume = make_volume(channels=3)
    moved = reorient(volume, "SLP")
    for channel in range(3):
        single = reorient(Volume(volume.array[channel], volume.affine), "SLP")
        np.testing.assert_array_equal(moved.array[channel], single.array)


def test_flips_share_memory_and_keep_label_mark(volume):
    label = volume.with_array(volume.array, labels=True)
    moved = reorient(label, "LPS")
    assert np.shares_memory(moved.array, volume.array)
    assert moved.is_label
    assert reorient(label, label.axcodes) is label


@pytest.mark.parametrize("degrees", [(45, 0), (45, 45), (-45, 0), (135, 0), (45, 35.264389)])
@pytest.mark.parametrize("codes", CODES)
def test_the_way_back_exists_at_45_degrees(degrees, codes):
    affine = np.eye(4)
    affine[:3, :3] = rotation(*degrees) * [1, 2, 3]
    volume = Volume(np.arange(24).reshape(2, 3, 4), affine)
    moved = reorient(volume, codes)
    assert moved.axcodes == codes
    back = reorient(moved, volume.axcodes)
    np.testing.assert_array_equal(back.array, volume.array)
    np.testing.assert_allclose(back.affine, affine, atol=1e-9)


@pytest.mark.parametrize("codes", ["", "RA", "RAR", "RLS", "XYZ", "RASS", None, 3])
def test_unknown_codes(volume, codes):
    with pytest.raises(VolumeError, match="orientation"):
        reorient(volume, codes)


def test_properties(volume):
    assert volume.shape == (9, 11, 6)
    assert volume.channels == 1
    np.testing.assert_allclose(volume.spacing, (0.9, 1.1, 2.5))
    assert volume.origin == (-35.5, 12.25, 80.0)
    np.testing.assert_allclose(volume.direction, rotation())
    assert volume.axcodes == "RAS"
    assert make_volume(channels=4).channels == 4
    assert repr(volume) == "Volume(9 x 11 x 6 int16, 0.9 x 1.1 x 2.5 mm, RAS)"


def test_grid_difference(volume):
    def moved(change):
        affine = np.array(volume.affine)
        change(affine)
        return Volume(volume.array, affine)

    assert volume.same_grid(volume)
    assert volume.same_grid(moved(lambda a: a.__setitem__((0, 3), a[0, 3] + 0.01)))
    assert "origin" in volume.grid_difference(moved(lambda a: a.__setitem__((0, 3), a[0, 3] + 10)))
    assert "spacing" in volume.grid_difference(moved(lambda a: a.__imul__(1.5)))
    assert "shape" in volume.grid_difference(Volume(volume.array[:-1], volume.affine))
    assert "orientation" in volume.grid_difference(Volume(volume.array, volume.affine @ np.diag([-1, 1, 1, 1])))
    tilted = np.array(volume.affine)
    tilted[:3, :3] = rotation(10, 8.5) * volume.spacing
    assert "direction" in volume.grid_difference(Volume(volume.array, tilted))


@pytest.mark.parametrize(
    ("array", "affine"),
    [
        (np.zeros((3, 3)), np.eye(4)),
        (np.zeros((0, 3, 3)), np.eye(4)),
        (np.zeros((3, 3, 3), complex), np.eye(4)),
        (np.zeros((3, 3, 3)), np.eye(3)),
        (np.zeros((3, 3, 3)), np.diag([0, 1, 1, 1])),
        (np.zeros((3, 3, 3)), np.full((4, 4), np.nan)),
    ],
)
def test_impossible_volumes(array, affine):
    with pytest.raises(VolumeError):
        Volume(array, affine)


def test_with_array_keeps_the_grid(volume):
    assert volume.with_array(np.zeros((2, 9, 11, 6))).channels == 2
    assert Volume(np.ones((2, 2, 2), bool), np.eye(4)).array.dtype == np.uint8
    with pytest.raises(VolumeError, match="fit"):
        volume.with_array(np.zeros((9, 11, 5)))
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 0] = 3
