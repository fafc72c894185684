"""Awkward and broken files: each reads as its manifest says, or is refused in one line that names it."""

from __future__ import annotations

import json
import random
import shutil

import nibabel as nib
import numpy as np
import pytest

from medicalseg.errors import VolumeError
from medicalseg.io import Volume, deskew, read_label, read_volume, write_volume

MAY_BE_REFUSED = {
    "2d.nii.gz",
    "4d_two_channels.nii.gz",
    "5d_channels.nii.gz",
    "label_onehot_4d.nii.gz",
    "nan_inf.nii.gz",
    "sheared_gantry_tilt.nii.gz",
    "array_with_label.npz",
}


@pytest.fixture(scope="module")
def torture(shared_data):
    return shared_data / "torture"


@pytest.fixture(scope="module")
def manifest(torture):
    return json.loads((torture / "manifest.json").read_text())


def check_message(error: VolumeError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 800


def one_line(error: pytest.ExceptionInfo, path) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    assert len(message) < len(str(path)) + 400
    return message


def test_every_valid_file_reads_as_its_manifest_says(torture, manifest):
    refused = set()
    for name, expected in manifest["valid"].items():
        try:
            volume = read_volume(torture / "valid" / name)
        except VolumeError as error:
            check_message(error)
            refused.add(name)
            continue
        squeezed = expected["shape"] + [1] * (3 - len(expected["shape"]))
        assert list(volume.array.shape) == squeezed[:3], name
        affine = np.array(expected.get("affine", volume.affine))
        scale = 1e-3 if name == "micrometres.nii.gz" else 1.0
        np.testing.assert_allclose(volume.affine[:3] / scale, affine[:3], atol=1e-4 / scale, err_msg=name)
        for what in ("min", "max"):
            if what in expected:
                assert float(getattr(volume.array, what)()) == pytest.approx(expected[what], rel=1e-6), name
        if "scl_slope" not in expected and "stored_dtype" in expected:
            assert volume.array.dtype == expected["stored_dtype"], name
    assert refused <= MAY_BE_REFUSED


def test_same_array_in_every_format(torture):
    names = ["oblique_17deg.nii.gz", "oblique.mha", "oblique.mhd", "oblique.nrrd", "detached.nhdr", "qform_only.nii.gz"]
    volumes = [read_volume(torture / "valid" / name) for name in names]
    for other in volumes[1:]:
        np.testing.assert_array_equal(other.array, volumes[0].array)
        assert volumes[0].same_grid(other, tolerance=1e-3)


def test_mgz_agrees_with_nibabel(torture):
    path = torture / "valid/freesurfer.mgz"
    volume, theirs = read_volume(path), nib.load(path)
    np.testing.assert_array_equal(volume.array, np.asanyarray(theirs.dataobj))
    np.testing.assert_allclose(volume.affine, theirs.affine, atol=1e-5)


def test_every_invalid_file_is_refused_in_one_line(torture, manifest):
    for name in manifest["invalid"]:
        if not name.startswith("pairs"):
            path = torture / "invalid" / name
            with pytest.raises(VolumeError) as error:
                read_volume(path)
            one_line(error, path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("truncated.nii.gz", "truncated"),
        ("bad_crc.nii.gz", "checksum"),
        ("not_gzip.nii.gz", "not gzip"),
        ("gz_under_nii.nii", "rename it to .nii.gz"),
        ("empty.nii.gz", "empty"),
        ("short_data.nii", "truncated"),
        ("unknown_datatype.nii", "9999"),
        ("negative_dim.nii", "-5"),
        ("zero_and_nan_spacing.nii", "spacing"),
        ("truncated_png.png", "PNG"),
    ],
)
def test_the_message_says_what_is_wrong(torture, name, text):
    with pytest.raises(VolumeError, match=text):
        read_volume(torture / "invalid" / name)


def test_nothing_is_printed(torture, capfd):
    for path in sorted((torture / "invalid").glob("*")) + sorted((torture / "third_party").glob("*/*")):
        if path.is_file():
            try:
                read_volume(path, channels=True)
            except VolumeError as error:
                check_message(error)
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    assert err == ""


def test_channels_are_read_on_request(torture):
    assert read_volume(torture / "valid/4d_two_channels.nii.gz", channels=True).array.shape == (2, 34, 52, 35)
    assert read_volume(torture / "valid/5d_channels.nii.gz", channels=True).array.shape == (2, 34, 52, 35)
    theirs = np.asanyarray(nib.load(torture / "third_party/nibabel/functional.nii").dataobj)
    ours = read_volume(torture / "third_party/nibabel/functional.nii", channels=True)
    np.testing.assert_allclose(ours.array, np.moveaxis(theirs, -1, 0), rtol=1e-6)


