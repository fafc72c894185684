"""DICOM series: geometry against SimpleITK, and the folders that must be refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from medicalseg.errors import MissingDependencyError, VolumeError
from medicalseg.io import deskew, find_volumes, is_volume, read_volume, write_volume

pydicom = pytest.importorskip("pydicom")

CT = "1.2.840.10008.5.1.4.1.1.2"


def write_slice(path, z, *, series="1.2.9", shift=0.0, rows=6, columns=5, number=None, **extra):
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, f"{series}.{abs(hash((path.name, z))) % 10**8}"
    dataset.SeriesInstanceUID, dataset.Modality, dataset.SeriesDescription = series, "CT", "spine"
    dataset.SeriesNumber = 4
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.PixelSpacing = [0.8, 0.5]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-10, 20 + shift, z]
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    pixels = (np.arange(rows * columns).reshape(rows, columns) + 100 * round(z)).astype("<i2")
    dataset.PixelData = pixels.tobytes()
    for name, value in extra.items():
        setattr(dataset, name, value)
        if value is None:
            delattr(dataset, name)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.file_meta.MediaStorageSOPClassUID = CT
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.preamble = b"\0" * 128
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    pydicom.dcmwrite(path, dataset)
    return pixels


@pytest.fixture
def series(tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    for index, z in enumerate([4.0, 0.0, 2.0, 8.0, 6.0]):
        write_slice(folder / f"{index}.dcm", z)
    return folder


def of_itk(folder, names=None):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names or reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ affine


def test_series_is_sorted_by_position(series):
    volume = read_volume(series)
    array, affine = of_itk(series)
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    assert volume.array.shape == (5, 6, 5)
    assert volume.array[1, 0, 2] == 1 + 400 - 1024
    assert volume.spacing == (0.5, 0.8, 2.0)
    assert volume.axcodes == "LPS"
    assert volume.meta["modality"] == "CT"


def test_real_series_agrees_with_simpleitk(shared_data, tmp_path):
    for name in ("dicom_series_ct17", "dcmqi_ct_liver/ct"):
        folder = shared_data / "torture/third_party" / name
        volume = read_volume(folder)
        array, affine = of_itk(folder)
        np.testing.assert_array_equal(volume.array, array)
        np.testing.assert_allclose(volume.affine, affine, atol=1e-3)
    again = read_volume(write_volume(volume, tmp_path / "ct.nii.gz"))
    np.testing.assert_array_equal(again.array, volume.array)
    assert again.same_grid(volume)


def test_single_files_agree_with_simpleitk(shared_data):
    folder = shared_data / "torture/third_party/dicom_single"
    for path in sorted(folder.glob("*.dcm")):
        if path.stem in ("MR_truncated", "liver_1frame"):
            with pytest.raises(VolumeError, match=r"damaged voxels|segmentation"):
                read_volume(path)
            continue
        volume = read_volume(path)
        array, affine = of_itk(folder, [str(path)])
        np.testing.assert_array_equal(volume.array, array, err_msg=path.name)
        np.testing.assert_allclose(volume.affine[:, [0, 1, 3]], affine[:, [0, 1, 3]], atol=1e-3)


def refused(folder, text, **arguments):
    with pytest.raises(VolumeError, match=text) as error:
        read_volume(folder, **arguments)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(folder))


def test_missing_slices(series):
    (series / "2.dcm").unlink()
    refused(series, "lacks 1 slice: .*1.dcm and 0.dcm lie 4 mm apart")


def test_uneven_distances(series):
    write_slice(series / "9.dcm", 11.3)
    refused(series, "uneven distances")


def test_two_images_at_one_place(series):
    write_slice(series / "9.dcm", 4.0)
    refused(series, "several images at one place")


def test_copies_are_left_out(series, warnings_of):
    shutil.copyfile(series / "0.dcm", series / "copy.dcm")
    assert read_volume(series).shape == (5, 6, 5)
    assert any("copies" in text for text in warnings_of())


def test_gantry_tilt(tmp_path):
    for index in range(5):
        write_slice(tmp_path / f"{index}.dcm", 3.0 * index, shift=0.5 * index)
    refused(tmp_path, "sheared: its axes are 9.5 degrees")
    straight = deskew(read_volume(tmp_path, sheared=True))
    np.testing.assert_allclose(straight.spacing, (0.5, 0.8, 3.0))
    assert straight.shape[2] == 5


def test_crooked_stack(series):
    write_slice(series / "2.dcm", 2.0, shift=3.0)
    refused(series, "straight line")


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"rows": 7}, "size"),
        ({"PixelSpacing": [0.8, 0.6]}, "pixel spacing"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "orientation"),
        ({"ImagePositionPatient": None}, "does not say its position"),
        ({"ImageOrientationPatient": [3, 0, 0, 0, 1, 0]}, "unit vectors"),
        ({"NumberOfFrames": 3}, "multi-frame"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"PixelData": b"\0\0"}, "damaged voxels"),
    ],
)
def test_slices_that_do_not_fit(series, extra, text):
    write_slice(series / "9.dcm", 10.0, **extra)
    refused(series, text)


def test_several_series(series):
    for index in range(3):
        write_slice(series / f"b{index}.dcm", 5.0 * index, series="1.2.77", SeriesNumber=8)
    refused(series, r"2 series: 1\.2\.77 \(CT spine, 3 files\); 1\.2\.9 \(CT spine, 5 files\)")
    assert read_volume(series, series="1.2.77").shape == (5, 6, 3)
    assert read_volume(series, series="4").shape == (5, 6, 5)
    refused(series, "0 series match", series="5")


def test_other_objects_beside_the_series_are_left_out(series, shared_data):
    segmentation = shared_data / "torture/third_party/dicom_single/liver_1frame.dcm"
    shutil.copyfile(segmentation, series / "seg.dcm")
    assert read_volume(series).shape == (5, 6, 5)


def test_rescaling_that_differs_between_slices(tmp_path):
    for index in range(3):
        write_slice(tmp_path / f"{index}.dcm", 2.0 * index, RescaleSlope=1 + index / 2, RescaleIntercept=0)
    volume = read_volume(tmp_path)
    assert volume.array.dtype == np.float32
    assert volume.array[1, 0].tolist() == [1, 201 * 1.5, 401 * 2]


def test_single_slice_without_geometry(tmp_path, warnings_of):
    missing = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}
    write_slice(tmp_path / "one.dcm", 0.0, **missing)
    assert read_volume(tmp_path / "one.dcm").spacing == (1, 1, 1)
    assert any("position" in text for text in warnings_of())


def test_a_folder_is_one_volume(series, volume, tmp_path):
    write_volume(volume, tmp_path / "other.nii.gz")
    write_slice(tmp_path / "series" / "IM0001", 10.0)
    assert find_volumes(tmp_path) == [tmp_path / "other.nii.gz", series]
    assert is_volume(series)
    assert not is_volume(tmp_path)
    assert read_volume(series).shape == (5, 6, 6)
    refused(tmp_path, "without DICOM images")


def test_missing_pydicom_names_the_extra(series, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(MissingDependencyError, match=r"pip install -e '\.\[dicom\]'"):
        read_volume(series)


def test_one_slice_of_a_series_is_read_with_a_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("medicalseg.utils.logger.logger.propagate", True)
    for index in range(3):
        write_slice(tmp_path / f"{index}.dcm", 2.0 * index)
    write_slice(tmp_path / "other.dcm", 0.0, series="1.2.10")
    assert read_volume(tmp_path / "1.dcm").shape[2] == 1
    assert "2 more lie beside it" in caplog.text
    caplog.clear()
    read_volume(tmp_path / "other.dcm")
    assert "beside" not in caplog.text
