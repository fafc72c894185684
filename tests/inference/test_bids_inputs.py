"""BIDS' contrasts as channels of one input, and the labels of subjects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medicalseg.errors import VolumeError
from medicalseg.inference.inputs import Labels, find_inputs
from medicalseg.io import Volume, write_volume
from medicalseg.io.bids_name import BidsName


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(("sub-1/anat/sub-1_T2w", "sub-1/anat/sub-1_T1w", "sub-2/anat/sub-2_T2w")):
        write_volume(Volume(np.full((4, 4, 4), number, np.uint8), np.eye(4)), tmp_path / "data" / f"{name}.nii.gz")
    for name in ("sub-1_space-orig_dseg", "sub-2_desc-a_dseg", "sub-2_desc-b_dseg"):
        write_volume(Volume(np.ones((4, 4, 4), np.uint8), np.eye(4)), tmp_path / "labels" / f"{name}.nii.gz")
    return tmp_path


def test_contrasts_are_channels(root: Path) -> None:
    first, second = find_inputs(root / "data", in_channels=2)
    assert (first.name, first.output) == ("sub-1", Path("sub-1/anat/sub-1.nii.gz"))
    np.testing.assert_array_equal(first.read().array[:, 0, 0, 0], [1, 0])
    assert [path.name for path in second.files] == ["sub-2_T2w.nii.gz"]
    assert [case.name for case in find_inputs(root / "data")] == ["sub-1_T1w", "sub-1_T2w", "sub-2_T2w"]


def test_contrasts_that_the_network_knows_are_matched_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="medicalseg")
    data = touch(tmp_path, "sub-1_T2w", "sub-1_T1w", "sub-2_FLAIR", "sub-2_T1w", "sub-3_T1w", "sub-3_T2w", "sub-3_PD",
                 "sub-4_T2w", "sub-5_multi", "sub-6_space-a_T1w", "sub-6_space-b_T1w", "sub-6_T2w")  # fmt: skip
    cases = {case.name: case for case in find_inputs(data, 2, ("T2w", "T1w"))}
    assert [path.name for path in cases["sub-1"].files] == ["sub-1_T2w.nii.gz", "sub-1_T1w.nii.gz"]
    assert cases["sub-1"].read().channels == cases["sub-3"].read().channels == 2
    assert [path.name for path in cases["sub-3"].files] == ["sub-3_T2w.nii.gz", "sub-3_T1w.nii.gz"]
    assert "sub-3: PD not used: the network takes T2w, T1w" in caplog.text
    said = {
        "sub-2": r"sub-2: has no T2w \(sub-2_FLAIR.nii.gz, sub-2_T1w.nii.gz\); the network takes T2w, T1w",
        "sub-4": "sub-4: has no T1w",
        "sub-6": "sub-6: has 2 files of T1w",
    }
    for name, text in said.items():
        with pytest.raises(VolumeError, match=text):
            cases[name].read()
    assert cases["sub-5_multi"].fault is None
    numbered = touch(tmp_path / "numbered", "sub-1_0000", "sub-1_0001")
    assert [path.name for path in find_inputs(numbered, 2, ("T2w", "T1w"))[0].files] == [
        "sub-1_0000.nii.gz",
        "sub-1_0001.nii.gz",
    ]


def test_contrasts_that_nothing_tells_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = touch(tmp_path, "sub-1_T2w", "sub-1_T1w", "sub-2_FLAIR", "sub-2_T1w")
    assert [len(case.files) for case in find_inputs(data, 2)] == [2, 2]
    assert "Cases have different contrasts" in caplog.text
    assert "sub-1: T1w, T2w; sub-2: FLAIR, T1w" in caplog.text


def test_labels_of_subjects(root: Path) -> None:
    labels = Labels(root / "labels")
    for channels in (1, 2):
        for case in find_inputs(root / "data", in_channels=channels):
            found = labels.find(case)
            assert found == (root / "labels/sub-1_space-orig_dseg.nii.gz" if "sub-1" in case.name else None)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        write_volume(Volume(np.ones((4, 4, 4), np.uint8), np.eye(4)), root / f"{name}.nii.gz")
    return root


def test_labels_are_no_images(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A whole BIDS folder may be given, as images and as labels."""
    caplog.set_level("INFO", logger="medicalseg")
    labels = ("sub-1/anat/sub-1_desc-manual_dseg", "sub-1/anat/sub-1_desc-brain_mask")
    places = [f"derivatives/manual/{name}" for name in (*labels, "sub-1/anat/sub-1_space-x_T2w")]
    data = touch(root / "data", *places, "sub-2/anat/sub-2_label", "sub-2/anat/brain_seg")
    cases = find_inputs(data)
    assert [case.name for case in cases] == ["sub-1_T1w", "sub-1_T2w", "sub-2_T2w"]
    assert "5 files are labels or derivatives and are skipped: derivatives/manual/" in caplog.text
    found = [Labels(data).find(case) for case in cases]
    assert [path.name.split(".")[0] for path in found if path] == [*["sub-1_desc-manual_dseg"] * 2, "sub-2_label"]
    assert [len(case.files) for case in find_inputs(data, in_channels=2)] == [2, 1]


def test_images_and_masks_side_by_side(tmp_path: Path) -> None:
    """As VerSe has them."""
    names = ("sub-verse004", "sub-verse013_split-verse260")
    data = touch(tmp_path, *(f"{name}_{end}" for name in names for end in ("ct", "seg-vert_msk")))
    cases = find_inputs(data)
    assert [case.name for case in cases] == [f"{name}_ct" for name in names]
    assert [Labels(data).find(case) for case in cases] == [data / f"{name}_seg-vert_msk.nii.gz" for name in names]


def test_other_folders_are_taken_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="medicalseg")
    plain = touch(tmp_path / "plain", "derivatives/case_1", "case_2_label")
    assert len(find_inputs(plain)) == 2
    only = touch(tmp_path / "only", "derivatives/sub-1_T1w", "derivatives/sub-1_dseg")
    assert [case.name for case in find_inputs(only)] == ["sub-1_T1w"]
    masks = touch(tmp_path / "masks", "sub-1_mask")
    assert [case.name for case in find_inputs(masks)] == ["sub-1_mask"]
    assert [case.name for case in find_inputs(masks / "sub-1_mask.nii.gz")] == ["sub-1_mask"]
    assert caplog.text.count("skipped") == 1


@pytest.mark.parametrize(
    ("name", "case", "suffix", "bids"),
    [
        ("sub-01_ses-2_run-1_T2w.nii.gz", "sub-01_ses-2_run-1", "T2w", True),
        ("sub-verse014_seg-vert_msk.nii.gz", "sub-verse014", "msk", True),
        ("case_1.nii.gz", "", "1", False),
        ("sub-01.nii.gz", "sub-01", "", False),
    ],
)
def test_names(name: str, case: str, suffix: str, bids: bool) -> None:
    found = BidsName.of(Path("folder") / name)
    assert (found.case, found.suffix, found.is_bids) == (case, suffix, bids)
