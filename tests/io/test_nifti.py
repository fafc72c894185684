"""NIfTI headers: affine, units, scaling, and values that make no sense."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from medicalseg.errors import VolumeError
from medicalseg.io import read_label, read_volume, write_volume

from .conftest import make_volume


@pytest.fixture
def image(volume):
    image = nib.Nifti1Image(volume.array, volume.affine)
    image.set_sform(volume.affine, 1)
    image.set_qform(volume.affine, 1)
    image.header.set_xyzt_units("mm")
    return image


def saved(image, folder, name="v.nii"):
    nib.save(image, folder / name)
    return folder / name


def patched(path, offset, value, kind):
    content = bytearray(path.read_bytes())
    part = np.array(value, dtype=kind).tobytes()
    content[offset : offset + len(part)] = part
    path.write_bytes(content)
    return path


def test_orientation_unknown_is_warned_about(image, tmp_path, warnings_of):
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    image.header["sform_code"] = image.header["qform_code"] = 0
    path = saved(image, tmp_path)
    path = patched(patched(path, 252, 0, "<i2"), 254, 0, "<i2")
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, nib.load(path).affine, atol=1e-5)
    assert any("orientation is not known" in text for text in warnings_of())


def test_sform_counts_more_than_qform(image, tmp_path, warnings_of):
    other = np.diag([2.0, 2.0, 2.0, 1.0])
    image.set_qform(other, 1)
    volume = read_volume(saved(image, tmp_path))
    np.testing.assert_allclose(volume.affine, image.affine, atol=1e-5)
    assert len([text for text in warnings_of() if "sform and qform differ" in text]) == 1


def test_sform_and_qform_that_agree_give_no_warning(image, tmp_path, warnings_of):
    read_volume(saved(image, tmp_path))
    assert warnings_of() == []


def test_random_qforms_agree_with_nibabel(tmp_path):
    generator = np.random.default_rng(0)
    for trial in range(20):
        rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        affine = np.eye(4)
        affine[:3, :3] = rotation * generator.uniform(0.3, 4, 3)
        affine[:3, 3] = generator.uniform(-100, 100, 3)
        image = nib.Nifti1Image(np.zeros((3, 4, 5), np.uint8), affine)
        image.set_sform(None, 0)
        image.set_qform(affine, 1)
        path = saved(image, tmp_path)
        np.testing.assert_allclose(read_volume(path).affine, affine, atol=1e-4, err_msg=str(trial))


@pytest.mark.parametrize(("unit", "scale"), [("micron", 0.001), ("meter", 1000.0), ("mm", 1.0), ("unknown", 1.0)])
def test_units_become_millimetres(image, tmp_path, unit, scale):
    image.header.set_xyzt_units(unit)
    volume = read_volume(saved(image, tmp_path))
    np.testing.assert_allclose(volume.affine[:3], image.affine[:3] * scale, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "expected"),
    [
        (np.int16, 1.0, -1024.0, np.int16),
        (np.uint8, 4.0, 512.0, np.int16),
        (np.uint16, 10.0, 0.0, np.int32),
        (np.int16, 0.5, 0.0, np.float32),
        (np.int32, 0.25, 3.0, np.float32),
        (np.float32, 2.0, 1.0, np.float32),
        (np.float64, 2.0, 1.0, np.float64),
        (np.int16, 0.0, 7.0, np.int16),
        (np.int16, 1.0, 0.0, np.int16),
    ],
)
def test_scaling(tmp_path, dtype, slope, intercept, expected):
    volume = make_volume(dtype=dtype)
    if dtype == np.uint16:
        volume = volume.with_array(volume.array * np.uint16(300))
    path = write_volume(volume, tmp_path / "v.nii")
    patched(path, 112, [slope, intercept], "<f4")
    again = read_volume(path)
    wanted = volume.array.astype(float) * slope + intercept if slope else volume.array
    assert again.array.dtype == expected
    np.testing.assert_allclose(again.array, wanted, rtol=1e-6)
    np.testing.assert_allclose(again.array, nib.load(path).get_fdata(), rtol=1e-6)


def test_integer_scaling_that_exceeds_the_stored_type(tmp_path):
    volume = make_volume(dtype=np.int16)
    path = patched(write_volume(volume, tmp_path / "v.nii"), 112, [1000.0, 0.0], "<f4")
    again = read_volume(path)
    assert again.array.dtype == np.int32
    np.testing.assert_array_equal(again.array, volume.array.astype(np.int64) * 1000)


@pytest.mark.parametrize(
    ("offset", "value", "kind", "text"),
    [
        (40, 0, "<i2", "number of axes"),
        (40, 9, "<i2", "number of axes"),
        (42, 0, "<i2", "size 0"),
        (42, 30000, "<i2", "truncated"),
        (70, 32, "<i2", "complex64"),
        (70, 128, "<i2", "RGB"),
        (72, 8, "<i2", "bits"),
        (108, np.nan, "<f4", "at byte nan"),
        (108, 17, "<f4", "at byte 17"),
        (112, [np.inf, 0], "<f4", "intensity scale"),
        (112, [1, np.nan], "<f4", "intensity scale"),
        (280, np.nan, "<f4", "NaN or infinite"),
        (280, [0, 0, 0], "<f4", "spacing|same way"),
        (344, [65, 65, 65, 65], "<u1", "magic"),
        (344, [110, 105, 49, 0], "<u1", "pair"),
    ],
)
def test_headers_that_make_no_sense(tmp_path, offset, value, kind, text):
    volume = make_volume()
    straight = np.diag([1.0, 1.0, 1.0, 1.0])
    path = write_volume(type(volume)(volume.array, straight), tmp_path / "v.nii")
    with pytest.raises(VolumeError, match=text) as error:
        read_volume(patched(path, offset, value, kind))
    assert "\n" not in str(error.value)


def test_analyze_is_refused(tmp_path, volume):
    nib.save(nib.AnalyzeImage(volume.array, None), tmp_path / "v.img")
    for name in ("v.hdr", "v.img"):
        with pytest.raises(VolumeError, match="ANALYZE"):
            read_volume(tmp_path / name)


def test_either_half_of_a_pair_is_accepted(tmp_path, volume):
    write_volume(volume, tmp_path / "v.hdr")
    np.testing.assert_array_equal(read_volume(tmp_path / "v.img").array, volume.array)


def test_surplus_bytes_are_warned_about(tmp_path, volume, warnings_of):
    path = write_volume(volume, tmp_path / "v.nii")
    path.write_bytes(path.read_bytes() + b"12345")
    np.testing.assert_array_equal(read_volume(path).array, volume.array)
    assert any("5 bytes follow" in text for text in warnings_of())


@pytest.mark.parametrize(("value", "shown"), [(1.4, "1.4"), (-3, "-3"), (3e9, "3e")])
def test_label_values_are_named(tmp_path, value, shown):
    volume = make_volume(dtype=np.float64)
    array = np.rint(volume.array / 100)
    array[2, 3, 4] = value
    path = write_volume(volume.with_array(array), tmp_path / "v.nii.gz")
    with pytest.raises(VolumeError, match=shown):
        read_label(path)
    array[2, 3, 4] = 1.00005
    write_volume(volume.with_array(array), path)
    assert read_label(path).array[2, 3, 4] == 1