def test_nan_is_kept_or_replaced_on_request(torture):
    path = torture / "valid/nan_inf.nii.gz"
    with pytest.raises(VolumeError, match="5461 voxels that are NaN or infinite"):
        read_volume(path)
    kept = read_volume(path, nonfinite="keep").array
    filled = read_volume(path, nonfinite=-1.0).array
    assert int((~np.isfinite(kept)).sum()) == 5461
    np.testing.assert_array_equal(filled, np.where(np.isfinite(kept), kept, -1))


def test_sheared_volume_is_deskewed(torture):
    path = torture / "valid/sheared_gantry_tilt.nii.gz"
    with pytest.raises(VolumeError, match="deskew"):
        read_volume(path)
    sheared = read_volume(path, sheared=True)
    straight = deskew(sheared)
    assert sheared.is_sheared
    assert not straight.is_sheared
    np.testing.assert_allclose(straight.spacing, (0.9, 1.1, 2.5), rtol=1e-4)
    world = sheared.affine @ [15, 30, 20, 1]
    index = np.linalg.inv(straight.affine) @ world
    y0 = int(np.floor(index[1]))
    part = index[1] - y0
    there = straight.array[15, y0 : y0 + 2, 20] @ [1 - part, part]
    low, high = sheared.array[15, 28:33, 20].min(), sheared.array[15, 28:33, 20].max()
    assert low <= there <= high


def test_labels(torture):
    folder = torture / "valid"
    reference = read_label(folder / "label_uint8.nii.gz").array
    assert reference.dtype == np.int32
    for name in ("label_float64.nii.gz", "label_int64.nii.gz", "label_scaled.nii.gz"):
        label = read_label(folder / name)
        assert label.is_label
        np.testing.assert_array_equal(label.array, reference)
    np.testing.assert_array_equal(read_label(folder / "array_with_label.npz").array > 0, reference > 0)
    assert np.unique(read_label(folder / "label_gaps_0_3_200.nii.gz").array).tolist() == [0, 3, 200]


@pytest.mark.parametrize(("name", "text"), [("label_fractional", "0.7, 1.4"), ("label_negative", "-1")])
def test_values_that_are_no_class_ids_are_named(torture, name, text):
    with pytest.raises(VolumeError, match=text):
        read_label(torture / "invalid/pairs" / f"{name}_label.nii.gz")


def test_float_label_just_below_one(shared_data):
    paths = sorted((shared_data / "brats").rglob("*brainmask*"))
    label = read_label(paths[0])
    assert np.unique(label.array).tolist() == [0, 1]


def test_third_party_nrrd_agrees_with_nifti(torture):
    folder = torture / "third_party/pynrrd"
    names = ("BallBinary30x30x30.nhdr", "BallBinary30x30x30_bz2.nrrd", "BallBinary30x30x30.nii.gz")
    volumes = [read_volume(folder / name) for name in names]
    np.testing.assert_array_equal(volumes[0].array, volumes[1].array)
    np.testing.assert_array_equal(volumes[0].array, volumes[2].array)
    np.testing.assert_allclose(volumes[0].affine, volumes[1].affine)


@pytest.mark.parametrize(
    "name", ["a.nii", "a.nii.gz", "a.hdr", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.mgz", "a.npy", "a.npz"]
)
def test_damaged_bytes_give_a_volume_or_one_line(torture, tmp_path, name):
    volume = read_volume(torture / "valid/tiny_5x6x7.nii.gz")
    whole = tmp_path / name
    if name.endswith(".npz"):
        np.savez(whole, image=volume.array)
    else:
        write_volume(volume, whole)
    damage(whole, tmp_path / f"damaged_{name}", seed=len(name))


@pytest.mark.parametrize("name", ["CT_small", "MR_small_RLE", "MR_small_jp2klossless", "MR_small_bigendian"])
def test_damaged_dicom_gives_a_volume_or_one_line(torture, tmp_path, name, capfd):
    pytest.importorskip("pydicom")
    damage(torture / f"third_party/dicom_single/{name}.dcm", tmp_path / "damaged.dcm", seed=3)
    assert capfd.readouterr().err == ""


def damage(whole, target, seed, times=60):
    generator = random.Random(seed)
    content = whole.read_bytes()
    for half in (".img", ".raw"):
        if whole.with_suffix(half).exists():
            shutil.copyfile(whole.with_suffix(half), target.with_suffix(half))
    for _ in range(times):
        broken = bytearray(content)
        if generator.random() < 0.3:
            del broken[generator.randrange(len(broken)) :]
        for _ in range(generator.randrange(1, 4)):
            if broken:
                place = generator.randrange(min(len(broken), generator.choice([60, 400, len(broken)])))
                broken[place] = generator.choice([0, 255, generator.randrange(256)])
        target.write_bytes(broken)
        try:
            assert isinstance(read_volume(target, channels=True), Volume)
        except VolumeError as error:
            check_message(error)
