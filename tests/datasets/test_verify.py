"""`medicalseg verify` finds every kind of fault, and nothing in sound data."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from medicalseg.cli.main import main
from medicalseg.datasets.verify.across import robust_scores
from medicalseg.datasets.verify.inspection import array_hash
from medicalseg.datasets.verify.run import verify_dataset
from medicalseg.datasets.verify.source import open_source
from medicalseg.datasets.verify.volume_config import open_volumes
from medicalseg.errors import DataError
from medicalseg.io import Volume, read_label, write_volume
from tests.datasets.conftest import AFFINE, make_pair, write_list


def found(folder, **options):
    report = verify_dataset(open_source(folder), **options)
    return {(finding.kind, finding.case): finding.severity for finding in report.findings}


def test_every_bad_pair_is_reported_with_its_kind(shared_data):
    findings = found(shared_data / "torture/invalid/pairs", num_classes=3)
    manifest = json.loads((shared_data / "torture/manifest.json").read_text())
    names = [name.removeprefix("pairs/") for name in manifest["invalid"] if name.startswith("pairs/")]
    assert len(names) == 9
    for name in names:
        kind, case = (name, f"{name}_label") if name == "no_image" else (name, name)
        assert findings[kind, case] == "error"
    assert sum(severity == "error" for severity in findings.values()) == 9


def test_every_invalid_file_is_reported(shared_data):
    folder = shared_data / "torture/invalid"
    findings = found(folder)
    for path in folder.glob("*.nii*"):
        assert findings["unreadable", path.name.removesuffix(".gz").removesuffix(".nii")] == "error"


def test_real_data_pass(shared_data, capsys, tmp_path):
    arguments = ["verify", str(shared_data / "spine/spider_t2space"), "--num_workers", "0"]
    assert main([*arguments, "--dataset_json", "dataset_levels.json", "--json", str(tmp_path / "v.json")]) == 0
    output = capsys.readouterr().out
    assert "T11/T12" in output
    assert "class 1 (S) occurs in no label" in output
    content = json.loads((tmp_path / "v.json").read_text())
    assert content["errors"] == 0
    assert content["classes"][10] == {"id": 10, "name": "T9", "voxels": 1265, "cases": 1}
    assert len(content["cases"]) == 30


def test_sound_dataset(decathlon, capsys):
    assert main(["verify", str(decathlon), "--num_workers", "2"]) == 0
    output = capsys.readouterr().out
    assert "6 cases" in output
    assert "0 errors, 0 warnings" in output


def test_faults_of_a_decathlon_folder(decathlon):
    images, labels = decathlon / "imagesTr", decathlon / "labelsTr"
    image, label = make_pair(0)
    (labels / "case_0.nii.gz").unlink()
    (images / "case_1.nii.gz").unlink()
    write_volume(Volume(np.where(label == 2, 7, label).astype(np.uint8), AFFINE), labels / "case_2.nii.gz")
    write_volume(Volume(np.full_like(image, 3), AFFINE), images / "case_3.nii.gz")
    write_volume(Volume(np.zeros_like(label), AFFINE), labels / "case_4.nii.gz")
    nan = image.copy()
    nan[0] = np.nan
    write_volume(Volume(nan, AFFINE), images / "case_5.nii.gz")
    write_volume(Volume(image, AFFINE), images / "extra.nii.gz")
    write_volume(Volume(label, AFFINE), labels / "extra2.nii.gz")
    (decathlon / "splits_final.json").write_text('[{"train": ["case_2", "case_9"], "val": ["case_2"]}]')
    findings = found(decathlon)
    errors = {key for key, severity in findings.items() if severity == "error"}
    assert errors == {
        ("no_label", "case_0"),
        ("no_image", "case_1"),
        ("label_out_of_range", "case_2"),
        ("constant_image", "case_3"),
        ("nan_inf", "case_5"),
        ("no_image", "extra2"),
        ("split", ""),
        ("leaking_split", ""),
    }
    warnings = set(findings) - errors
    assert warnings >= {("empty_label", "case_4"), ("not_listed", "extra")}


def test_turned_label(decathlon):
    _, label = make_pair(0)
    turned = AFFINE.copy()
    turned[:2, :2] = [[0.995, -0.15], [0.1, 1.492]]
    write_volume(Volume(label, turned), decathlon / "labelsTr/case_0.nii.gz")
    assert found(decathlon) == {("direction_mismatch", "case_0"): "error"}


def messages(folder, kind, **options):
    report = verify_dataset(open_source(folder, **options))
    return [(finding.case, finding.message) for finding in report.findings if finding.kind == kind]


def rename_labels(folder, name):
    """The description names another folder of labels than there is."""
    path = folder / "dataset.json"
    path.write_text(path.read_text().replace("labelsTr", name))


def test_missing_files_are_named_with_their_folder(decathlon):
    (decathlon / "labelsTr/case_0.nii.gz").unlink()
    (decathlon / "imagesTr/case_1.nii.gz").unlink()
    assert messages(decathlon, "no_label") == [
        ("case_0", "image without a label: labelsTr/case_0.nii.gz does not exist")
    ]
    assert messages(decathlon, "no_image") == [
        ("case_1", "imagesTr/case_1.nii.gz does not exist; the label has no image")
    ]


def test_the_folder_of_labels_that_is_meant(decathlon):
    rename_labels(decathlon, "labelsTr_levels")
    (decathlon / "labelsTr/case_5.nii.gz").unlink()
    hint, *rest = messages(decathlon, "no_label")
    assert hint == (
        "",
        "dataset.json says labelsTr_levels, which does not exist; labelsTr has files of these names: "
        "--labels_dir labelsTr (labels_dir in a configuration)",
    )
    assert [case for case, _ in rest] == [f"case_{number}" for number in range(6)]
    assert rest[0][1] == "image without a label: labelsTr_levels/case_0.nii.gz does not exist"
    assert [case for case, _ in messages(decathlon, "no_label", labels_dir="labelsTr")] == ["case_5"]
    hint, *_ = messages(decathlon, "no_label", labels_dir="masks")
    assert hint[1].startswith("labels_dir says masks, which does not exist; labelsTr has files")
    shutil.rmtree(decathlon / "labelsTr")
    assert messages(decathlon, "no_label")[0][1].endswith("name the folder of the labels with --labels_dir")


def test_a_label_missing_in_a_folder_without_a_list(decathlon):
    path = decathlon / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "training": [], "file_ending": ".nii.gz"}))
    (decathlon / "labelsTr/case_0.nii.gz").unlink()
    assert messages(decathlon, "no_label") == [
        ("case_0", "image without a label: labelsTr/case_0.nii.gz does not exist")
    ]


@pytest.mark.parametrize(
    ("kind", "affine", "said"),
    [
        ("origin_mismatch", [[1, 0, 0, 0.6], [0, 1.5, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]],
         "lies 0.6 mm away from the image: its origin is (0.6, 0, 0) mm, the image's (0, 0, 0) mm"),
        ("spacing_mismatch", np.diag([2, 1.5, 3, 1]), "has the spacing (2, 1.5, 3) mm, the image (1, 1.5, 3) mm"),
        ("flip_mismatch", np.diag([-1, 1.5, 3, 1]), "is stored as LAS, the image as RAS"),
        ("direction_mismatch", [[0.995, -0.15, 0, 0], [0.1, 1.492, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]],
         "has axes turned against the image's: cosines differ by 0.1"),
    ],
)  # fmt: skip
def test_a_label_elsewhere_is_told_from_its_image(decathlon, kind, affine, said):
    write_volume(Volume(make_pair(0)[1], np.array(affine, float)), decathlon / "labelsTr/case_0.nii.gz")
    [(case, message)] = messages(decathlon, kind)
    assert (case, message) == (
        "case_0",
        f"label case_0.nii.gz {said}; resample the label to the image's grid, or set check_geometry: False if only "
        "its header is wrong",
    )


def test_check_geometry_false_makes_it_a_warning(decathlon):
    write_volume(Volume(make_pair(0)[1], np.diag([2, 1.5, 3, 1])), decathlon / "labelsTr/case_0.nii.gz")
    write_volume(Volume(make_pair(1)[1][:-1], AFFINE), decathlon / "labelsTr/case_1.nii.gz")
    dataset = {"type": "DecathlonDataset", "dataset_root": str(decathlon)}
    for given, severity in ((True, "error"), (False, "warning")):
        report = verify_dataset(open_volumes({"train_dataset": {**dataset, "check_geometry": given}}))
        told = {item.case: item for item in report.findings if item.kind in ("spacing_mismatch", "shape_mismatch")}
        assert (told["case_0"].severity, told["case_1"].severity) == (severity, "error")
    assert "check_geometry: False takes it as if it lay there" in told["case_0"].message


def test_a_label_of_another_shape_says_what_to_do(decathlon):
    write_volume(Volume(make_pair(0)[1][:-1], AFFINE), decathlon / "labelsTr/case_0.nii.gz")
    assert messages(decathlon, "shape_mismatch") == [
        (
            "case_0",
            "label case_0.nii.gz has the shape (11, 10, 6), the image (12, 10, 6); they are of different scans, or one "
            "of them was resampled or cropped: bring both to one grid",
        )
    ]


def test_duplicates_across_the_split(decathlon):
    shutil.copy(decathlon / "imagesTr/case_0.nii.gz", decathlon / "imagesTr/case_1.nii.gz")
    assert ("duplicate_image", "case_1") in found(decathlon)
    (decathlon / "splits_final.json").write_text('[{"train": ["case_0"], "val": ["case_1"]}]')
    assert found(decathlon)["leaking_split", "case_1"] == "error"


def test_prepared_folder(prepared, capsys):
    assert main(["verify", str(prepared), "--num_workers", "0"]) == 0
    write_list(prepared, "val", range(3, 6))
    (prepared / "images/Case0.npy").unlink()
    assert main(["verify", str(prepared), "--num_workers", "0"]) == 2
    output = capsys.readouterr().out
    assert "1 of 3 val cases train too, first Case3" in output
    assert "Case0.npy does not exist" in output


def test_declared_leak_is_a_warning(prepared):
    write_list(prepared, "val", range(3, 6))
    content = json.loads((prepared / "dataset.json").read_text())
    content["split"]["leaking"] = True
    (prepared / "dataset.json").write_text(json.dumps(content))
    assert found(prepared)["leaking_split", ""] == "warning"


def test_raw_folders_with_other_names(tmp_path, capsys):
    for number in range(3):
        image, label = make_pair(number)
        write_volume(Volume(image, AFFINE), tmp_path / "MR" / f"Case{number}.nii.gz")
        write_volume(Volume(label, AFFINE), tmp_path / "Mask" / f"mask_case{number}.nii.gz")
    folders = ["--images", str(tmp_path / "MR"), "--labels", str(tmp_path / "Mask")]
    assert main(["verify", *folders, "--num_workers", "0"]) == 0
    write_volume(Volume(make_pair(9)[1], AFFINE), tmp_path / "Mask/case9_x.nii.gz")
    assert main(["verify", *folders, "--num_workers", "0", "--label_suffix", "_x"]) == 2
    assert "case9_x.nii.gz is a label without an image" in capsys.readouterr().out


def test_intensity_outlier(tmp_path):
    for number in range(10):
        image, label = make_pair(number)
        write_volume(Volume(image * (30 if number == 7 else 1), AFFINE), tmp_path / f"c{number}.nii.gz")
        write_volume(Volume(label, AFFINE), tmp_path / f"c{number}_seg.nii.gz")
    assert found(tmp_path) == {("intensity_outlier", "c7"): "warning"}


def test_header_and_voxel_file_are_one_volume(tmp_path):
    for number in range(3):
        image, label = make_pair(number)
        write_volume(Volume(image, AFFINE), tmp_path / "i" / f"c{number}.hdr")
        write_volume(Volume(label, AFFINE), tmp_path / "l" / f"c{number}.mhd")
    source = open_source(None, tmp_path / "i", tmp_path / "l")
    assert [case.name for case in source.cases] == ["c0", "c1", "c2"]
    assert verify_dataset(source).findings == []


def test_a_negative_value_is_an_error_unless_it_is_ignored(decathlon):
    path = next((decathlon / "labelsTr").glob("*.nii.gz"))
    label = read_label(path)
    array = label.array.astype(np.int16)
    array[0, 0, 0] = -1
    write_volume(Volume(array, label.affine), path)
    assert found(decathlon)["label_negative", path.name.removesuffix(".nii.gz")] == "error"
    content = json.loads((decathlon / "dataset.json").read_text())
    names = {name: int(value) for value, name in content["labels"].items()}
    (decathlon / "dataset.json").write_text(json.dumps({**content, "labels": {**names, "ignore": -1}}))
    assert not [kind for kind, _ in found(decathlon) if kind == "label_negative"]


def test_wrong_calls(tmp_path, capsys):
    with pytest.raises(DataError, match="neither"):
        open_source(tmp_path)
    assert main(["verify", str(tmp_path / "no")]) == 2
    assert main(["verify"]) == 2
    assert main(["verify", str(tmp_path), "--labels", str(tmp_path)]) == 2
    assert main(["verify", str(tmp_path), "--num_classes", "0"]) == 2
    assert capsys.readouterr().err.count("error: ") == 4


def test_robust_scores_and_hash():
    values = np.array([1.0, 2, 3, 4, 100])
    np.testing.assert_allclose(robust_scores(values), 0.6745 * (values - 3) / 1)
    assert robust_scores(np.array([1.0, 1, 1, 5]))[3] > 2
    assert not robust_scores(np.ones(4)).any()
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    assert array_hash(array) == array_hash(np.asfortranarray(array.astype(float)))
    assert array_hash(array) != array_hash(array.reshape(3, 2, 4))
