"""Every layout gives the same cases, classes and samples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medicalseg.cli.main import main
from medicalseg.datasets import DecathlonDataset
from medicalseg.datasets.decathlon_layout import find_cases, read_layout
from medicalseg.datasets.label_tables import read_label_table
from medicalseg.datasets.verify.run import verify_dataset
from medicalseg.datasets.verify.source import open_source
from medicalseg.datasets.verify.volume_config import open_volumes
from medicalseg.errors import ConfigError, DataError
from medicalseg.io import Volume, write_volume
from medicalseg.planning.source import open_dataset
from tests.datasets.conftest import AFFINE, make_pair


def save(path: Path, array: np.ndarray) -> None:
    write_volume(Volume(array, AFFINE), path)


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    """Three subjects, two contrasts each, labels of two of them; the values are 0, 20 and 30."""
    root = tmp_path / "bids"
    for number in range(3):
        image, label = make_pair(number)
        name = f"sub-{number:02}"
        for contrast, factor in (("T2w", 1), ("T1w", 2)):
            save(root / name / "anat" / f"{name}_{contrast}.nii.gz", factor * image)
        if number < 2:
            values = np.array([0, 20, 30], np.uint8)[label]
            folder = root / "derivatives" / "manual" / name / "anat"
            save(folder / f"{name}_space-orig_desc-expert_dseg.nii.gz", values)
            save(folder / f"{name}_desc-brain_mask.nii.gz", (label > 0).astype(np.uint8))
    table = "index\tname\tcolor\n30\tcore\t#ffffff\n20\tbox\t#000000\n"
    (root / "derivatives" / "manual" / "dseg.tsv").write_text(table)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.8.0"}))
    return root


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """images/ and labels/ without any description."""
    root = tmp_path / "plain"
    for number in range(4):
        image, label = make_pair(number)
        save(root / "images" / f"case_{number}.nii.gz", image)
        if number < 3:
            save(root / "labels" / f"case_{number}{'_seg' if number == 1 else ''}.nii.gz", label)
    return root


def names(cases: list) -> list[str]:
    return [case.name for case in cases]


def test_bids_contrasts_are_channels(bids: Path) -> None:
    layout = read_layout(bids)
    assert (layout.kind, layout.channels) == ("bids", ("T1w", "T2w"))
    assert layout.labels == {0: "background", 20: "box", 30: "core"}
    cases = find_cases(layout)
    assert names(cases) == ["sub-00", "sub-01"]
    assert [path.name for path in cases[0].images] == ["sub-00_T1w.nii.gz", "sub-00_T2w.nii.gz"]
    assert cases[0].label is not None
    assert cases[0].label.name == "sub-00_space-orig_desc-expert_dseg.nii.gz"
    assert names(find_cases(layout, "test")) == ["sub-02"]


def test_bids_sample(bids: Path) -> None:
    dataset = DecathlonDataset(str(bids), fold="all", normalize="none")
    image, label, name = dataset[0]
    expected, ids = make_pair(0)
    np.testing.assert_array_equal(image, [2 * expected, expected])
    np.testing.assert_array_equal(label, ids)
    assert (name, dataset.task.in_channels, dataset.num_classes) == ("sub-00", 2, 3)
    assert dataset.task.contrasts == ("T1w", "T2w")
    assert dataset.task.names == ["background", "box", "core"]
    one = DecathlonDataset(str(bids), fold="all", images_dir="sub-*/anat/*_T2w.nii.gz", normalize="none")
    assert (one.task.in_channels, one.task.contrasts) == (1, ())
    np.testing.assert_array_equal(one[0][0], [expected])


def test_bids_sessions_runs_and_verse(tmp_path: Path) -> None:
    image, label = make_pair(0)
    for session in ("a", "b"):
        stem = f"sub-1_ses-{session}"
        save(tmp_path / f"rawdata/sub-1/ses-{session}/anat/{stem}_run-1_ct.nii.gz", image)
        save(tmp_path / f"derivatives/sub-1/{stem}_seg-vert_msk.nii.gz", label)
    save(tmp_path / "rawdata/sub-2/sub-2_ct.nii.gz", image)
    save(tmp_path / "derivatives/sub-2/sub-2_seg-vert_msk.nii.gz", label)
    layout = read_layout(tmp_path)
    cases = find_cases(layout)
    assert names(cases) == ["sub-1_ses-a_run-1", "sub-1_ses-b_run-1", "sub-2"]
    assert all(case.label is not None for case in cases)
    with pytest.raises(DataError, match="what the label values mean"):
        DecathlonDataset(str(tmp_path), fold="all")
    dataset = DecathlonDataset(str(tmp_path), num_classes=3, fold=0, num_folds=2)
    patients = {case.name.split("_")[0] for case in dataset.cases}
    assert len(patients) == 1


def test_images_and_labels_of_subjects_side_by_side(tmp_path: Path) -> None:
    """VerSe's files in one folder, without any others."""
    stems = ("sub-verse004", "sub-verse013_split-verse260", "sub-verse013_split-verse261")
    for number, stem in enumerate(stems):
        image, label = make_pair(number)
        save(tmp_path / f"{stem}_ct.nii.gz", image)
        save(tmp_path / f"{stem}_seg-vert_msk.nii.gz", label)
        (tmp_path / f"{stem}_seg-vert_ctd.json").write_text("[]")
    save(tmp_path / "sub-verse005_ct.nii.gz", make_pair(5)[0])
    layout = read_layout(tmp_path)
    assert (layout.kind, layout.channels) == ("bids", ("ct",))
    cases = find_cases(layout)
    assert names(cases) == list(stems)
    assert [case.label for case in cases] == [tmp_path / f"{stem}_seg-vert_msk.nii.gz" for stem in stems]
    assert names(find_cases(layout, "test")) == ["sub-verse005"]
    report = verify_dataset(open_source(tmp_path))
    assert [item.kind for item in report.findings] == ["labels_unnamed"]
    assert len(report.facts) == 4
    source = open_dataset(tmp_path, labels=["box=1", "core=2"])
    assert names(list(source.cases)) == list(stems)
    assert source.groups == 2
    save(tmp_path / "derivatives" / "sub-verse004_desc-smooth_ct.nii.gz", make_pair(0)[0])
    assert names(find_cases(read_layout(tmp_path))) == list(stems)
    (tmp_path / "dseg.tsv").write_text("index\tname\n1\tbox\n2\tcore\n")
    assert read_layout(tmp_path).labels == {0: "background", 1: "box", 2: "core"}


