"""Round trips through every format, checked against nibabel, SimpleITK and pynrrd."""

from __future__ import annotations

import gzip
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from medicalseg.errors import VolumeError
from medicalseg.io import Volume, read_label, read_volume, smallest_integer, write_volume

from .conftest import make_volume

GEOMETRIC = ["v.nii", "v.nii.gz", "v.hdr", "v.nrrd", "v.nhdr", "v.mha", "v.mhd", "v.mgz", "v.mgh"]
ITK = ["v.nii", "v.nii.gz", "v.hdr", "v.nrrd", "v.nhdr", "v.mha", "v.mhd"]


def of_itk(path):
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    array = sitk.GetArrayFromImage(image)
    return array, np.diag([-1, -1, 1, 1]) @ affine


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("channels", [0, 2])
def test_round_trip(tmp_path, name, channels):
    volume = make_volume(channels=channels)
    path = write_volume(volume, tmp_path / name)
    again = read_volume(path, channels=bool(channels))
    np.testing.assert_array_equal(again.array, volume.array)
    assert again.array.dtype == volume.array.dtype
    np.testing.assert_allclose(again.affine, volume.affine, atol=2e-5)
    assert again.path == path
    assert not list(tmp_path.glob(".tmp*"))


@pytest.mark.parametrize("name", ITK)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64])
def test_simpleitk_reads_what_is_written(tmp_path, name, dtype):
    volume = make_volume(dtype=dtype)
    write_volume(volume, tmp_path / name)
    array, affine = of_itk(tmp_path / name)
    np.testing.assert_array_equal(array.transpose(2, 1, 0), volume.array)
    assert array.dtype == volume.array.dtype
    np.testing.assert_allclose(affine, volume.affine, atol=1e-4)


@pytest.mark.parametrize("name", ["v.nrrd", "v.nhdr", "v.mha", "v.mhd"])
def test_simpleitk_reads_channels(tmp_path, name):
    volume = make_volume(channels=3)
    write_volume(volume, tmp_path / name)
    array, _ = of_itk(tmp_path / name)
    np.testing.assert_array_equal(array.transpose(3, 2, 1, 0), volume.array)


@pytest.mark.parametrize("name", ["v.nii.gz", "v.nrrd", "v.nhdr", "v.mha", "v.mhd"])
@pytest.mark.parametrize("compress", [False, True])
def test_what_simpleitk_writes_is_read(tmp_path, name, compress):
    volume = make_volume(dtype=np.float32)
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.transpose(2, 1, 0)))
    lps = np.diag([-1, -1, 1, 1]) @ volume.affine
    image.SetSpacing(volume.spacing)
    image.SetOrigin(lps[:3, 3])
    image.SetDirection((lps[:3, :3] / volume.spacing).ravel())
    sitk.WriteImage(image, str(tmp_path / name), useCompression=compress)
    again = read_volume(tmp_path / name)
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-4)


def test_pynrrd_agrees(tmp_path, volume):
    nrrd = pytest.importorskip("nrrd")
    write_volume(volume, tmp_path / "v.nrrd")
    array, header = nrrd.read(str(tmp_path / "v.nrrd"))
    np.testing.assert_array_equal(array, volume.array)
    lps = np.diag([-1, -1, 1, 1]) @ volume.affine
    np.testing.assert_allclose(header["space directions"], lps[:3, :3].T)
    for encoding in ("raw", "ascii", "bzip2", "gzip"):
        nrrd.write(str(tmp_path / "w.nrrd"), array, {**header, "encoding": encoding})
        again = read_volume(tmp_path / "w.nrrd")
        np.testing.assert_array_equal(again.array, volume.array)
        np.testing.assert_allclose(again.affine, volume.affine)


def test_nibabel_reads_both_forms(tmp_path, volume):
    write_volume(volume, tmp_path / "v.nii.gz")
    image = nib.load(tmp_path / "v.nii.gz")
    for affine, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        assert code == 1
        np.testing.assert_allclose(affine, volume.affine, atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), volume.array)


def test_long_axis_becomes_nifti2(tmp_path):
    volume = Volume(np.arange(33000, dtype=np.int32).reshape(33000, 1, 1), np.eye(4))
    write_volume(volume, tmp_path / "v.nii.gz")
    assert isinstance(nib.load(tmp_path / "v.nii.gz"), nib.Nifti2Image)
    np.testing.assert_array_equal(read_volume(tmp_path / "v.nii.gz").array, volume.array)


def test_memory_order_of_the_array_does_not_matter(tmp_path, volume):
    view = volume.array[::-1].transpose(1, 2, 0)
    write_volume(Volume(view, np.eye(4)), tmp_path / "a.nii.gz")
    write_volume(Volume(view.copy(order="C"), np.eye(4)), tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").array, view)


def test_npy(tmp_path, volume, warnings_of):
    write_volume(volume, tmp_path / "v.npy")
    again = read_volume(tmp_path / "v.npy")
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_array_equal(again.affine, np.eye(4))
    assert any("no geometry" in text for text in warnings_of())
    with pytest.raises(VolumeError, match="only read"):
        write_volume(volume, tmp_path / "v.npz")


def test_npz_by_key(tmp_path, volume):
    np.savez_compressed(tmp_path / "v.npz", image=volume.array, label=volume.array % 3)
    np.testing.assert_array_equal(read_volume(tmp_path / "v.npz").array, volume.array)
    np.testing.assert_array_equal(read_label(tmp_path / "v.npz").array, volume.array % 3)
    np.savez(tmp_path / "w.npz", scan=volume.array)
    with pytest.raises(VolumeError, match="only scan"):
        read_volume(tmp_path / "w.npz")


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "v.npy", np.array([[[{"a": 1}]]], dtype=object), allow_pickle=True)
    with pytest.raises(VolumeError):
        read_volume(tmp_path / "v.npy")


