"""Abdomen from a miniature of the Synapse challenge's folders."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from medicalseg.cli import main
from medicalseg.datasets.class_tables import ABDOMEN, ABDOMEN_OF_SYNAPSE
from medicalseg.datasets.prepare.abdomen import split_of
from medicalseg.errors import DataError
from medicalseg.io import Volume, read_volume, reorient, write_volume

from .conftest import contents, snapshot
from .synapse_miniature import SHAPE, write_synapse


def run(*arguments: object) -> int:
    return main(["prepare", "abdomen", "--num_workers", "0", *map(str, arguments)])


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_synapse(tmp_path / "raw", cases=5, test=1)


def test_arrays_of_upstream(raw: Path, tmp_path: Path) -> None:
    """clip, scale, (Z, X, Y) as upstream has it; ours are (Z, Y, X)."""
    before = snapshot(raw)
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "data") == 0
    assert snapshot(raw) == before
    output = tmp_path / "data" / "abdomen_phase0"
    training = raw / "RawData" / "Training"
    table = np.array([0, 1, 2, 3, 4, 0, 5, 6, 7, 0, 0, 8, 0, 0])
    for number in range(1, 6):
        image = read_volume(training / "img" / f"img{number:04d}.nii.gz").array
        label = read_volume(training / "label" / f"label{number:04d}.nii.gz").array
        expected = (np.clip(image.astype(np.float64), -125, 275) + 125) / 400
        array = np.load(output / "images" / f"img{number:04d}.npy")
        assert (array.dtype, array.shape) == (np.float32, SHAPE[::-1])
        np.testing.assert_allclose(array.swapaxes(1, 2), expected.transpose(2, 0, 1), atol=1e-6)
        ids = np.load(output / "labels" / f"label{number:04d}.npy")
        np.testing.assert_array_equal(ids.swapaxes(1, 2), table[label.astype(int)].transpose(2, 0, 1))
        original = read_volume(output / "originals" / f"img{number:04d}.nii.gz")
        np.testing.assert_array_equal(original.array, table[label.astype(int)])


def test_lists_and_description(raw: Path, tmp_path: Path) -> None:
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "data", "--with_test") == 0
    output = tmp_path / "data" / "abdomen_phase0"
    lists = {part: (output / f"{part}_list.txt").read_text().splitlines() for part in ("train", "val", "test")}
    assert [len(lists[part]) for part in lists] == [3, 2, 1]
    assert lists["train"][0] == "images/img0001.npy labels/label0001.npy"
    assert lists["val"] == [f"images/img000{n}.npy labels/label000{n}.npy" for n in (4, 5)]
    assert lists["test"] == ["images/img0061.npy"]
    content = json.loads((output / "dataset.json").read_text())
    assert content["labels"] == {str(label): name for label, name in ABDOMEN.items()}
    assert content["preprocessing"]["orientation"] == "SAL"
    assert content["training"]["img0001"]["spacing_resample"] == pytest.approx([0.8, 0.7, 3.0])


def test_storage_does_not_matter(raw: Path, tmp_path: Path) -> None:
    """The same volume stored in other directions gives the same arrays."""
    training = raw / "RawData" / "Training"
    for kind, name in (("img", "img0002"), ("label", "label0002")):
        path = training / kind / f"{name}.nii.gz"
        stored = read_volume(training / kind / f"{name.replace('0002', '0001')}.nii.gz")
        write_volume(reorient(stored, "RPI"), path)
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "data") == 0
    output = tmp_path / "data" / "abdomen_phase0"
    for kind, name in (("images", "img"), ("labels", "label")):
        first, second = (np.load(output / kind / f"{name}000{number}.npy") for number in (1, 2))
        np.testing.assert_array_equal(first, second)


def test_the_archive_as_it_is_fetched(raw: Path, tmp_path: Path) -> None:
    archive = tmp_path / "RawData.zip"
    with zipfile.ZipFile(archive, "w") as handle:
        for path in sorted(raw.rglob("*.nii.gz")):
            handle.write(path, path.relative_to(raw))
    assert run("--archive", archive, "--dataset_root", tmp_path / "a") == 0
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "b") == 0
    found, expected = (contents(tmp_path / part / "abdomen_phase0" / "images") for part in "ab")
    assert found == expected
    assert (tmp_path / "a" / "abdomen_raw" / "dataset.json").is_file()


def test_a_label_that_is_unknown_or_missing(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = raw / "RawData" / "Training"
    path = training / "label" / "label0003.nii.gz"
    label = read_volume(path)
    array = label.array.astype(np.uint8)
    array[0, 0, 0] = 14
    write_volume(Volume(array, label.affine, meta={"labels": True}), path)
    (training / "label" / "label0002.nii.gz").unlink()
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "data") == 2
    said = capsys.readouterr()
    said = said.out + said.err
    assert "label0003.nii.gz: label values [14] are not among" in said
    assert "label0002.nii.gz does not exist" in said
    lines = (tmp_path / "data" / "abdomen_phase0" / "train_list.txt").read_text().splitlines()
    assert lines == ["images/img0001.npy labels/label0001.npy"]


def test_split() -> None:
    names = [f"img{number:04d}" for number in (*range(1, 11), *range(21, 41))]
    split = split_of(reversed(names), 0.4, None)
    assert (list(split.train), list(split.val)) == (names[:18], names[18:])
    assert not split.leaking
    drawn = split_of(names, 0.4, 3)
    assert sorted(drawn.train + drawn.val) == names
    assert len(drawn.val) == 12
    assert drawn.val != split.val
    assert [len(part) for part in (split_of("ab", 0.01, None).train, split_of("ab", 0.99, None).val)] == [1, 1]
    with pytest.raises(DataError, match="at least 2"):
        split_of(["img0001"], 0.4, None)


def test_ids_of_the_challenge() -> None:
    """Every organ once; what is left out becomes background."""
    assert sorted(ABDOMEN_OF_SYNAPSE) == list(range(14))
    assert sorted(filter(None, ABDOMEN_OF_SYNAPSE.values())) == list(range(1, 9))
    assert [ABDOMEN[ABDOMEN_OF_SYNAPSE[value]] for value in (1, 6, 8, 11)] == ["spleen", "liver", "aorta", "pancreas"]


def test_without_data(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--dataset_root", tmp_path / "x") == 2
    assert "syn3193805" in capsys.readouterr().err
    (tmp_path / "empty" / "Training" / "label").mkdir(parents=True)
    assert run("--raw_dir", tmp_path / "empty", "--dataset_root", tmp_path / "x") == 2
    assert "holds no volumes" in capsys.readouterr().err
    (raw / "RawData" / "Testing" / "img" / "img0061.nii.gz").unlink()
    assert run("--raw_dir", raw, "--dataset_root", tmp_path / "x", "--with_test") == 2
    assert "leave --with_test out" in capsys.readouterr().err
