"""Fingerprints against numbers of the same arrays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from medicalseg.errors import DataError
from medicalseg.io import read_volume
from medicalseg.planning import fingerprint as module
from medicalseg.planning.fingerprint import take
from medicalseg.planning.normalisation import crop, intensity, is_ct
from medicalseg.planning.source import open_dataset

Make = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("cache")


def test_numbers_of_a_case(make_dataset: Make) -> None:
    root = make_dataset(spacing=(1, 2, 3))
    found = take(open_dataset(root))
    case = found.cases[0]
    assert (case.shape, case.spacing, case.axcodes) == ((24, 20, 16), (1.0, 2.0, 3.0), "RAS")
    assert case.voxels == {1: 4 * 6 * 2, 2: 4 * 6 * 2}
    assert case.components == {1: 1, 2: 1}
    assert case.centres[1] == pytest.approx((3.5, 4.5 * 2, 2.5 * 3))
    image = read_volume(root / "imagesTr" / "case0_0000.nii.gz").array
    label = read_volume(root / "labelsTr" / "case0.nii.gz").array
    values = image[label > 0].astype(np.float64)
    assert case.channels[0]["mean"] == pytest.approx(values.mean(), rel=1e-6)
    assert case.channels[0]["std"] == pytest.approx(values.std(), rel=1e-6)
    assert case.channels[0]["p99.5"] == pytest.approx(np.percentile(values, 99.5), rel=1e-6)
    assert found.frequency(1) == pytest.approx(48 / (24 * 20 * 16))
    assert len(found.hashes) == 2 * len(found.cases)


def test_components_are_those_of_simpleitk(make_dataset: Make, tmp_path: Path) -> None:
    root = make_dataset(cases=1)
    array = (np.random.default_rng(0).random((16, 20, 24)) < 0.1).astype(np.uint8)
    image = sitk.GetImageFromArray(array)
    sitk.WriteImage(image, str(root / "labelsTr" / "case0.nii.gz"))
    reference = sitk.GetImageFromArray(np.zeros((16, 20, 24), np.float32))
    sitk.WriteImage(reference, str(root / "imagesTr" / "case0_0000.nii.gz"))
    filtered = sitk.ConnectedComponentImageFilter()
    filtered.SetFullyConnected(True)
    filtered.Execute(image)
    assert take(open_dataset(root)).cases[0].components[1] == filtered.GetObjectCount()


def test_everything_is_in_one_orientation(make_dataset: Make) -> None:
    root = make_dataset(cases=2, spacing=(1, 2, 3))
    for part in ("imagesTr/case1_0000", "labelsTr/case1"):
        path = str(root / f"{part}.nii.gz")
        sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(path), "PIL"), path)
    first, second = take(open_dataset(root)).cases
    assert (first.axcodes, first.shape, first.spacing) == ("RAS", (24, 20, 16), (1.0, 2.0, 3.0))
    assert second.axcodes != "RAS"
    assert (second.shape, second.spacing) == (first.shape, first.spacing)
    assert second.centres[1] == pytest.approx(first.centres[1])


def test_unchanged_cases_come_from_the_cache(make_dataset: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_dataset(cases=3)
    measured = []
    original = module.measure

    def counting(*arguments: object) -> object:
        measured.append(arguments[-1])
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "measure", counting)
    first = take(open_dataset(root))
    assert len(measured) == 3
    assert take(open_dataset(root)) == first
    assert len(measured) == 3
    label = root / "labelsTr" / "case1.nii.gz"
    volume = sitk.ReadImage(str(label))
    volume[0, 0, 0] = 1
    sitk.WriteImage(volume, str(label))
    changed = take(open_dataset(root))
    assert len(measured) == 4
    assert changed.cases[1].voxels[1] == first.cases[1].voxels[1] + 1
    assert changed.cases[0] == first.cases[0]


def test_a_damaged_cache_is_made_anew(make_dataset: Make, cache: Path) -> None:
    root = make_dataset(cases=2)
    first = take(open_dataset(root))
    for path in (cache / "fingerprints").iterdir():
        path.write_bytes(b"broken")
    assert take(open_dataset(root)) == first


def test_processes_give_the_same(make_dataset: Make, tmp_path: Path) -> None:
    source = open_dataset(make_dataset(cases=2))
    alone = take(source, 0, tmp_path / "one")
    assert json.dumps(take(source, 2, tmp_path / "two").to_dict()) == json.dumps(alone.to_dict())


def test_a_broken_case_is_named(make_dataset: Make) -> None:
    root = make_dataset(cases=3)
    (root / "imagesTr" / "case1_0000.nii.gz").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"case case1: .*case1_0000"):
        take(open_dataset(root))


def test_a_case_with_other_channels_is_named(make_dataset: Make) -> None:
    root = make_dataset(cases=3, channels={"0": "T1", "1": "T2"})
    (root / "imagesTr" / "case2_0001.nii.gz").unlink()
    with pytest.raises(DataError, match="case2"):
        take(open_dataset(root))


def test_labels_without_a_voxel_are_refused(make_dataset: Make) -> None:
    root = make_dataset(cases=2, labels={"background": 0})
    with pytest.raises(DataError, match="nothing to learn"):
        take(open_dataset(root))


def test_regions_overlap(make_dataset: Make) -> None:
    source = open_dataset(make_dataset(), regions=["whole=1,2", "core=2"])
    case = take(source).cases[0]
    assert source.num_classes == 2
    assert case.voxels == {1: 2 * 48, 2: 48}
    assert source.names == {0: "background", 1: "whole", 2: "core"}


def change_images(root: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in (root / "imagesTr").iterdir():
        image = sitk.ReadImage(str(path))
        changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
        changed.CopyInformation(image)
        sitk.WriteImage(changed, str(path))


def test_ct_by_name_takes_the_numbers_of_the_foreground(make_dataset: Make) -> None:
    found = take(open_dataset(make_dataset(channels={"0": "CT"})))
    (step,) = intensity(found)
    assert step.value["type"] == "standardize"
    assert step.value["mean"] == pytest.approx(150, abs=1)
    assert step.value["std"] == pytest.approx(5, abs=0.5)
    assert step.value["low"] < 140 < 160 < step.value["high"]


def test_ct_by_its_values(make_dataset: Make) -> None:
    root = make_dataset(channels={"0": "image"})
    assert not is_ct(take(open_dataset(root)), 0)[0]

    def as_hounsfield(array: np.ndarray) -> np.ndarray:
        array[:, :4] = -1000
        return np.rint(array).astype(np.int16)

    change_images(root, as_hounsfield)
    known, how = is_ct(take(open_dataset(root)), 0)
    assert known
    assert "100 %" in how


def test_mr_by_name_is_no_ct_whatever_its_values(make_dataset: Make) -> None:
    root = make_dataset(channels={"0": "T2w"})
    change_images(root, lambda array: np.rint(array - 1000).astype(np.int16))
    found = take(open_dataset(root))
    assert not is_ct(found, 0)[0]
    assert intensity(found)[0].value == {"type": "zscore", "mask": "body"}


def test_zeros_around_the_body_are_cropped_and_left_out(make_dataset: Make) -> None:
    root = make_dataset()

    def with_border(array: np.ndarray) -> np.ndarray:
        array[12:] = 0
        array[:, :, 18:] = 0
        return array

    change_images(root, with_border)
    found = take(open_dataset(root))
    assert found.cases[0].boxes["nonzero"] == (18, 20, 12)
    assert crop(found).value == "nonzero"
    assert intensity(found)[0].value == {"type": "zscore", "mask": "nonzero"}


def test_no_crop_that_would_lose_labels(make_dataset: Make) -> None:
    root = make_dataset()

    def label_in_the_dark(array: np.ndarray) -> np.ndarray:
        array[:, :, :8] = 0
        return array

    change_images(root, label_in_the_dark)
    assert crop(take(open_dataset(root))).value == "none"


def test_channels_of_different_kinds_get_steps_of_their_own(make_dataset: Make) -> None:
    found = take(open_dataset(make_dataset(channels={"0": "CT", "1": "PET", "2": "noNorm"})))
    steps = [step.value for step in intensity(found)]
    assert [(step["type"], step["channels"]) for step in steps] == [("standardize", [0]), ("zscore", [1])]