def test_plain_names_side_by_side_are_no_subjects(tmp_path: Path) -> None:
    for number in range(2):
        image, label = make_pair(number)
        save(tmp_path / f"sub-{number}.nii.gz", image)
        save(tmp_path / f"sub-{number}_seg.nii.gz", label)
    assert len(open_source(tmp_path).cases) == 2
    assert open_source(tmp_path).findings == []


def test_bids_with_several_labels(bids: Path) -> None:
    _, label = make_pair(0)
    other = "derivatives/auto/sub-00/anat/sub-00_desc-auto_dseg.nii.gz"
    save(bids / other, label)
    with pytest.raises(DataError, match=r"two labels of sub-00; choose with labels_dir"):
        find_cases(read_layout(bids))
    assert names(find_cases(read_layout(bids), labels_dir="derivatives/manual")) == ["sub-00", "sub-01"]
    (case,) = find_cases(read_layout(bids), labels_dir="derivatives/**/*_desc-auto_dseg.nii.gz")
    assert case.label == bids / other


def test_bids_with_a_missing_contrast(bids: Path) -> None:
    (bids / "sub-00/anat/sub-00_T1w.nii.gz").unlink()
    save(bids / "sub-02/anat/sub-02_PDw.nii.gz", make_pair(2)[0])
    _, label = make_pair(2)
    save(bids / "derivatives/manual/sub-02/anat/sub-02_dseg.nii.gz", label)
    with pytest.raises(DataError, match=r"missing files .*sub-00_T1w\.nii\.gz"):
        DecathlonDataset(str(bids), fold="all")
    assert read_layout(bids).channels == ("T1w", "T2w")


def test_verify_bids(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bids), "--num_workers", "0"]) == 0
    output = capsys.readouterr().out
    assert "(bids): 3 cases" in output
    assert "core" in output
    save(bids / "derivatives/manual/sub-09/anat/sub-09_dseg.nii.gz", np.full((12, 10, 6), 7, np.uint8))
    report = verify_dataset(open_source(bids))
    assert ("no_image", "sub-09_dseg") in {(item.kind, item.case) for item in report.findings}


