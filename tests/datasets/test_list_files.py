"""List files: separators, spaces in names, and lines that are wrong."""

from __future__ import annotations

import pytest

from medicalseg.datasets.list_files import read_list, scan_list
from medicalseg.errors import DataError


@pytest.fixture
def root(tmp_path):
    for name in ("images/A 1.npy", "images/B.v2.npy", "labels/A 1.npy", "labels/B.npy", "images/A", "1.npy labels/A"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def read(root, text, label_required=True):
    path = root / "train_list.txt"
    path.write_text(text, encoding="utf-8")
    return read_list(path, root, label_required=label_required)


@pytest.mark.parametrize(
    "line",
    ["images/B.v2.npy labels/B.npy", "images/B.v2.npy\tlabels/B.npy", " images\\B.v2.npy   labels\\B.npy \r"],
)
def test_two_paths(root, line):
    (case,) = read(root, f"\n{line}\n\n")
    assert (case.name, case.images, case.label) == ("B.v2", (root / "images/B.v2.npy",), root / "labels/B.npy")


def test_names_with_spaces(root):
    (case,) = read(root, "images/A 1.npy\tlabels/A 1.npy\n")
    assert (case.name, case.label) == ("A 1", root / "labels/A 1.npy")
    (root / "1.npy labels/A").unlink()
    (case,) = read(root, "images/A 1.npy labels/A 1.npy\n")
    assert case.label == root / "labels/A 1.npy"
    (case,) = read(root, "images/A 1.npy", label_required=False)
    assert (case.name, case.label) == ("A 1", None)


def test_original_label_is_found(root):
    (root / "originals").mkdir()
    (root / "originals/B.v2.nii.gz").touch()
    (case,) = read(root, "images/B.v2.npy labels/B.npy")
    assert case.original == root / "originals/B.v2.nii.gz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no case"),
        ("images/B.v2.npy", r"train_list\.txt:1: expected 'IMAGE LABEL'"),
        ("images/B.v2.npy labels/C.npy", r"train_list\.txt:1: .*C\.npy does not exist"),
        ("images/A 1.npy labels/A 1.npy x", "put a tab between"),
        ("images/B.v2.npy labels/B.npy\n" * 2, r"train_list\.txt:2: case B\.v2 is listed twice"),
        ("images/B.v2.npy\n\nimages/x.npy labels/x.npy", r":1: .*and 1 more"),
    ],
)
def test_wrong_lines_are_named(root, text, message):
    with pytest.raises(DataError, match=message):
        read(root, text)


def test_scan_goes_on(root):
    path = root / "val_list.txt"
    path.write_text("x\nimages/B.v2.npy labels/B.npy\n")
    cases, problems = scan_list(path, root, label_required=True)
    assert ([case.name for case in cases], len(problems)) == (["B.v2"], 1)


def test_missing_list(tmp_path):
    with pytest.raises(DataError, match=r"val_list\.txt: cannot be read"):
        read_list(tmp_path / "val_list.txt", tmp_path, label_required=True)