def test_labels_are_written_small_and_images_as_they_are(tmp_path, volume):
    wide = volume.with_array(volume.array.astype(np.int32))
    label = wide.with_array(wide.array % 5, labels=True)
    write_volume(wide, tmp_path / "image.nii.gz")
    write_volume(label, tmp_path / "label.nii.gz")
    assert read_volume(tmp_path / "image.nii.gz").array.dtype == np.int32
    assert read_volume(tmp_path / "label.nii.gz").array.dtype == np.uint8
    write_volume(wide, tmp_path / "image.mha", labels=True)
    assert read_volume(tmp_path / "image.mha").array.dtype == np.uint8
    assert smallest_integer(np.array([0, 300])).dtype == np.int16
    assert smallest_integer(np.array([-1, 70000])).dtype == np.int32


def test_a_failed_write_leaves_the_old_file(tmp_path, volume, monkeypatch):
    path = write_volume(volume, tmp_path / "v.mhd")
    before = path.read_bytes(), (tmp_path / "v.raw").read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medicalseg.io.metaimage.write_array", fail)
    with pytest.raises(OSError, match="No space left"):
        write_volume(volume.with_array(volume.array * 0), path)
    assert (path.read_bytes(), (tmp_path / "v.raw").read_bytes()) == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["v.mhd", "v.raw"]


def test_names_that_cannot_be_written(tmp_path, volume):
    for name in ("v.jpg", "v.dcm", "v.img", "v"):
        with pytest.raises(VolumeError, match=r"ends? in|ending in"):
            write_volume(volume, tmp_path / name)
    skewed = np.array(volume.affine)
    skewed[:3, 2] += 0.5 * skewed[:3, 1]
    with pytest.raises(VolumeError, match="sheared"):
        write_volume(Volume(volume.array, skewed), tmp_path / "v.nii")


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.hdr", "v.nrrd", "v.nhdr", "v.mha", "v.mhd", "v.mgz", "v.npy"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_truncated_voxels_are_refused(tmp_path, name, part):
    path = write_volume(make_volume(shape=(20, 20, 20)), tmp_path / name)
    halves = [item for item in tmp_path.iterdir() if item.suffix in (".raw", ".img", ".gz") and item != path]
    victim = halves[0] if halves else path
    victim.write_bytes(victim.read_bytes()[: int(victim.stat().st_size * part)])
    with pytest.raises(VolumeError, match=r"truncated|mmap"):
        read_volume(path)


@pytest.mark.parametrize("name", ["v.hdr", "v.mhd", "v.nhdr"])
def test_a_missing_half_is_named(tmp_path, volume, name):
    path = write_volume(volume, tmp_path / name)
    next(item for item in tmp_path.iterdir() if item != path).unlink()
    with pytest.raises(VolumeError, match="missing"):
        read_volume(path)


def test_reading_takes_little_more_memory_than_the_voxels(tmp_path):
    array = np.random.default_rng(0).integers(-1000, 1000, (128, 128, 64), dtype=np.int16)
    volume = Volume(array, np.eye(4))
    for name in ("v.nii.gz", "v.nrrd", "v.mha"):
        path = write_volume(volume, tmp_path / name)
        tracemalloc.start()
        read_volume(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < array.nbytes + 8e6, name


def test_metaimage_and_nrrd_headers(tmp_path, volume, warnings_of):
    path = write_volume(volume, tmp_path / "v.mhd")
    text = path.read_text()
    plain = "\n".join(line for line in text.splitlines() if "TransformMatrix" not in line) + "\n"
    path.write_text(plain)
    np.testing.assert_allclose(read_volume(path).direction, np.diag([-1, -1, 1]))
    assert any("no TransformMatrix" in message for message in warnings_of())
    path.write_text(text.replace("MET_SHORT", "MET_STRING"))
    with pytest.raises(VolumeError, match="MET_STRING"):
        read_volume(path)
    path.write_text(text.replace("NDims = 3", "NDims = 3\nDistanceUnits = um"))
    np.testing.assert_allclose(read_volume(path).spacing, np.array(volume.spacing) / 1000)
    header = "NRRD0004\ntype: uchar\ndimension: 4\nsizes: 1 2 2 2\nspacings: nan 1 1 2\nencoding: hex\n\n"
    (tmp_path / "w.nrrd").write_text(header + "0001020304050607")
    again = read_volume(tmp_path / "w.nrrd")
    np.testing.assert_array_equal(again.array.ravel(order="F"), np.arange(8))
    assert again.spacing == (1, 1, 2)


def test_gzip_members_and_garbage(tmp_path, volume):
    path = write_volume(volume, tmp_path / "v.nii.gz")
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:500]) + gzip.compress(content[500:]))
    np.testing.assert_array_equal(read_volume(path).array, volume.array)
    members = path.read_bytes()
    for surplus, message in ((b"garbage follows", "not gzip"), (b"garbage", "not gzip|end too early")):
        path.write_bytes(members + surplus)
        with pytest.raises(VolumeError, match=message):
            read_volume(path)
