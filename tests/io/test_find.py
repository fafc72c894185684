"""Names, folders and lists."""

from __future__ import annotations

import os

import pytest

from medicalseg.errors import VolumeError
from medicalseg.io import case_name, find_volumes, has_directions, is_volume, read_volume, write_volume


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("case.1.2.840.v2.nii.gz", "case.1.2.840.v2"),
        ("folder.x/name with space.NII.GZ", "name with space"),
        ("./a.mhd", "a"),
        ("a.b.nrrd", "a.b"),
        ("IM0001", "IM0001"),
        ("slice.dcm", "slice"),
        ("x.npy", "x"),
        (".nii.gz", ".nii.gz"),
    ],
)
def test_case_name(name, case):
    assert case_name(name) == case


def test_case_name_of_a_folder(tmp_path):
    (tmp_path / "1.2.840.npy").mkdir()
    assert case_name(tmp_path / "1.2.840.npy") == "1.2.840.npy"


@pytest.fixture
def tree(tmp_path, volume):
    for name in ("b.nii.gz", "a/c.mhd", "a/d.hdr", "a/deep/e.nrrd", ".hidden/f.nii", "a/.tmp-1-g.nii.gz", "a/z.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_volume(volume, tmp_path / name)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "a" / "._d.nii.gz").write_bytes(b"mac")
    return tmp_path


def test_folder(tree):
    names = [str(path.relative_to(tree)) for path in find_volumes(tree)]
    assert names == ["a/c.mhd", "a/d.hdr", "a/deep/e.nrrd", "a/z.npy", "b.nii.gz"]


def test_links_in_a_circle(tree):
    os.symlink(tree, tree / "a" / "loop")
    assert len(find_volumes(tree)) == 5


def test_file(tree):
    assert find_volumes(str(tree / "b.nii.gz")) == [tree / "b.nii.gz"]
    assert is_volume(tree / "b.nii.gz")
    assert not is_volume(tree / "notes.txt")


def test_list(tree):
    (tree / "a" / "list.txt").write_text("# cases\n\n../b.nii.gz\nd.hdr d_label.hdr\ndeep\n")
    found = find_volumes(tree / "a" / "list.txt")
    assert [path.resolve() for path in found] == [tree / "b.nii.gz", tree / "a/d.hdr", tree / "a/deep/e.nrrd"]


def test_list_with_spaces_in_names(tree, volume):
    write_volume(volume, tree / "with space.nii.gz")
    (tree / "list.txt").write_text("with space.nii.gz\n")
    assert find_volumes(tree / "list.txt") == [tree / "with space.nii.gz"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"b.nii.gz\nmissing.nii.gz\n", "line 2 names 'missing.nii.gz'"),
        (b"\n", "holds no volume"),
        (b"\xff\xfe\x00", "list of paths"),
    ],
)
def test_broken_lists(tree, content, text):
    (tree / "list.txt").write_bytes(content)
    with pytest.raises(VolumeError, match=text):
        find_volumes(tree / "list.txt")


def test_nothing_found(tmp_path):
    with pytest.raises(VolumeError, match="looked for DICOM and names that end in"):
        find_volumes(tmp_path)
    with pytest.raises(VolumeError, match="does not exist"):
        find_volumes(tmp_path / "none")
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(VolumeError, match="neither"):
        find_volumes(tmp_path / "a.pdf")


def test_upper_case_names(tmp_path, volume):
    write_volume(volume, tmp_path / "A.NII.GZ")
    assert read_volume(tmp_path / "A.NII.GZ").shape == volume.shape


def test_missing_and_unreadable(tmp_path, monkeypatch, volume):
    with pytest.raises(VolumeError, match="does not exist"):
        read_volume(tmp_path / "none.nii.gz")
    path = write_volume(volume, tmp_path / "a.nii")

    def deny(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("medicalseg.io.payload.open", deny, raising=False)
    with pytest.raises(VolumeError, match="Permission denied"):
        read_volume(path)


@pytest.mark.parametrize(
    ("name", "expected"), [("a.nii.gz", True), ("a.mha", True), ("a.png", False), ("a.TIF", False), ("a.npy", False)]
)
def test_which_files_tell_directions(name: str, expected: bool) -> None:
    assert has_directions(name) is expected