def test_plain_folders(folders: Path) -> None:
    layout = read_layout(folders)
    assert layout.kind == "folders"
    assert names(find_cases(layout)) == ["case_0", "case_1", "case_2"]
    assert names(find_cases(layout, "test")) == ["case_3"]
    dataset = DecathlonDataset(str(folders), fold="all", labels={"background": 0, "all": [1, 2]}, normalize="none")
    image, label, _ = dataset[1]
    expected, ids = make_pair(1)
    np.testing.assert_array_equal(image[0], expected)
    np.testing.assert_array_equal(label, ids > 0)
    (folders / "labels.json").write_text(json.dumps({"labels": {"box": 1, "core": 2}}))
    assert DecathlonDataset(str(folders), fold="all").task.names == ["background", "box", "core"]
    assert verify_dataset(open_source(folders)).errors == 0


def test_verify_warns_where_nothing_names_the_values(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `plan` then refuses; it goes away with a table, a number of classes or a label map."""
    (found,) = verify_dataset(open_source(folders)).findings
    assert (found.severity, found.kind) == ("warning", "labels_unnamed")
    assert "the values 0, 1, 2" in found.message
    assert "--labels NAME=ID" in found.message
    assert main(["plan", str(folders), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "--labels NAME=ID" in error
    assert "case_0.nii.gz has the values 0, 1, 2" in error
    assert main(["plan", str(folders), "--out", str(tmp_path / "out"), "--ignore", "2"]) == 2
    assert "--labels NAME=ID" in capsys.readouterr().err
    assert verify_dataset(open_source(folders), num_classes=3).findings == []
    dataset = {"type": "PatchDataset", "dataset_root": str(folders)}
    assert [item.kind for item in open_volumes({"train_dataset": dataset}).findings] == []
    for more, count in (({}, 1), ({"num_classes": 3}, 0), ({"labels": {"background": 0, "a": [1, 2]}}, 0)):
        source = open_volumes({"train_dataset": {**dataset, **more}})
        assert len(verify_dataset(source).findings) == count
    (folders / "labels.json").write_text(json.dumps({"labels": {"box": 1, "core": 2}}))
    assert verify_dataset(open_source(folders)).findings == []


def test_two_labels_of_one_image(folders: Path) -> None:
    save(folders / "labels" / "case_0_mask.nii.gz", make_pair(0)[1])
    with pytest.raises(DataError, match="two labels of the image case_0"):
        find_cases(read_layout(folders))


def test_neither_layout(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"no dataset\.json .* neither BIDS"):
        read_layout(tmp_path)


Edit = Callable[..., None]


@pytest.fixture
def describe(decathlon: Path) -> Edit:
    def edit(**changes: object) -> None:
        path = decathlon / "dataset.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def test_nnunet_regions(decathlon: Path, describe: Edit) -> None:
    describe(labels={"background": 0, "whole": [1, 2], "core": 2}, regions_class_order=[1, 2])
    layout = read_layout(decathlon)
    assert layout.label_arguments == {
        "regions": {"background": [0], "whole": [1, 2], "core": [2]},
        "region_order": [1, 2],
    }
    for mode in ("train", "val"):
        dataset = DecathlonDataset(str(decathlon), mode=mode, fold=0)
        assert (dataset.task.head, dataset.task.names) == ("sigmoid", ["background", "whole", "core"])
        _, label, name = dataset[0]
        _, ids = make_pair(int(name[-1]))
        expected = np.stack([ids > 0, ids == 2])
        np.testing.assert_array_equal(label, expected if mode == "train" else expected[0] + 2 * expected[1])
    reference = dataset.reference(0)
    assert reference is not None
    np.testing.assert_array_equal(reference.array, label)


def test_nnunet_regions_with_an_ignored_value(decathlon: Path, describe: Edit) -> None:
    describe(labels={"background": 0, "whole": [1, 2], "ignore": 2}, regions_class_order=[1])
    with pytest.raises(DataError, match=r"ignore: the stored values \[2\]"):
        read_layout(decathlon)
    describe(labels={"background": 0, "whole": [1], "ignore": 2}, regions_class_order=[1])
    dataset = DecathlonDataset(str(decathlon), mode="train", fold="all")
    _, ids = make_pair(0)
    np.testing.assert_array_equal(dataset[0][1][0], np.where(ids == 2, 255, ids))


def test_merged_classes_of_a_description(decathlon: Path, describe: Edit) -> None:
    describe(labels={"background": 0, "all": [1, 2]})
    dataset = DecathlonDataset(str(decathlon), fold="all")
    assert dataset.task.names == ["background", "all"]
    np.testing.assert_array_equal(dataset[0][1], make_pair(0)[1] > 0)


def test_gaps_are_closed_unless_classes_are_counted(decathlon: Path, describe: Edit) -> None:
    describe(labels={"background": 0, "box": 1, "core": 2, "far": 200})
    assert DecathlonDataset(str(decathlon), fold="all").task.names == ["background", "box", "core", "far"]
    assert DecathlonDataset(str(decathlon), fold="all", num_classes=201).task.label_map is None
    assert DecathlonDataset(str(decathlon), fold="all", num_classes=3).task.names == ["background", "box", "core"]


def test_ignored_value_alone(decathlon: Path) -> None:
    dataset = DecathlonDataset(str(decathlon), fold="all", ignore=2)
    _, ids = make_pair(0)
    np.testing.assert_array_equal(dataset[0][1], np.where(ids == 2, 255, ids))


def test_ignored_value_beside_the_descriptions_own(decathlon: Path, describe: Edit) -> None:
    describe(labels={"background": 0, "box": 1, "ignore": 2})
    dataset = DecathlonDataset(str(decathlon), fold="all", ignore=1)
    np.testing.assert_array_equal(dataset[0][1], np.where(make_pair(0)[1] > 0, 255, 0))
    assert DecathlonDataset(str(decathlon), fold="all").ignore_index == 2


def test_unknown_value_names_the_case(decathlon: Path) -> None:
    dataset = DecathlonDataset(str(decathlon), fold="all", labels={"background": 0, "box": 1})
    with pytest.raises(DataError, match=r"case case_0: .*labelsTr/case_0\.nii\.gz: label value 2 belongs"):
        dataset[0]


def test_verify_a_configurations_label_map(decathlon: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yml"
    for labels, code in (("{background: 0, box: 1, core: 2}", 0), ("{background: 0, box: 1}", 2)):
        section = f"train_dataset: {{type: DecathlonDataset, dataset_root: '{decathlon}', labels: {labels}}}"
        config.write_text(f"batch_size: 1\niters: 1\n{section}\nmodel: {{type: UNet3D}}\n")
        assert main(["verify", "--config", str(config), "--num_workers", "0"]) == code


def test_verify_regions(decathlon: Path, describe: Edit) -> None:
    describe(labels={"background": 0, "whole": [1, 2], "core": 2}, regions_class_order=[1, 2])
    source = open_source(decathlon)
    assert source.labels == {0: "background", 1: "whole", 2: "whole, core"}
    assert verify_dataset(source).errors == 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "index,name\n1,a\n", "'index'"),
        ("a.tsv", "index\tname\nx\ta\n", "whole numbers"),
        ("a.tsv", "index\tname\n1\ta\n1\tb\n", "twice"),
        ("a.json", "[1]", "'labels' must map"),
    ],
)
def test_wrong_label_tables(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_label_table(tmp_path / name)


def test_label_tables_either_way(tmp_path: Path) -> None:
    for name, text in (("a.json", '{"a": 3}'), ("b.json", '{"labels": {"3": "a"}}'), ("c.tsv", "index\tname\n3\ta\n")):
        (tmp_path / name).write_text(text)
        assert read_label_table(tmp_path / name) == {0: "background", 3: "a"}


def test_real_verse_case(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "spine" / "verse_ct"
    for name, place in (("sub-verse014_ct", "rawdata"), ("sub-verse014_seg-vert_msk", "derivatives")):
        target = tmp_path / place / "sub-verse014" / f"{name}.nii.gz"
        target.parent.mkdir(parents=True)
        target.symlink_to((folder / f"{name}.nii.gz").resolve())
    levels = {"background": 0, "L1": 20, "L2": 21, "L3": 22, "L4-L5": [23, 24]}
    preprocess = {"orientation": "RAS", "crop": "body", "spacing": [3, 3, 3]}
    dataset = DecathlonDataset(str(tmp_path), fold="all", labels=levels, preprocess=preprocess)
    _, label, _ = dataset[0]
    assert set(np.unique(label)) == {0, 1, 2, 3, 4}
    reference = dataset.reference(0)
    assert reference is not None
    restored = dataset.to_original(label, 0)
    assert restored is not None
    for number in range(1, 5):
        found, wanted = restored.array == number, reference.array == number
        assert 2 * np.count_nonzero(found & wanted) / (np.count_nonzero(found) + np.count_nonzero(wanted)) > 0.8
    with pytest.raises(ConfigError, match="first class"):
        DecathlonDataset(str(tmp_path), fold="all", labels={"L1": 20})
