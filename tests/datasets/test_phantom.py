"""The spine phantom: determinism, anatomy, geometry, files."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from medicalseg.datasets.phantom import spine_phantom, write_raw_phantom
from medicalseg.datasets.phantom.raw import case_files
from medicalseg.errors import DataError, UserError
from medicalseg.io import read_label, read_volume

SMALL = (64, 64, 12)
VERTEBRAE = list(range(1, 11))
DISCS = list(range(11, 20))


@pytest.fixture(scope="module")
def cases():
    return {number: spine_phantom(number, size=SMALL) for number in range(1, 17)}


def centres(label: np.ndarray) -> dict[int, float]:
    """Mean position along axis 1 (downward) of each class."""
    return {int(k): float(np.argwhere(label == k)[:, 1].mean()) for k in np.unique(label) if k}


def test_same_case_is_the_same_and_another_is_another():
    first, again = spine_phantom(3, seed=5, size=(32, 32, 4)), spine_phantom(3, seed=5, size=(32, 32, 4))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.label, again.label)
    assert np.array_equal(first.affine, again.affine)
    for other in (spine_phantom(4, seed=5, size=(32, 32, 4)), spine_phantom(3, seed=6, size=(32, 32, 4))):
        assert not np.array_equal(first.label, other.label)


def test_types_and_range(cases):
    for phantom in cases.values():
        assert phantom.image.shape == phantom.label.shape == SMALL
        assert (phantom.image.dtype, phantom.label.dtype) == (np.int16, np.uint8)
        assert phantom.image.min() >= 0
        assert 800 < phantom.image.max() < 8000
        assert phantom.label.max() <= 19


def test_affine_is_sagittal_with_a_field_of_view_of_340_mm(cases):
    from nibabel.affines import voxel_sizes
    from nibabel.orientations import aff2axcodes

    for phantom in cases.values():
        assert "".join(aff2axcodes(phantom.affine)) == "PIR"
        sizes = voxel_sizes(phantom.affine)
        assert 320 < sizes[0] * 64 < 360
        assert sizes[2] == pytest.approx(4.4, abs=1e-4)
        rotation = phantom.affine[:3, :3] / sizes
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-5)
        assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-5)


def test_size_changes_the_grid_and_not_the_patient():
    small, large = (spine_phantom(2, size=(n, n, 6)) for n in (48, 240))
    centre = slice(2, None, 5)
    agreement = (small.label == large.label[centre, centre]).mean()
    assert agreement > 0.985
    corner = [affine[:3, 3] + affine[:3, :3] @ np.full(3, -0.5) for affine in (small.affine, large.affine)]
    np.testing.assert_allclose(corner[0], corner[1], atol=1e-4)


def test_levels_follow_each_other_from_the_sacrum_up(cases):
    for number, phantom in cases.items():
        place = centres(phantom.label)
        assert 1 in place, number
        chain = [place[k] for pair in zip(VERTEBRAE, [*DISCS, None], strict=True) for k in pair if k in place]
        assert all(low > high for low, high in itertools.pairwise(chain)), number
        seen = [k for k in VERTEBRAE if k in place]
        assert seen == list(range(1, len(seen) + 1)), number


def test_t9_and_t10_are_often_out_of_view_and_the_lumbar_spine_never(cases):
    shares = {k: np.mean([(phantom.label == k).any() for phantom in cases.values()]) for k in range(20)}
    assert all(shares[k] == 1 for k in (0, 1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15))
    for k in (9, 10, 18, 19):
        assert 0.15 < shares[k] < 0.9, (k, shares[k])


def test_a_vertebra_is_one_piece_and_narrows_to_the_sides():
    phantom = spine_phantom(7, size=(160, 160, 24))
    for k in (2, 3, 4, 11, 12, 13):
        mask = phantom.label == k
        assert ndimage.label(mask, np.ones((3, 3, 3)))[1] == 1
        areas = mask.sum((0, 1))
        assert areas.max() > 1.5 * areas[areas > 0].min()
    spacing = np.linalg.norm(phantom.affine[:3, :3], axis=0)
    volume = (phantom.label == 3).sum() * np.prod(spacing) / 1000
    assert 20 < volume < 60, "an L4 body has about 30 to 50 ml"


def test_signals_are_those_of_a_t2_image():
    phantom = spine_phantom(7, size=(192, 192, 12))
    image, label = phantom.image[..., 6].astype(float), phantom.label[..., 6]
    body = np.isin(label, range(2, 7))
    rows = np.argwhere(body)
    behind = image[rows[:, 0].max() - 5 : rows[:, 0].max() + 12, rows[:, 1].min() : rows[:, 1].max()]
    air = image[-3:, :].mean()
    assert behind.max() > 1.8 * image[body].mean(), "CSF is brighter than marrow"
    assert air < 0.2 * image[body].mean()


def test_levels_cannot_be_told_from_height_in_the_image_alone(cases):
    """A level's place varies by more than the distance to its neighbour."""
    heights = np.array([centres(phantom.label)[4] for phantom in cases.values()])
    step = np.mean([centres(p.label)[3] - centres(p.label)[4] for p in cases.values()])
    assert np.ptp(heights) > 1.5 * step


def test_noise_floor_is_rician():
    phantom = spine_phantom(1, size=SMALL)
    air = phantom.image[-2:].astype(float)
    assert air.mean() / air.std() == pytest.approx(np.sqrt(np.pi / 2) / np.sqrt(2 - np.pi / 2), rel=0.15)


@pytest.mark.parametrize("arguments", [{"case": -1}, {"case": 1, "size": (8, 8, 1)}, {"case": 1, "seed": -2}])
def test_bad_arguments(arguments):
    with pytest.raises(UserError, match="phantom"):
        spine_phantom(**arguments)


def test_files_in_the_raw_layout(tmp_path):
    folder = write_raw_phantom(tmp_path, 2, seed=1, size=(32, 32, 4))
    assert folder == tmp_path / "MRI_spine_seg_raw" / "MRI_train" / "train"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.nii.gz"))
    assert names == ["MR/Case1.nii.gz", "MR/Case2.nii.gz", "Mask/mask_case1.nii.gz", "Mask/mask_case2.nii.gz"]
    image, label = case_files(folder, 2)
    expected = spine_phantom(2, seed=1, size=(32, 32, 4))
    assert np.array_equal(read_volume(image).array, expected.image)
    assert np.array_equal(read_label(label).array, expected.label)
    np.testing.assert_allclose(read_volume(image).affine, expected.affine, atol=1e-3)
    assert read_volume(image).same_grid(read_label(label))


def test_files_are_kept_or_made_anew(tmp_path):
    folder = write_raw_phantom(tmp_path, 2, size=(32, 32, 2))
    image, _ = case_files(folder, 1)
    before = image.stat().st_mtime_ns
    write_raw_phantom(tmp_path, 3, size=(32, 32, 2))
    assert image.stat().st_mtime_ns == before
    write_raw_phantom(tmp_path, 1, size=(32, 32, 3))
    assert read_volume(image).shape == (32, 32, 3)
    assert not case_files(folder, 2)[0].exists(), "cases of other settings must not stay"


def test_real_volumes_are_never_touched(tmp_path):
    folder = tmp_path / "MRI_spine_seg_raw" / "MRI_train" / "train" / "MR"
    folder.mkdir(parents=True)
    (folder / "Case1.nii.gz").write_bytes(b"a patient")
    with pytest.raises(DataError, match="no phantom"):
        write_raw_phantom(tmp_path, 2, size=(32, 32, 2))
    assert (folder / "Case1.nii.gz").read_bytes() == b"a patient"
